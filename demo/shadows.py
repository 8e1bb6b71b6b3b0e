"""The shadows of vehicles on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demo.background import Background
from demo.geometry import NEAR_M, Floats, SceneCamera, clip_near
from demo.light import SHADOW_GAIN_BGR

_SHIFT = 4
_BLUR = (3, 3)
_MARGIN_PX = 4
_LOSS = (1.0 - SHADOW_GAIN_BGR).astype(np.float32)
_FARTHEST_PX = 20000


@dataclass(frozen=True)
class Shadow:
    """The shadow factor of a part of a picture."""

    roi: tuple[int, int, int, int]
    """x0, y0, x1, y1 pixels."""
    gain: npt.NDArray[np.float32]
    """`(h, w, 3)` 0..1: share of the light that remains."""

    def cast(self, image: npt.NDArray[np.uint8]) -> None:
        x0, y0, x1, y1 = self.roi
        image[y0:y1, x0:x1] = cv2.multiply(image[y0:y1, x0:x1], self.gain, dtype=cv2.CV_8U)


def shadow_of(camera: SceneCamera, background: Background, corners: Floats) -> Shadow | None:
    """The shadow of a body with corners `(k, 3)`, in metres; None if it is outside the picture."""
    sun = background.sun
    ground = corners[:, :2] - corners[:, 2:] * (sun[:2] / sun[2])
    outline = cv2.convexHull(ground.astype(np.float32)).reshape(-1, 2).astype(np.float64)
    points = np.column_stack([outline, np.zeros(len(outline))])
    pixels, depth = camera.project(points)
    if depth.min() < NEAR_M:
        points = clip_near(depth, points)
        if len(points) < 3:
            return None
        pixels, _ = camera.project(points)
    if np.abs(pixels).max() > _FARTHEST_PX:
        return None
    (left, top), (right, bottom) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    x0, y0 = max(int(left) - _MARGIN_PX, 0), max(int(top) - _MARGIN_PX, 0)
    x1, y1 = min(int(right) + _MARGIN_PX + 1, camera.width), min(int(bottom) + _MARGIN_PX + 1, camera.height)
    if x0 >= x1 or y0 >= y1:
        return None
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    fixed = np.rint((pixels - (x0, y0)) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_AA, _SHIFT)
    dark = cv2.blur(mask, _BLUR) * background.open_ground[y0:y1, x0:x1]
    return Shadow((x0, y0, x1, y1), 1.0 - dark[..., None] * _LOSS)
