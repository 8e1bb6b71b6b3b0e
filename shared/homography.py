"""Homographies: plane mappings between two pictures, or a picture and the ground. Pure.

Direct linear transformation with normalised points: Hartley and Zisserman, "Multiple View Geometry", 2nd edition, 4.4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
_UNKNOWNS = 8
"""Of a homography."""
_WEAK = 1e-5
"""Points with three of four on a line are below, and points of real pictures far above."""


def least_squares(points: Points, others: Points) -> Matrix | None:
    """The homography with the least algebraic error, `(3, 3)`; None if the points do not determine one."""
    (normal, scaling), (other_normal, other_scaling) = _normalised(points), _normalised(others)
    rows = equations(normal, other_normal)
    vector = np.linalg.eigh(rows.T @ rows)[1][:, 0]
    matrix: Matrix = np.linalg.inv(other_scaling) @ vector.reshape(3, 3) @ scaling
    return next(iter(oriented(matrix[None], points[None])), None)


def determine_one(points: Points, others: Points) -> bool:
    """Whether the points determine a single homography: four of them, no three on a line."""
    (normal, _), (other_normal, _) = _normalised(points), _normalised(others)
    strengths = np.linalg.svd(equations(normal, other_normal), compute_uv=False)
    return len(strengths) >= _UNKNOWNS and bool(strengths[_UNKNOWNS - 1] > _WEAK * strengths[0])


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


def oriented(matrices: Matrix, points: Points) -> Matrix:
    """Those of `matrices`, `(k, 3, 3)`, that are invertible, with norm 1 and most of their `points` in front."""
    matrices = matrices / np.linalg.norm(matrices, axis=(1, 2), keepdims=True)
    depths = points @ matrices[:, 2, :2, None] + matrices[:, None, 2, 2:]
    matrices = matrices * np.sign(np.median(depths[..., 0], axis=1))[:, None, None]
    return matrices[np.isfinite(matrices).all(axis=(1, 2)) & (np.abs(np.linalg.det(matrices)) > 1e-30)]


def equations(points: Points, others: Points) -> Matrix:
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
