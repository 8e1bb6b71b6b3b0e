"""Thresholds and non-maximum suppression on the device of a PyTorch model, for all pictures of a call together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vision.inference.backends.torch_extra import import_torch
from vision.inference.detector_heads.head import Candidates
from vision.inference.selection import Thresholds

MOST_CANDIDATES = 2048
"""Maximum number of boxes of a picture that are compared on the device: the comparison needs its square."""
_PAIRS = 1 << 25
"""Pairs of boxes compared at once; bounds the memory to about 1 GB."""


class TooManyCandidates(Exception):
    """A picture has more than `MOST_CANDIDATES` boxes above the threshold."""


def select_on_device(boxes: Any, scores: Any, thresholds: Sequence[Thresholds]) -> list[Candidates]:
    """What `selection.select` returns for each picture, computed where the tensors are; only the result is copied.

    A box is kept if no better box that is kept overlaps it. Starting from all boxes, applying this rule to all of them
    at once is repeated until nothing changes: the result is that of the greedy algorithm, because after step k the
    best k boxes are final.

    Args:
        boxes: tensor `(B, N, 4)`, centre and size in pixels of the model's input.
        scores: tensor `(B, N, C)`, 0 to 1.
        thresholds: of each picture.

    Returns:
        For each picture the boxes that are kept, best score first; equal scores in the model's order.

    Raises:
        TooManyCandidates: use the host.
    """
    torch = import_torch()
    device = boxes.device
    best, class_ids = scores.max(dim=2)
    best = best.float()
    keep = best >= torch.tensor([[one.min_score] for one in thresholds], device=device)
    if any(one.class_ids is not None for one in thresholds):
        wanted = np.ones((len(thresholds), scores.shape[2]), np.bool_)
        for row, one in zip(wanted, thresholds, strict=True):
            if one.class_ids is not None:
                row[:] = False
                row[sorted(one.class_ids)] = True
        keep &= torch.from_numpy(wanted).to(device).gather(1, class_ids)
    most = int(keep.sum(dim=1).max())
    if most > MOST_CANDIDATES:
        raise TooManyCandidates
    order = torch.where(keep, best, -1.0).argsort(dim=1, descending=True, stable=True)[:, :most]
    valid, best, class_ids = (tensor.gather(1, order) for tensor in (keep, best, class_ids))
    rows = boxes.gather(1, order[..., None].expand(-1, -1, 4)).float()
    half = rows[..., 2:] / 2
    corners = torch.cat([rows[..., :2] - half, rows[..., :2] + half], dim=2)
    limits = torch.tensor([one.nms_iou for one in thresholds], device=device)
    at_once = max(1, _PAIRS // max(1, most * most))
    kept = torch.cat(
        [
            _kept(corners[part], class_ids[part], valid[part], limits[part])
            for part in (slice(start, start + at_once) for start in range(0, len(thresholds), at_once))
        ]
    )
    packed = torch.cat([corners, torch.stack([best, class_ids.float(), kept.float()], dim=2)], dim=2).cpu().numpy()
    found = []
    for picture, one in zip(packed, thresholds, strict=True):
        final = picture[picture[:, 6] > 0][: one.max_detections]
        found.append(
            Candidates(
                np.ascontiguousarray(final[:, :4]), np.ascontiguousarray(final[:, 4]), final[:, 5].astype(np.int16)
            )
        )
    return found


def _kept(corners: Any, class_ids: Any, valid: Any, limits: Any) -> Any:
    """`(B, K)` bool; the arguments are `(B, K, 4)`, `(B, K)`, `(B, K)` and `(B,)`, best score first."""
    torch = import_torch()
    a, b = corners[:, :, None], corners[:, None]
    sizes = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_(min=0)
    shared = sizes[..., 0] * sizes[..., 1]
    areas = (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1])
    # Multiplied instead of divided, because the union of boxes without area is 0.
    over = shared > limits[:, None, None] * (areas[:, :, None] + areas[:, None] - shared)
    beaten = (over & (class_ids[:, :, None] == class_ids[:, None])).tril_(diagonal=-1)
    alive = valid
    while True:
        now = valid & ~(beaten & alive[:, None]).any(dim=2)
        if torch.equal(now, alive):
            return alive
        alive = now
