"""Convex solids of flat faces, and the decoration of their faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from demo.appearance import Colour

Floats = npt.NDArray[np.float64]
Profile = Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Face:
    """A convex polygon, visible from the side that its normal points to."""

    points: Floats
    """`(k, 3)` metres: x forward, y left, z up."""
    colour: Colour
    material: str = "paint"
    """`paint`, `glass`, `matt`, `lamp` (always lit) or `brake` (lit while the vehicle brakes)."""

    @property
    def normal(self) -> Floats:
        """Unit length; seen from the side that it points to, the points run counter-clockwise."""
        following = np.roll(self.points, -1, axis=0)
        normal = np.cross(self.points, following).sum(axis=0)  # Newell's method
        return normal / max(float(np.linalg.norm(normal)), 1e-12)


@dataclass
class Solid:
    """A convex group of faces. Solids are painted by level, and within a level from far to near."""

    level: int
    faces: list[Face] = field(default_factory=list)

    def paint(self, points: Floats, colour: Colour, material: str = "paint") -> None:
        self.faces.append(Face(points, colour, material))

    @property
    def middle_x(self) -> float:
        xs = np.concatenate([face.points[:, 0] for face in self.faces])
        return float(xs.min() + xs.max()) / 2


def prism(profile: Profile) -> tuple[Floats, Floats, list[Floats]]:
    """Returns the left side, the right side and the faces between them, for a profile of `(x, z, half width)`.

    The profile runs counter-clockwise as seen from the right side (forward to the right, up to the top). Face `i`
    between the sides joins corners `i` and `i + 1`.
    """
    corners = np.array(profile, np.float64)
    right = np.column_stack([corners[:, 0], -corners[:, 2], corners[:, 1]])
    left = np.column_stack([corners[:, 0], corners[:, 2], corners[:, 1]])
    between = []
    for i in range(len(corners)):
        j = (i + 1) % len(corners)
        between.append(np.stack([right[i], left[i], left[j], right[j]]))
    return left[::-1].copy(), right, between


def box(x: tuple[float, float], half_width: float, z: tuple[float, float]) -> list[Floats]:
    """Left, right, then bottom, front, top, rear; each `(4, 3)`."""
    left, right, between = prism(
        [
            (x[0], z[0], half_width),
            (x[1], z[0], half_width),
            (x[1], z[1], half_width),
            (x[0], z[1], half_width),
        ]
    )
    return [left, right, *between]


def patch(quad: Floats, u: tuple[float, float], v: tuple[float, float]) -> Floats:
    """The part of a quad `(4, 3)` between fractions `u` along its first edge and `v` along its last one."""
    a, b, c, d = quad

    def at(s: float, t: float) -> Floats:
        return (1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * d + s * c)

    return np.stack([at(u[0], v[0]), at(u[1], v[0]), at(u[1], v[1]), at(u[0], v[1])])


def disc(x: float, y: float, z: float, radius: float, sides: int = 12) -> Floats:
    """A regular polygon in the plane of a vehicle's side, facing outward."""
    angles = np.linspace(0.0, 2 * np.pi, sides, endpoint=False) * (1 if y < 0 else -1)
    return np.column_stack([x + radius * np.cos(angles), np.full(sides, y), z + radius * np.sin(angles)])


def side_strip(
    y: float, x: tuple[float, float], z: tuple[float, float], slant: float = 0.0, lean: float = 0.0
) -> Floats:
    """A quad in the plane of a side; `slant` shifts its upper edge forward, `lean` shifts it inward."""
    sign = 1.0 if y > 0 else -1.0
    quad = np.array(
        [
            [x[0], y, z[0]],
            [x[1], y, z[0]],
            [x[1] + slant, y - sign * lean, z[1]],
            [x[0] + slant, y - sign * lean, z[1]],
        ]
    )
    return quad if y < 0 else quad[::-1].copy()


def both_sides(half_width: float) -> Iterator[float]:
    yield -half_width
    yield half_width
