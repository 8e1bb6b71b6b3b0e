"""Which of two objects on the ground hides the other from a viewer, by a straight line that separates them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TOUCHING_M = 1e-6


@dataclass(frozen=True)
class Footprint:
    """A convex outline on the ground. Uses plain numbers, which are faster than arrays for few corners."""

    corners: tuple[tuple[float, float], ...]
    """Metres, counter-clockwise."""
    edges: tuple[tuple[float, float, float], ...]
    """`a x + b y - c` is the distance of a point outside an edge, in metres."""
    middle: tuple[float, float]

    @classmethod
    def of(cls, corners: Floats) -> Footprint:
        """`corners` is `(n, 2)`, counter-clockwise."""
        along = np.roll(corners, -1, axis=0) - corners
        normals = np.column_stack([along[:, 1], -along[:, 0]]) / np.hypot(along[:, 0], along[:, 1])[:, None]
        edges = np.column_stack([normals, (normals * corners).sum(axis=1)])
        x, y = corners.mean(axis=0).tolist()
        return cls(tuple(map(tuple, corners.tolist())), tuple(map(tuple, edges.tolist())), (x, y))

    def distance_sq(self, viewer: tuple[float, float]) -> float:
        """Squared distance to the centre, in square metres."""
        return (self.middle[0] - viewer[0]) ** 2 + (self.middle[1] - viewer[1]) ** 2


def hides(one: Footprint, other: Footprint, viewer: tuple[float, float]) -> bool:
    """Whether `one` is between the viewer and `other`.

    A line of sight crosses the line that separates the two at most once, so the object on the viewer's side cannot be
    hidden. If no line along an edge separates them, the one with the nearer centre counts as in front.
    """
    for owner, guest in ((one, other), (other, one)):
        for a, b, c in owner.edges:
            for x, y in guest.corners:
                if a * x + b * y - c < -_TOUCHING_M:
                    break
            else:
                guest_is_nearer = a * viewer[0] + b * viewer[1] - c > 0
                return guest_is_nearer is (guest is one)
    return one.distance_sq(viewer) < other.distance_sq(viewer)
