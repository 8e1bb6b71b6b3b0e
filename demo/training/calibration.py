"""The last step of the embedder: which cosines its vectors have.

A network trained only to tell vehicles apart drives cosines of the same vehicle towards 1 and of different ones
towards 0, further than real cameras let an embedder: the demo would be too easy an exam. So the training
asks for mean cosines of `SAME` and `DIFFERENT`; what unseen vehicles give differs a little, and two numbers, found on
the validation scenes, bring them there. Along the principal axes of the vectors each coordinate is scaled by its
variance to the power of `-sharpness` (0: as it was; 0.5: whitened; below 0: smoothed): the more weight goes to what
hardly tells most vehicles apart, the lower are the cosines of the same vehicle. One more direction, the same for all
vectors, then turns all cosines c into (1 - common) · c + common, which changes no order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from demo.training.retrieval import Floats, Sightings, retrieval

# How hard the demo is meant to be.
SAME, DIFFERENT = 0.60, 0.25
# What the last step brings the means of unseen vehicles to. Sharpening costs rank-1, so of what counts as about 0.60 it
# takes the upper part.
_CALIBRATED_SAME = 0.64
_RIDGE = 1e-4


@dataclass(frozen=True, eq=False)
class EmbeddingCalibration:
    """`x` becomes `(x - offset) @ matrix`, is scaled to unit norm again, and gets the direction in common."""

    matrix: Floats
    """`(D, D)`."""
    offset: Floats
    """`(D,)`."""
    common: float
    """In [0, 1): share of the squared norm."""

    def applied(self, vectors: Floats) -> Floats:
        """Unit vectors `(n, D + 1)` of unit vectors `(n, D)`."""
        turned = (vectors - self.offset) @ self.matrix
        own = turned / np.linalg.norm(turned, axis=1, keepdims=True) * np.sqrt(1 - self.common)
        common = np.full((len(own), 1), np.sqrt(self.common))
        return np.concatenate([own, common], axis=1).astype(np.float32)


def calibrate(vectors: Floats, sightings: Sightings) -> EmbeddingCalibration:
    """For unit `vectors` `(n, D)` of a trained network; as near to the wanted means as the two numbers get."""
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
