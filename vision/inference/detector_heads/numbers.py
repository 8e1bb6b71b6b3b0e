"""What the numbers of an output say against a reading of it; each function returns None if they allow it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

_ROUNDING = 0.02
"""Half precision and 8-bit networks miss 0 and 1 by this."""
_SMALLEST_PX = 2.0
"""A picture in which no box reaches farther than this has no box in pixels."""
_LARGEST_LOG = 7.0
"""e^7 of YOLOX's smallest cells are wider than any picture; of a whole grid, some box is larger in pixels."""
_MOSTLY = 0.9
_LARGEST_ANGLE = 3.5
_MUCH_BETTER = 0.5
"""Of the mean distance from the cells. Boxes of trained and of random networks are closer as what they are."""
_BEYOND, _FEW_FIT, _NEARLY_ALL_FIT = 0.05, 0.8, 0.98
_READINGS = {
    "centre": "centre and size",
    "corners": "corners (left, top, right, bottom)",
    "corner": "left upper corner and size",
}


def not_scores(values: Array, what: str = "scores") -> str | None:
    """Scores lie within 0..1."""
    if values.size and (values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING):
        return f"its {what} would be {values.min():.3g} to {values.max():.3g}, not 0 to 1"
    return None


def not_pixels(boxes: Array) -> str | None:
    """Boxes in pixels reach beyond the first pixels of the picture."""
    if boxes.size and boxes.any() and np.abs(boxes).max() <= _SMALLEST_PX:
        return f"its boxes would all lie within {np.abs(boxes).max():.3g} pixels of the corner"
    return None


def not_pixel_sizes(boxes: Array) -> str | None:
    """The third and fourth column are sizes in pixels, not the logarithms of raw YOLOX."""
    sizes = boxes[:, 2:4]
    if sizes.any() and sizes.max() <= _LARGEST_LOG:
        return f"no box would be larger than {sizes.max():.3g} pixels"
    return None


def not_shares(boxes: Array) -> str | None:
    """Boxes in shares of the picture lie within 0..1, give or take what is cut by the border."""
    if boxes.size and np.abs(boxes).max() > _SMALLEST_PX:
        return f"its boxes would reach {np.abs(boxes).max():.3g} times the picture"
    return None


def not_sizes(boxes: Array) -> str | None:
    """The third and fourth column are sizes: hardly ever negative, but YOLO26 gives its weakest boxes any size."""
    used = boxes[boxes.any(axis=1)]
    if len(used) and np.mean((used[:, 2:4] >= -1).all(axis=1)) < _MOSTLY:
        return f"its boxes would have sizes of {used[:, 2:4].min():.3g} pixels"
    return None


def not_corners(boxes: Array) -> str | None:
    """The third and fourth column are right of and below the first and second."""
    used = boxes[boxes.any(axis=1)]
    if len(used) and np.mean((used[:, 2:4] >= used[:, :2] - _ROUNDING).all(axis=1)) < _MOSTLY:
        return "the right lower corners of its boxes would lie left of or above the left upper ones"
    return None


def not_around(boxes: Array, centres: Array | None, read_as: str = "centre") -> str | None:
    """Boxes of a grid lie around the centres of its cells, in any order, `(N, 2)`; None: there is no grid.

    `boxes` are `(M, 4)`, those of one or more pictures. They are `read_as` a centre, corners or a corner, followed by
    the size where one is missing. It is wrong if they fit the cells much better in another way.
    """
    if centres is None or not boxes.any():
        return None
    cells = np.sort(np.tile(centres, (-(-len(boxes) // len(centres)), 1))[: len(boxes)], axis=0)
    points = {
        "centre": boxes[:, :2],
        "corners": (boxes[:, :2] + boxes[:, 2:4]) / 2,
        "corner": boxes[:, :2] + boxes[:, 2:4] / 2,
    }
    distances = {reading: float(np.abs(np.sort(found, axis=0) - cells).mean()) for reading, found in points.items()}
    best = min(distances, key=lambda reading: distances[reading])
    if best == read_as or distances[best] > _MUCH_BETTER * distances[read_as]:
        return None
    return f"its boxes would lie {distances[read_as]:.3g} pixels off their cells; they look like {_READINGS[best]}"


def not_centred_shares(boxes: Array) -> str | None:
    """Boxes in shares of the picture have centre and size: read so, corners reach beyond the picture."""
    used = boxes[boxes.any(axis=1)]
    if not len(used):
        return None
    start, end = used[:, :2], used[:, 2:4]
    inside = ((start - end / 2 >= -_BEYOND) & (start + end / 2 <= 1 + _BEYOND)).all(axis=1).mean()
    if inside < _FEW_FIT and (end >= start).all(axis=1).mean() > _NEARLY_ALL_FIT:
        return f"{1 - inside:.0%} of its boxes would reach beyond the picture; they look like {_READINGS['corners']}"
    return None


def not_descending(scores: Array) -> str | None:
    """Every row of `scores` descends, as in the output of a model that sorts its boxes."""
    if (np.diff(scores, axis=-1) > _ROUNDING).any():
        return "its scores would not descend"
    return None


def not_classes(values: Array, classes: int | None) -> str | None:
    """Whole numbers from 0, smaller than `classes`."""
    if values.size and np.abs(values - values.round()).max() > _ROUNDING:
        return "its classes would not be whole numbers"
    if values.size and (values.min() < -_ROUNDING or (classes is not None and values.max().round() >= classes)):
        return f"its classes would be {values.min():.0f} to {values.max():.0f}"
    return None


def not_angles(values: Array) -> str | None:
    """Angles in radians."""
    if values.size and np.abs(values).max() > _LARGEST_ANGLE:
        return f"its angles would reach {np.abs(values).max():.3g} radians"
    return None


def first(*objections: str | None) -> str | None:
    """The first objection."""
    return next((objection for objection in objections if objection is not None), None)
