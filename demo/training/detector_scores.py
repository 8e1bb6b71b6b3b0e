"""Scores of a detector on the vehicles of rendered pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.training.average_precision import Found, Present, average_precision
from demo.training.crops import JUDGED
from demo.training.pictures import Picture
from vision.inference.detection import Detector
from vision.inference.selection import Thresholds

# Below any score that a tracker uses, to get the whole precision-recall curve.
_EVERYTHING = Thresholds(min_score=0.01, nms_iou=0.65, max_detections=100)
_BATCH = 8


@dataclass(frozen=True)
class DetectorScores:
    """Scores of one detector on one set of pictures."""

    map50: float
    """Average precision at an overlap of 0.5, averaged over the classes."""
    by_class: dict[str, float]
    pictures: int
    objects: int
    """Number of objects that count."""


def detector_scores(detector: Detector, pictures: Sequence[Picture]) -> DetectorScores:
    """A vehicle counts if it is as visible and tall as `JUDGED` requires; others are ignored."""
    per_class: list[list[tuple[Found, Present]]] = [[] for _ in detector.class_names]
    objects = 0
    for start in range(0, len(pictures), _BATCH):
        shown = pictures[start : start + _BATCH]
        detections = detector.detect([picture.read() for picture in shown], [_EVERYTHING] * len(shown))
        for picture, found in zip(shown, detections, strict=True):
            truth = picture.truth
            tall = truth.boxes_xyxy[:, 3] - truth.boxes_xyxy[:, 1] >= JUDGED.min_height_px
            counts = tall & (truth.visibility >= JUDGED.min_visibility)
            objects += int(counts.sum())
            for number, rows in enumerate(per_class):
                mine, theirs = found.class_ids == number, truth.class_ids == number
                # Objects that do not count are ignored for every class that a detection may have.
                boxes = np.concatenate([truth.boxes_xyxy[theirs & counts], truth.boxes_xyxy[~counts]])
                must = np.arange(len(boxes)) < np.count_nonzero(theirs & counts)
                rows.append((Found(found.boxes_xyxy[mine], found.scores[mine]), Present(boxes, must)))
    precisions = [average_precision(rows) for rows in per_class]
    by_class = dict(zip(detector.class_names, precisions, strict=True))
    return DetectorScores(float(np.nanmean(precisions)), by_class, len(pictures), objects)
