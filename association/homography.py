"""Fits the mapping of the ground from one picture to another to points that are partly wrong. Pure.

Random sample consensus: Fischler and Bolles, 1981.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.homography import Matrix, Points, equations, inverse, least_squares, mapped, oriented

_SAMPLES = 200
_REFITS = 4
_LEAST_INLIERS = 8
BEHIND = 1e9
"""Distance of a point that the mapping sends behind the camera."""


def fit_homography(
    points: Points, others: Points, sizes: Points, other_sizes: Points, within: float, seed: int
) -> tuple[Matrix, npt.NDArray[np.bool_]] | None:
    """The homography that most correspondences agree on, and which of them do; None if too few agree.

    Args:
        points: `(n, 2)` float64, in one picture.
        others: `(n, 2)` float64, the same places in the other picture.
        sizes: `(n,)` float64: length of the unit of `within` at each point, in pixels.
        other_sizes: `(n,)` float64: likewise in the other picture.
        within: largest distance of a correspondence that agrees, in sizes, in both pictures.
        seed: of the samples; equal input gives equal output.

    Returns:
        `(3, 3)` float64, of norm 1, with the points in front, and `(n,)` bool.
    """
    if len(points) < _LEAST_INLIERS:
        return None
    random = np.random.default_rng(seed)
    chosen = np.argsort(random.random((_SAMPLES, len(points))), axis=1)[:, :4]
    candidates = _of_four(points[chosen], others[chosen])
    if not len(candidates):
        return None
    agree = distances(candidates, points, others, sizes, other_sizes) < within
    agreeing: npt.NDArray[np.bool_] = agree[int(agree.sum(axis=1).argmax())]
    best: Matrix | None = None
    for _ in range(_REFITS):
        if agreeing.sum() < _LEAST_INLIERS:
            return None
        best = least_squares(points[agreeing], others[agreeing])
        if best is None:
            return None
        better = distances(best, points, others, sizes, other_sizes) < within
        if (better == agreeing).all():
            break
        agreeing = better
    return None if best is None or agreeing.sum() < _LEAST_INLIERS else (best, agreeing)


def distances(matrices: Matrix, points: Points, others: Points, sizes: Points, other_sizes: Points) -> Points:
    """How far each correspondence is from a homography: the larger of both directions, in sizes.

    Args:
        matrices: `(…, 3, 3)` float64, invertible.
        points: `(n, 2)` float64, in one picture.
        others: `(n, 2)` float64, the same places in the other picture.
        sizes: `(n,)` float64: unit of the result at each point, in pixels.
        other_sizes: `(n,)` float64: likewise in the other picture.

    Returns:
        `(…, n)` float64; `BEHIND` for a point that is sent behind the camera.
    """
    with np.errstate(all="ignore"):
        there = np.linalg.norm(mapped(matrices, points) - others, axis=-1) / other_sizes
        back = np.linalg.norm(mapped(inverse(matrices), others) - points, axis=-1) / sizes
        larger: Points = np.maximum(there, back)
    return np.where(np.isfinite(larger), larger, BEHIND)


def _of_four(points: Points, others: Points) -> Matrix:
    """Homographies through four correspondences each: `(k, 4, 2)` to `(j, 3, 3)`, without degenerate ones."""
    rows = np.stack([equations(p, q) for p, q in zip(points, others, strict=True)])
    known, wanted = rows[:, :, :8], -rows[:, :, 8]
    scale = np.abs(known).max(axis=(1, 2))
    sound = np.linalg.cond(known / scale[:, None, None]) < 1e12
    solved = np.linalg.solve(known[sound], wanted[sound][:, :, None])[:, :, 0]
    matrices = np.concatenate([solved, np.ones((len(solved), 1))], axis=1).reshape(-1, 3, 3)
    return oriented(matrices, points[sound])
