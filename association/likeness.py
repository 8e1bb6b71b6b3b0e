"""A search by appearance: which identities look like a crop. Pure.

A gallery is a copy of what identities look like, so that the comparison can run beside the next cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from association.linkage import Features

Scores: TypeAlias = npt.NDArray[np.float64]
Groups: TypeAlias = Sequence[Sequence[int]]
"""Rows of the track table."""
Likeness: TypeAlias = tuple[Scores, Scores]
"""For each group its score, which says how likely it is the same object, and its similarity in [-1, 1]; both -inf if it
cannot be compared."""


class Gallery(Protocol):
    """How groups of tracks look; a copy that any thread may use."""

    def likeness(self, embedding: Features) -> Likeness | None:
        """Compares a crop, `(D,)` float32 with unit norm, with each group; None if it has another length."""


@dataclass(frozen=True)
class Lookalike:
    """An identity that a crop was compared with."""

    gid: int
    score: float
    """In the live mode, the natural logarithm of how much likelier one object is than two, by appearance alone. In the
    reference mode, the similarity."""
    similarity: float
    """Cosine similarity from -1 to 1; in the live mode without the means of the cameras."""


@dataclass(frozen=True)
class IdentityGallery:
    """How all identities look."""

    gids: Sequence[int]
    gallery: Gallery | None
    """None: none of them can be compared."""

    def search(self, embedding: Features) -> list[Lookalike]:
        """Every identity that a crop, `(D,)` float32 with unit norm, can be compared with, the nearest first."""
        found = None if self.gallery is None else self.gallery.likeness(embedding)
        if found is None:
            return []
        alike = map(Lookalike, self.gids, *(np.round(part, 4).tolist() for part in found))
        return sorted((one for one in alike if one.score > -np.inf), key=lambda one: (-one.score, one.gid))


def flat(groups: Groups) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """All rows of the groups, and for each group the place of its first one."""
    rows = np.array([row for group in groups for row in group], np.intp)
    return rows, np.cumsum([0, *map(len, groups)])[:-1]
