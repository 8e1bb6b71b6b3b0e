"""Fits the mapping of the ground from one picture to another to points that are partly wrong. Pure.

Direct linear transformation with normalised points: Hartley and Zisserman, "Multiple View Geometry", 2nd edition, 4.4.
Random sample consensus: Fischler and Bolles, 1981.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
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


def least_squares(points: Points, others: Points) -> Matrix | None:
    """The homography with the least algebraic error, `(3, 3)`; None if the points do not determine one."""
    (normal, scaling), (other_normal, other_scaling) = _normalised(points), _normalised(others)
    equations = _equations(normal, other_normal)
    vector = np.linalg.eigh(equations.T @ equations)[1][:, 0]
    matrix: Matrix = np.linalg.inv(other_scaling) @ vector.reshape(3, 3) @ scaling
    return next(iter(_oriented(matrix[None], points[None])), None)


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


def mapped(matrices: Matrix, points: Points) -> Points:
    """`points`, `(…, n, 2)`, in the other picture; nan for points on or beyond the horizon."""
    with np.errstate(all="ignore"):
        uniform = points @ np.swapaxes(matrices[..., :2], -1, -2) + matrices[..., None, :, 2]
        depth = uniform[..., 2:]
        found: Points = np.where(depth > 1e-15, uniform[..., :2] / depth, np.nan)
    return found


def inverse(matrices: Matrix) -> Matrix:
    """The homographies in the opposite direction."""
    return np.linalg.inv(matrices).astype(np.float64)


def _of_four(points: Points, others: Points) -> Matrix:
    """Homographies through four correspondences each: `(k, 4, 2)` to `(j, 3, 3)`, without degenerate ones."""
    equations = np.stack([_equations(p, q) for p, q in zip(points, others, strict=True)])
    known, wanted = equations[:, :, :8], -equations[:, :, 8]
    scale = np.abs(known).max(axis=(1, 2))
    sound = np.linalg.cond(known / scale[:, None, None]) < 1e12
    solved = np.linalg.solve(known[sound], wanted[sound][:, :, None])[:, :, 0]
    matrices = np.concatenate([solved, np.ones((len(solved), 1))], axis=1).reshape(-1, 3, 3)
    return _oriented(matrices, points[sound])


def _oriented(matrices: Matrix, points: Points) -> Matrix:
    """Those of `matrices`, `(k, 3, 3)`, that are invertible, with norm 1 and most of their `points` in front."""
    matrices = matrices / np.linalg.norm(matrices, axis=(1, 2), keepdims=True)
    depths = points @ matrices[:, 2, :2, None] + matrices[:, None, 2, 2:]
    matrices = matrices * np.sign(np.median(depths[..., 0], axis=1))[:, None, None]
    return matrices[np.isfinite(matrices).all(axis=(1, 2)) & (np.abs(np.linalg.det(matrices)) > 1e-30)]


def _equations(points: Points, others: Points) -> Matrix:
    """The `(2n, 9)` equations of the direct linear transformation."""
    one, zero = np.ones((len(points), 1)), np.zeros((len(points), 3))
    uniform = np.concatenate([points, one], axis=1)
    first = np.concatenate([uniform, zero, -others[:, :1] * uniform], axis=1)
    second = np.concatenate([zero, uniform, -others[:, 1:] * uniform], axis=1)
    return np.stack([first, second], axis=1).reshape(-1, 9)


def _normalised(points: Points) -> tuple[Points, Matrix]:
    centre = points.mean(axis=0)
    scale = np.sqrt(2.0) / max(float(np.linalg.norm(points - centre, axis=1).mean()), 1e-9)
    matrix = np.array([[scale, 0.0, -scale * centre[0]], [0.0, scale, -scale * centre[1]], [0.0, 0.0, 1.0]])
    return (points - centre) * scale, matrix
