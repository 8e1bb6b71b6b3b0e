"""The last step of the embedder, which sets the mean cosines of its vectors.

A network trained only to distinguish vehicles drives cosines of the same vehicle towards 1 and of different ones
towards 0. Embedders on real cameras do not get that far, so the demo would be too easy. The training therefore has
target means for the cosines, `SAME` and `DIFFERENT`. The means of unseen vehicles differ a little from the targets; two
numbers, fitted on the validation scenes, correct them:

- sharpness: along the principal axes of the vectors, each coordinate is scaled by its variance to the power of
  `-sharpness` (0: unchanged; 0.5: whitened; below 0: smoothed). More weight on axes that hardly distinguish most
  vehicles lowers the cosines of the same vehicle.
- common: one more direction, equal in all vectors, turns each cosine c into (1 - common) · c + common. This changes no
  order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from demo.training.retrieval import Floats, Sightings, retrieval

# The intended difficulty of the demo.
SAME, DIFFERENT = 0.60, 0.25
# The means that the last step aims at for unseen vehicles. Sharpening costs rank-1, so the target is in the upper part
# of the tolerance around 0.60.
_CALIBRATED_SAME = 0.64
_RIDGE = 1e-4


@dataclass(frozen=True, eq=False)
class EmbeddingCalibration:
    """Maps `x` to `(x - offset) @ matrix`, scales it to unit norm, and appends the common direction."""

    matrix: Floats
    """`(D, D)`."""
    offset: Floats
    """`(D,)`."""
    common: float
    """Share of the squared norm that the common direction has, in [0, 1)."""

    def applied(self, vectors: Floats) -> Floats:
        """Maps unit vectors `(n, D)` to unit vectors `(n, D + 1)`."""
        turned = (vectors - self.offset) @ self.matrix
        own = turned / np.linalg.norm(turned, axis=1, keepdims=True) * np.sqrt(1 - self.common)
        common = np.full((len(own), 1), np.sqrt(self.common))
        return np.concatenate([own, common], axis=1).astype(np.float32)


def calibrate(vectors: Floats, sightings: Sightings) -> EmbeddingCalibration:
    """Fits the two numbers to unit `vectors` `(n, D)` of a trained network, as close to the targets as possible."""
    offset = vectors.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov((vectors - offset).T))
    variances = np.maximum(variances, 0) + _RIDGE * variances.max()

    def sharpened(sharpness: float, common: float) -> EmbeddingCalibration:
        matrix = axes * variances**-sharpness @ axes.T
        return EmbeddingCalibration(matrix.astype(np.float32), offset.astype(np.float32), common)

    def means(sharpness: float) -> tuple[float, float]:
        found = retrieval(sharpened(sharpness, 0.0).applied(vectors), sightings)
        return found.same_mean, found.different_mean

    def excess(sharpness: float) -> float:
        same, different = means(sharpness)
        return (1 - DIFFERENT) * (same - different) / (1 - different) - (_CALIBRATED_SAME - DIFFERENT)

    lowest, highest = -1.0, 1.0
    if excess(lowest) * excess(highest) < 0:
        sharpness = float(brentq(excess, lowest, highest, xtol=1e-3))
    else:
        sharpness = min((lowest, highest), key=lambda end: abs(excess(end)))
    _, different = means(sharpness)
    return sharpened(sharpness, max(0.0, (DIFFERENT - different) / (1 - different)))
