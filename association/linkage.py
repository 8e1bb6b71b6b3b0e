"""Similarity between groups of tracks: four linkages over cosine similarity. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Linkage = Literal["average", "single", "complete", "mean_feature"]
Features = npt.NDArray[np.float32]
Groups = npt.NDArray[np.intp]


def group_similarity(a: Features, groups_a: Groups, b: Features, groups_b: Groups, linkage: Linkage) -> Features:
    """Similarity of every group of `a` with every group of `b`.

    `average` is the mean over all pairs of rows, `single` the best pair, `complete` the worst pair (the usual linkages
    of agglomerative clustering), and `mean_feature` the cosine between the mean directions of the groups.

    Args:
        a: `(n, D)` float32, unit norm.
        groups_a: `(n,)` intp, the group of each row of `a`: from 0, ascending, without gaps.
        b: `(m, D)` float32, unit norm.
        groups_b: `(m,)` intp, likewise for `b`.
        linkage: how the similarities of rows are combined.

    Returns:
        `(groups of a, groups of b)` float32 in [-1, 1].
    """
    if len(a) == 0 or len(b) == 0:
        return np.zeros((groups_a.max(initial=-1) + 1, groups_b.max(initial=-1) + 1), np.float32)
    starts_a, starts_b = _starts(groups_a), _starts(groups_b)
    if linkage in ("average", "mean_feature"):
        sums_a, sums_b = np.add.reduceat(a, starts_a), np.add.reduceat(b, starts_b)
        if linkage == "average":
            counts = np.outer(np.bincount(groups_a), np.bincount(groups_b))
            return (sums_a @ sums_b.T / counts).astype(np.float32)
        return unit(sums_a) @ unit(sums_b).T
    pairs = a @ b.T
    choose = np.maximum if linkage == "single" else np.minimum
    return choose.reduceat(choose.reduceat(pairs, starts_a, axis=0), starts_b, axis=1)


def unit(vectors: Features) -> Features:
    """Scale every row of `vectors`, `(n, D)` float32, to unit norm; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _starts(groups: Groups) -> npt.NDArray[np.intp]:
    return np.flatnonzero(np.diff(groups, prepend=-1))
