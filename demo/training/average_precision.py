"""Average precision of detections, as in COCO at one overlap, with boxes that do not count.

Precision is made monotonic and sampled at 101 levels of recall (Lin et al., Microsoft COCO, 2014). An object that does
not count (hidden or small) is not a miss, and a detection of it does not count either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_RECALL_LEVELS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Found:
    """Detections of one class in one picture."""

    boxes_xyxy: Floats
    """`(n, 4)`."""
    scores: Floats
    """`(n,)`."""


@dataclass(frozen=True, eq=False)
class Present:
    """Objects of one class in one picture."""

    boxes_xyxy: Floats
    """`(m, 4)`."""
    counts: npt.NDArray[np.bool_]
    """`(m,)`: whether it must be found."""


def average_precision(pictures: Sequence[tuple[Found, Present]], min_iou: float = 0.5) -> float:
    """Returns the average precision in [0, 1]; NaN if no object counts."""
    total = sum(int(present.counts.sum()) for _, present in pictures)
    if not total:
        return float("nan")
    judged = [judge_detections(found, present, min_iou) for found, present in pictures]
    scores = np.concatenate([found.scores for found, _ in pictures])
    right = np.concatenate([right for right, _ in judged])
    counts = np.concatenate([counts for _, counts in judged])
    order = np.argsort(-scores, kind="stable")
    order = order[counts[order]]
    true_positives = np.cumsum(right[order])
    recall = true_positives / total
    precision = true_positives / np.arange(1, len(order) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALL_LEVELS, side="left")
    return float(np.where(at < len(order), np.append(best_from_here, 0.0)[at], 0.0).mean())


def judge_detections(
    found: Found, present: Present, min_iou: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """For each detection, whether it is right and whether it counts, `(n,)` each. Matches in order of score."""
    overlaps = iou(found.boxes_xyxy, present.boxes_xyxy)
    right, counts = np.zeros(len(found.scores), np.bool_), np.ones(len(found.scores), np.bool_)
    free = np.ones(len(present.counts), np.bool_)
    for row in np.argsort(-found.scores, kind="stable"):
        fitting = free & (overlaps[row] >= min_iou)
        for candidates in (fitting & present.counts, fitting & ~present.counts):
            if candidates.any():
                chosen = int(np.argmax(np.where(candidates, overlaps[row], -1)))
                free[chosen] = False
                right[row] = counts[row] = present.counts[chosen]
                break
    return right, counts


def iou(first: Floats, second: Floats) -> Floats:
    """`(n, m)`: intersection over union of `(n, 4)` with `(m, 4)`, xyxy."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    opposite = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = np.clip(opposite - corner, 0, None).prod(axis=2)
    sizes = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    union = sizes[0][:, None] + sizes[1][None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
