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
