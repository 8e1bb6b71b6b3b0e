"""How alike two groups of tracks are: the four linkages over cosine similarity. Pure."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Linkage = Literal["average", "single", "complete", "mean_feature"]
Features = npt.NDArray[np.float32]
Groups = npt.NDArray[np.intp]


def group_similarity(a: Features, groups_a: Groups, b: Features, groups_b: Groups, linkage: Linkage) -> Features:
    """The similarity of every group of `a` with every group of `b`.

    `a` is `(n, D)`, `b` `(m, D)`, both of unit norm; `groups_a` `(n,)` and `groups_b` `(m,)` number the group of each
    row, from 0, sorted, without gaps. Returns `(groups of a, groups of b)` in [-1, 1]. `average` is the mean over all
    pairs, `single` the best pair, `complete` the worst, `mean_feature` the cosine between the groups' mean directions.
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
    """`(n, D)` with every row at norm 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _starts(groups: Groups) -> npt.NDArray[np.intp]:
    return np.flatnonzero(np.diff(groups, prepend=-1))
