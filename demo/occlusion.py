"""Which of two things on the ground hides the other from a viewer: by a straight line that separates them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TOUCHING_M = 1e-6


def hides(footprint: Floats, others: Floats, viewer: Floats) -> npt.NDArray[np.bool_]:
    """`(k,)`: which of `others` `(k, 4, 2)` stand between the viewer `(2,)` and `footprint` `(4, 2)`.

    All are convex and counter-clockwise. Where no line along an edge separates the two, the nearer middle counts.
    """
    middles = others.mean(axis=1)
    answer = np.linalg.norm(middles - viewer, axis=1) < np.linalg.norm(footprint.mean(axis=0) - viewer)
    decided = np.zeros(len(others), bool)
    starts, normals = footprint, _outward(footprint)
    # (edges, others, corners): how far each corner lies outside of each of our edges.
    outside = ((others[None] - starts[:, None, None]) * normals[:, None, None]).sum(axis=-1).min(axis=-1) > -_TOUCHING_M
    seen = ((viewer - starts) * normals).sum(axis=1) > 0
    for edge in range(len(starts)):
        fresh = outside[edge] & ~decided
        answer[fresh] = seen[edge]
        decided |= outside[edge]
    their_normals = _outward(others)
    # (others, edges, corners): how far each of our corners lies outside of each of their edges.
    apart = ((footprint[None, None] - others[:, :, None]) * their_normals[:, :, None]).sum(axis=-1).min(axis=-1)
    they_face = ((viewer - others) * their_normals).sum(axis=-1) > 0
    for edge in range(others.shape[1]):
        fresh = (apart[:, edge] > -_TOUCHING_M) & ~decided
        answer[fresh] = ~they_face[fresh, edge]
        decided |= apart[:, edge] > -_TOUCHING_M
    return answer


def _outward(polygons: Floats) -> Floats:
    """Unit normals of the edges of counter-clockwise polygons `(..., n, 2)`."""
    along = polygons[..., [*range(1, polygons.shape[-2]), 0], :] - polygons
    normal = np.stack([along[..., 1], -along[..., 0]], axis=-1)
    return normal / np.sqrt((normal * normal).sum(axis=-1, keepdims=True))
