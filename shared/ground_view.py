"""Which part of the ground a calibrated camera sees. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from shared.calibration import Calibration
from shared.homography import Points

FARTHEST_M = 60.0
"""A picture reaches to the horizon, but what is farther away is a few pixels high."""
_STEPS = 33
"""Places along each side of the picture that are looked at."""


@dataclass(frozen=True, eq=False)
class GroundView:
    """What a camera sees of the ground."""

    outline: Points
    """`(n, 2)` float64, metres: the corners of a convex polygon."""
    near: Points
    """`(2,)` float64, metres: the visible place that its pictures show nearest to the middle of the bottom."""


def ground_view(calibration: Calibration, width: int, height: int) -> GroundView | None:
    """The part of the ground in pictures of `width` × `height` pixels, up to `FARTHEST_M` from the nearest place.

    None if the size is unknown (0), or the pictures show no ground.
    """
    if width <= 0 or height <= 0:
        return None
    xs, ys = np.linspace(0, width, _STEPS), np.linspace(0, height, _STEPS)
    pixels = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    places = calibration.to_ground(pixels)
    is_ground = np.isfinite(places).all(axis=1)
    if not is_ground.any():
        return None
    from_bottom = np.linalg.norm(pixels - [width / 2, height], axis=1)
    near = places[np.where(is_ground, from_bottom, np.inf).argmin()]
    is_seen = is_ground & (np.linalg.norm(np.nan_to_num(places, nan=np.inf) - near, axis=1) <= FARTHEST_M)
    outline = cv2.convexHull(places[is_seen].astype(np.float32)).reshape(-1, 2).astype(np.float64)
    return GroundView(outline, near) if len(outline) >= 3 else None
