"""What never moves in a camera's view: drawn once, with what stands in front of vehicles."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demo.geometry import Camera
from demo.ground import ground_colours
from demo.light import sensed

_SUPERSAMPLED = 2
_HORIZON_M = 600.0


@dataclass(frozen=True)
class Background:
    """The empty view of one camera."""

    picture: npt.NDArray[np.uint8]
    """`(height, width, 3)` BGR, as the sensor gives it, without noise."""
    front_depth: npt.NDArray[np.float32]
    """`(height, width)` metres: how deep in the view what stands at a pixel stands; inf: nothing does."""
    front_alpha: npt.NDArray[np.float32]
    """`(height, width)` 0..1: how much of the pixel it covers."""


def background_of(camera: Camera) -> Background:
    scale = _SUPERSAMPLED
    width, height = camera.width * scale, camera.height * scale
    canvas = _ground(camera, width, height, scale)
    small = cv2.resize(canvas, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    picture = sensed(camera, small.astype(np.float64))
    return Background(
        np.clip(picture + 0.5, 0, 255).astype(np.uint8),
        np.full((camera.height, camera.width), np.inf, np.float32),
        np.zeros((camera.height, camera.width), np.float32),
    )


def _ground(camera: Camera, width: int, height: int, scale: int) -> npt.NDArray[np.float32]:
    column, row = np.meshgrid((np.arange(width) + 0.5) / scale - 0.5, (np.arange(height) + 0.5) / scale - 0.5)
    homography = camera.image_to_ground
    ground = np.stack([column, row, np.ones_like(row)], axis=-1) @ homography.T
    depth = 1.0 / np.where(np.abs(ground[..., 2]) < 1e-9, 1e-9, ground[..., 2])
    seen = (depth > 0) & (depth < _HORIZON_M)
    x = np.where(seen, ground[..., 0] * depth, 0.0).astype(np.float32)
    y = np.where(seen, ground[..., 1] * depth, 0.0).astype(np.float32)
    focal = camera.intrinsic[0, 0]
    metres_per_pixel = np.where(seen, depth / focal * np.maximum(1.0, depth / camera.position[2] / 3), 1.0)
    colour = ground_colours(x, y, metres_per_pixel.astype(np.float32))
    up = np.clip((height / 2 - row * scale) / height, 0.0, 1.0)[..., None]
    sky = np.array([232.0, 218.0, 200.0]) * (1 - up * 0.4)
    haze = np.clip(depth / 500.0, 0.0, 0.55)[..., None]
    return np.where(seen[..., None], colour * (1 - haze) + 205.0 * haze, sky).astype(np.float32)
