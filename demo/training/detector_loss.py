"""The loss of the detector."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from demo.training.assignment import Targets, assign_targets
from demo.training.boxes import generalised_iou

# Xu et al., PP-YOLOE, 2022: the weight of boxes is 2.5 times that of classes.
_BOX_WEIGHT = 2.5


def detector_loss(boxes_xyxy: Tensor, logits: Tensor, centres: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Returns the losses of scores and of boxes, each a scalar, divided by the sum of the target qualities.

    `boxes_xyxy` `(B, N, 4)` and `logits` `(B, N, C)` are the network's output for cells at `centres` `(N, 2)`.
    """
    with torch.no_grad():
        assigned = assign_targets(targets, boxes_xyxy.detach(), logits.detach().sigmoid(), centres)
        total = assigned.quality.sum().clamp(min=1)
    by_cell = functional.binary_cross_entropy_with_logits(logits, assigned.scores, reduction="none").sum(dim=-1)
    score_loss = (by_cell * assigned.counts).sum() / total
    answers = assigned.quality > 0
    overlap = generalised_iou(boxes_xyxy[answers], assigned.boxes_xyxy[answers])
    box_loss = ((1 - overlap) * assigned.quality[answers]).sum() / total
    return score_loss, _BOX_WEIGHT * box_loss
