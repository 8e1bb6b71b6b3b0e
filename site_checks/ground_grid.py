"""Draws the ground that a calibration describes on a camera's picture, so that a person sees whether it fits."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from shared.calibration import Calibration

_STEPS = (1.0, 2.0, 5.0, 10.0)
"""Possible distances between lines are these, times a power of ten."""
_LINES = 12
"""About so many lines in each direction."""
_SAMPLES = 40
"""Points of each line, because a lens bends it."""
_COLOUR, _AXIS = (80, 220, 80), (60, 60, 255)
_READABLE = 720
"""Height of a picture in which thin lines and small letters can be seen, pixels; in larger ones they are larger."""
_LOOKED_AT = 0.45
"""The ground above this share of the picture's height is too far away to choose the grid by."""


def with_grid(image: npt.NDArray[np.uint8], calibration: Calibration) -> tuple[npt.NDArray[np.uint8], float] | None:
    """A picture with a grid of metres, and the distance of its lines in metres; None if no ground is visible.

    The lines through x = 0 and y = 0 are red, if they are visible. Coordinates are written where lines cross.

    Args:
        image: `(H, W, 3)` uint8, BGR.
        calibration: of this camera.
    """
    height, width = image.shape[:2]
    scale = calibration.width / width if calibration.width else 1.0
    x, y = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(_LOOKED_AT * height, height - 1, 7))
    seen = calibration.to_ground(np.stack([x.ravel(), y.ravel()], axis=1) * scale)
    seen = seen[np.isfinite(seen).all(axis=1)]
    if len(seen) < 4:
        return None
    low, high = np.quantile(seen, 0.05, axis=0), np.quantile(seen, 0.95, axis=0)
    least = float((high - low).max()) / _LINES
    power = 10.0 ** math.floor(math.log10(max(least, 1e-6)))
    step = next(one for one in _STEPS if one * power >= least * 0.999) * power
    first, last = np.floor(low / step).astype(int), np.ceil(high / step).astype(int)
    drawn = image.copy()
    for axis in (0, 1):
        along = np.linspace(first[1 - axis] * step, last[1 - axis] * step, _SAMPLES)
        for number in range(first[axis], last[axis] + 1):
            places = np.stack([np.full(_SAMPLES, number * step), along], axis=1)[:, :: 1 if axis == 0 else -1]
            points = calibration.to_picture(places)
            # Far outside of the picture, the model of a lens folds back into it.
            with np.errstate(invalid="ignore"):
                points[~(np.linalg.norm(calibration.to_ground(points) - places, axis=1) < 0.05 * step)] = np.nan
            _draw_line(drawn, points / scale, is_axis=number == 0)
    for i in range(first[0], last[0] + 1, 2):
        for j in range(first[1], last[1] + 1, 2):
            point = calibration.to_picture(np.array([[i * step, j * step]]))[0] / scale
            _write(drawn, point, f"{i * step:.10g}, {j * step:.10g}")
    return drawn, step


def _draw_line(image: npt.NDArray[np.uint8], points: npt.NDArray[np.float64], *, is_axis: bool) -> None:
    height, width = image.shape[:2]
    with np.errstate(invalid="ignore"):
        usable = (np.abs(points) < 4 * max(height, width)).all(axis=1)
    for k in range(len(points) - 1):
        if usable[k] and usable[k + 1]:
            ends = [(round(float(x)), round(float(y))) for x, y in points[k : k + 2]]
            thickness = round(_enlargement(image) * (2 if is_axis else 1))
            cv2.line(image, ends[0], ends[1], _AXIS if is_axis else _COLOUR, thickness, cv2.LINE_AA)


def _write(image: npt.NDArray[np.uint8], point: npt.NDArray[np.float64], text: str) -> None:
    height, width = image.shape[:2]
    if np.isfinite(point).all() and 0 <= point[0] < width and 0 <= point[1] < height:
        larger = _enlargement(image)
        at = round(float(point[0])) + 3, round(float(point[1])) - 3
        for colour, thickness in (((0, 0, 0), 3 * larger), ((255, 255, 255), larger)):
            cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * larger, colour, round(thickness), cv2.LINE_AA)


def _enlargement(image: npt.NDArray[np.uint8]) -> float:
    return max(1.0, image.shape[0] / _READABLE)
