"""What a search by appearance finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Scores: TypeAlias = npt.NDArray[np.float64]
Groups: TypeAlias = Sequence[Sequence[int]]
"""Rows of the track table."""
Likeness: TypeAlias = tuple[Scores, Scores]
"""For each group its score, which says how likely it is the same object, and its similarity in [-1, 1]."""


@dataclass(frozen=True)
class Lookalike:
    """An identity that a crop was compared with."""

    gid: int
    score: float
    """In the live mode, the natural logarithm of how much likelier one object is than two, by appearance alone. In the
    reference mode, the similarity."""
    similarity: float
    """Cosine similarity from -1 to 1; in the live mode without the means of the cameras."""
