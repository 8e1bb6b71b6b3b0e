"""Which of a detector's boxes are detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.config import DetectorConfig
from vision.inference.detector_heads.head import Arrays, Candidates, Head
from vision.inference.suppression import suppress

_DEFAULTS = DetectorConfig.model_fields


@dataclass(frozen=True)
class Thresholds:
    """Which boxes of one camera count as detections; the defaults are those of `shared.config.DetectorConfig`."""

    min_score: float = _DEFAULTS["min_score"].default
    """Minimum score; 0..1."""
    nms_iou: float = _DEFAULTS["nms_iou"].default
    """Boxes of one class that overlap more than this are suppressed; 0..1."""
    class_ids: frozenset[int] | None = None
    """None: all classes."""
    max_detections: int = _DEFAULTS["max_detections"].default
    """Maximum number of detections per frame."""


def select(head: Head, outputs: Arrays, thresholds: Thresholds) -> Candidates:
    """The boxes in the model's `outputs` for one picture that are detections, best score first."""
    found = head.decode(outputs, thresholds.min_score, thresholds.class_ids)
    if head.overlapping:
        best = suppress(found.boxes_xyxy, found.scores, found.class_ids, thresholds.nms_iou, thresholds.max_detections)
    else:
        best = np.argsort(-found.scores, kind="stable")[: thresholds.max_detections]
    return Candidates(found.boxes_xyxy[best], found.scores[best], found.class_ids[best])
