"""Pinhole cameras over a flat ground. World: x east, y north, z up, metres. Picture: x right, y down, pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NEAR_M = 0.5
"""Nothing closer to the camera than this is drawn."""


@dataclass(frozen=True)
class SceneCamera:
    """A fixed camera without lens distortion, and the response of its sensor."""

    name: str
    position: tuple[float, float, float]
    """Metres."""
    target: tuple[float, float, float]
    """The point in the centre of the picture."""
    fov_deg: float
    """Horizontal field of view."""
    exposure: float = 1.0
    """Gain of the light; 1 is neutral."""
    white_balance_bgr: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gain of each channel."""
    gamma: float = 1.0
    """Values above 1 darken the midtones."""
    noise_sigma: float = 2.0
    """Standard deviation of the sensor noise, in grey levels."""
    width: int = 640
    height: int = 360

    @cached_property
    def eye(self) -> Floats:
        """`(3,)` metres: the position as an array."""
        return np.array(self.position)

    @cached_property
    def intrinsic(self) -> Floats:
        """`(3, 3)`: camera coordinates (x right, y down, z forward) to homogeneous pixels."""
        focal = self.width / 2 / math.tan(math.radians(self.fov_deg) / 2)
        return np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1.0]])

    @cached_property
    def rotation(self) -> Floats:
        """`(3, 3)`: world directions to camera directions."""
        forward = np.subtract(self.target, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    @cached_property
    def projection(self) -> Floats:
        """`(3, 4)`: homogeneous world points to homogeneous pixels; the third row is the depth in metres."""
        rotation = self.rotation
        outer = np.column_stack([rotation, -rotation @ np.array(self.position)])
        return self.intrinsic @ outer

    @cached_property
    def ground_to_image(self) -> Floats:
        """`(3, 3)` homography: homogeneous `(x, y)` on the ground, metres, to homogeneous pixels."""
        return self.projection[:, [0, 1, 3]]

    @cached_property
    def image_to_ground(self) -> Floats:
        """`(3, 3)` homography: homogeneous pixels to homogeneous `(x, y)` on the ground, metres."""
        return np.asarray(np.linalg.inv(self.ground_to_image), np.float64)

    def project(self, points: npt.ArrayLike) -> tuple[Floats, Floats]:
        """`(n, 3)` world points, metres, to `(n, 2)` pixels and `(n,)` depths; valid only for depths above 0."""
        world = np.asarray(points, np.float64)
        projection = self.projection
        image = world @ projection[:, :3].T + projection[:, 3]
        depth = image[:, 2]
        return image[:, :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth)[:, None], depth


def to_ground(camera: SceneCamera, points_px: npt.ArrayLike) -> Floats:
    """`(n, 2)` pixels to `(n, 2)` metres on the ground; invalid at and above the horizon."""
    points = np.column_stack([np.asarray(points_px, np.float64), np.ones(len(np.atleast_2d(points_px)))])
    ground = points @ camera.image_to_ground.T
    return ground[:, :2] / ground[:, 2:]


def clip_near(depths: Floats, points: Floats) -> Floats:
    """The part of a convex polygon `(n, 3)` beyond depth `NEAR_M`; `depths` is `(n,)`."""
    kept: list[Floats] = []
    for i in range(len(points)):
        a, b, depth_a, depth_b = points[i - 1], points[i], depths[i - 1], depths[i]
        if (depth_a >= NEAR_M) != (depth_b >= NEAR_M):
            kept.append(a + (b - a) * ((NEAR_M - depth_a) / (depth_b - depth_a)))
        if depth_b >= NEAR_M:
            kept.append(b)
    return np.array(kept).reshape(-1, 3)
