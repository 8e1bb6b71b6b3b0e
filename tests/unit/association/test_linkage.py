"""The four linkages against a straightforward reference implementation."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from association.linkage import Features, Linkage, group_similarity, unit

LINKAGES: tuple[Linkage, ...] = get_args(Linkage)


def slowly(a: list[Features], b: list[Features], linkage: Linkage) -> float:
    """Between two groups of vectors."""
    pairs = [float(np.dot(x, y)) for x in a for y in b]
    if linkage == "mean_feature":
        one, other = np.sum(a, axis=0), np.sum(b, axis=0)
        norms = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(np.dot(one, other)) / norms if norms else 0.0
    return {"average": float(np.mean(pairs)), "single": max(pairs), "complete": min(pairs)}[linkage]


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from(LINKAGES),
    st.integers(0, 2**32 - 1),
)
def test_every_linkage_agrees_with_a_slow_reference(
    sizes_a: list[int], sizes_b: list[int], linkage: Linkage, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = (unit(rng.standard_normal((sum(sizes), 8)).astype(np.float32)) for sizes in (sizes_a, sizes_b))
    numbers_a, numbers_b = (np.repeat(np.arange(len(sizes)), sizes) for sizes in (sizes_a, sizes_b))
    fast = group_similarity(a, numbers_a, b, numbers_b, linkage)
    slow = [
        [slowly(list(a[numbers_a == i]), list(b[numbers_b == j]), linkage) for j in range(len(sizes_b))]
        for i in range(len(sizes_a))
    ]
    np.testing.assert_allclose(fast, slow, atol=1e-5)


@pytest.mark.parametrize("linkage", LINKAGES)
def test_empty_groups_have_an_empty_similarity(linkage: Linkage) -> None:
    empty, none = np.zeros((0, 4), np.float32), np.zeros(0, np.intp)
    one = np.ones((1, 4), np.float32) / 2
    assert group_similarity(empty, none, one, np.zeros(1, np.intp), linkage).shape == (0, 1)
    assert group_similarity(one, np.zeros(1, np.intp), empty, none, linkage).shape == (1, 0)


def test_a_track_without_embeddings_has_the_zero_vector() -> None:
    assert not unit(np.zeros((1, 4), np.float32)).any()
