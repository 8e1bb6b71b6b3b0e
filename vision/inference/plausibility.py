"""Whether the boxes of a detector can be those of objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vision.inference.detection import Detections

_NEARLY_ALL = 0.9
_MOST_OF_THE_PICTURE = 0.8
_SMALLEST_PX = 4
_CROWD = 250
"""Boxes in one picture. A worker uses 300 at most (`detector.max_detections`)."""


def doubt(found: Sequence[tuple[Detections, int, int]]) -> str | None:
    """What is absurd about the boxes of several pictures: none, too many, or nearly all too large or too small.

    Each element has the detections of one picture, and its width and height in pixels.
    """
    pictures = "1 picture" if len(found) == 1 else f"{len(found)} pictures"
    sides = np.concatenate([boxes.boxes_xyxy[:, 2:] - boxes.boxes_xyxy[:, :2] for boxes, _, _ in found])
    if not len(sides):
        return f"finds nothing in {pictures}"
    areas = np.concatenate([np.full(len(boxes), float(width * height)) for boxes, width, height in found])
    large = np.count_nonzero(sides.prod(axis=1) > _MOST_OF_THE_PICTURE * areas)
    small = np.count_nonzero(sides.max(axis=1) < _SMALLEST_PX)
    for count, what in ((large, "cover most of the picture"), (small, f"are smaller than {_SMALLEST_PX} pixels")):
        if count >= _NEARLY_ALL * len(sides):
            return f"{count} of {len(sides)} boxes in {pictures} {what}"
    crowded = sum(len(boxes) >= _CROWD for boxes, _, _ in found)
    if crowded >= _NEARLY_ALL * len(found):
        return f"finds {_CROWD} boxes or more in {crowded} of {pictures}"
    return None
