"""Retrieval scores: how well vectors of single crops find the same vehicle in other cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demo.training.crops import Crop

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sightings:
    """Vehicle and camera of each of `n` crops."""

    identities: Numbers
    """`(n,)`."""
    cameras: Numbers
    """`(n,)`; camera indices, the same in all scenes."""

    @classmethod
    def of(cls, crops: Sequence[Crop]) -> Sightings:
        numbers = {name: number for number, name in enumerate(sorted({crop.camera for crop in crops}))}
        identities = np.array([crop.identity for crop in crops], np.int64)
        return cls(identities, np.array([numbers[crop.camera] for crop in crops], np.int64))


@dataclass(frozen=True)
class Retrieval:
    """Scores of one embedder on one set of crops; only crops of different cameras are compared."""

    rank1: float
    """Share of the queries whose nearest crop from another camera shows the same vehicle."""
    queries: int
    """Number of crops of vehicles that another camera also sees."""
    identities: int
    """Number of vehicles among all crops; each of them can be the nearest."""
    same_mean: float
    same_deviation: float
    """Cosines of crops of one vehicle."""
    different_mean: float
    different_deviation: float
    """Cosines of crops of two vehicles."""

    def __str__(self) -> str:
        return (
            f"rank-1 {self.rank1:.3f} of {self.queries} crops among {self.identities} vehicles, "
            f"cosine {self.same_mean:.3f} ± {self.same_deviation:.3f} same, "
            f"{self.different_mean:.3f} ± {self.different_deviation:.3f} different"
        )


def retrieval(vectors: Floats, sightings: Sightings) -> Retrieval:
    """Scores unit `vectors` `(n, D)`, in the order of `sightings`."""
    hits = queries = 0
    same_moments, different_moments = np.zeros(3), np.zeros(3)
    for camera in np.unique(sightings.cameras):
        here = sightings.cameras == camera
        cosines = vectors[here] @ vectors[~here].T
        matches = sightings.identities[here][:, None] == sightings.identities[~here][None, :]
        is_query = matches.any(axis=1)
        nearest = cosines[is_query].argmax(axis=1)
        hits += int(matches[is_query][np.arange(len(nearest)), nearest].sum())
        queries += len(nearest)
        same_moments += _moments(cosines[matches])
        different_moments += _moments(cosines[~matches])
    same, different = _mean_and_deviation(same_moments), _mean_and_deviation(different_moments)
    return Retrieval(hits / max(1, queries), queries, len(np.unique(sightings.identities)), *same, *different)


def _moments(values: Floats) -> npt.NDArray[np.float64]:
    return np.array([len(values), values.sum(dtype=np.float64), np.square(values).sum(dtype=np.float64)])


def _mean_and_deviation(moments: npt.NDArray[np.float64]) -> tuple[float, float]:
    count, total, squares = moments / max(1.0, moments[0])
    mean = total / max(count, 1e-12)
    return float(mean), float(np.sqrt(max(0.0, squares / max(count, 1e-12) - mean**2)))
