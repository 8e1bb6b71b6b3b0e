"""Assignment of grid cells to objects, with a quality for each pair.

Task-aligned assignment (Feng et al., TOOD: Task-aligned One-stage Object Detection, ICCV 2021): of the cells whose
centre is in an object's box, those that already combine a high score with a good box are assigned to it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from demo.training.boxes import pairwise_iou

# The paper's exponents and number of cells.
_SCORE_POWER, _IOU_POWER, _CELLS_PER_OBJECT = 1.0, 6.0, 10
_EPSILON = 1e-9


@dataclass(frozen=True)
class Targets:
    """Objects of a batch, padded to the same number `M` per picture."""

    boxes_xyxy: Tensor
    """`(B, M, 4)` float32, pixels of the input."""
    class_ids: Tensor
    """`(B, M)` int64."""
    is_object: Tensor
    """`(B, M)` bool: the object must be found."""
    is_ignored: Tensor
    """`(B, M)` bool: too hidden or too small; cells on it are excluded from the loss. If neither is set: padding."""

    def to(self, device: torch.device) -> Targets:
        return Targets(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class TargetAssignment:
    """Targets of the `N` cells of each picture."""

    boxes_xyxy: Tensor
    """`(B, N, 4)`; valid where `quality` is above 0."""
    scores: Tensor
    """`(B, N, C)`: the quality for the object's class, 0 for other classes."""
    quality: Tensor
    """`(B, N)` in [0, 1]: the overlap for an object's best cell, less for its other cells, 0 for unassigned cells."""
    counts: Tensor
    """`(B, N)` bool: whether the cell's scores count in the loss."""


def assign_targets(targets: Targets, boxes_xyxy: Tensor, scores: Tensor, centres: Tensor) -> TargetAssignment:
    """Assigns cells at `(N, 2)` to objects, from their predictions `(B, N, 4)` and `(B, N, C)` (after the sigmoid)."""
    inside = _contains(targets.boxes_xyxy, centres)
    ignored = (inside & targets.is_ignored[..., None]).any(dim=1)
    candidate = inside & targets.is_object[..., None]
    overlaps = pairwise_iou(targets.boxes_xyxy, boxes_xyxy)
    wanted = targets.class_ids[..., None].expand(-1, -1, scores.shape[1])
    own_scores = scores.transpose(1, 2).gather(1, wanted)
    alignment = own_scores**_SCORE_POWER * overlaps**_IOU_POWER * candidate

    chosen = _best_cells(alignment, candidate)
    # A cell chosen by two objects is assigned to the one that it overlaps more.
    contested = chosen.sum(dim=1, keepdim=True) > 1
    best = functional.one_hot((overlaps * candidate).argmax(dim=1), chosen.shape[1]).transpose(1, 2).bool()
    chosen = torch.where(contested, best & chosen.any(dim=1, keepdim=True), chosen)

    alignment, overlaps = alignment * chosen, overlaps * chosen
    strongest = alignment.amax(dim=2, keepdim=True)
    quality_per_object = alignment / (strongest + _EPSILON) * overlaps.amax(dim=2, keepdim=True)
    quality, owner = quality_per_object.max(dim=1)
    taken = chosen.any(dim=1)
    quality = quality * taken
    owner_boxes = targets.boxes_xyxy.gather(1, owner[..., None].expand(-1, -1, 4))
    owner_classes = targets.class_ids.gather(1, owner)
    target_scores = functional.one_hot(owner_classes, scores.shape[2]) * quality[..., None]
    return TargetAssignment(owner_boxes, target_scores, quality, taken | ~ignored)


def _contains(boxes_xyxy: Tensor, centres: Tensor) -> Tensor:
    """`(B, M, N)` bool: whether each of the centres `(N, 2)` is in each box."""
    before = (centres - boxes_xyxy[:, :, None, :2]).amin(dim=-1)
    after = (boxes_xyxy[:, :, None, 2:] - centres).amin(dim=-1)
    return torch.minimum(before, after) > 0


def _best_cells(alignment: Tensor, candidate: Tensor) -> Tensor:
    count = min(_CELLS_PER_OBJECT, alignment.shape[2])
    cells = alignment.topk(count, dim=2).indices
    return torch.zeros_like(candidate).scatter_(2, cells, value=True) & candidate
