"""The four linkages, and the clustering of the reference mode, against straightforward implementations."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from association.changes import IdentityChanges
from association.identities import Identities
from association.linkage import Features, Linkage, group_similarity, unit
from association.outcome import CycleResult
from association.possibility import Possibility
from association.reference_grouping import ReferenceGrouping
from association.track_table import TrackTable
from tests.unit.association.scenes import overlapping, settings

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


def agglomerated(
    vectors: Features, cameras: list[int], classes: list[int], linkage: Linkage, minimum: float
) -> set[frozenset[int]]:
    """Agglomerative clustering as in `run_live_mtmc.py`: merge the most similar two clusters until none are left.

    Clusters that share a camera, or of different classes, never merge.
    """
    clusters = [[i] for i in range(len(vectors))]
    while True:
        pairs = [
            (slowly([vectors[i] for i in one], [vectors[i] for i in other], linkage), one, other)
            for k, one in enumerate(clusters)
            for other in clusters[:k]
            if not {cameras[i] for i in one} & {cameras[i] for i in other} and classes[one[0]] == classes[other[0]]
        ]
        first, *rest = sorted((pair[0] for pair in pairs), reverse=True) or [-1.0]
        assume(abs(first - minimum) > 1e-3 and all(first - other > 1e-3 for other in rest[:1]))  # not by rounding
        best = max(pairs, key=lambda pair: pair[0], default=(-1.0, [], []))
        if best[0] < minimum or not best[1]:
            return {frozenset(cluster) for cluster in clusters}
        clusters = [cluster for cluster in clusters if cluster not in best[1:]] + [best[1] + best[2]]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=9),
    st.sampled_from(LINKAGES),
    st.sampled_from([0.2, 0.5, 0.8]),
    st.integers(0, 2**32 - 1),
)
def test_the_reference_mode_clusters_live_tracks_like_literal_agglomerative_clustering(
    tracks: list[tuple[int, int]], linkage: Linkage, minimum: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    looks = rng.standard_normal((3, 8))
    vectors = unit((looks[rng.integers(0, 3, len(tracks))] + 0.5 * rng.standard_normal((len(tracks), 8))).astype("f4"))
    cameras, classes = [camera for camera, _ in tracks], [class_id for _, class_id in tracks]
    table, identities = TrackTable(), Identities()
    grouping = ReferenceGrouping(
        table, identities, Possibility(overlapping(4)), settings(linkage=linkage, min_similarity=minimum)
    )
    changes, result = IdentityChanges(table, identities), CycleResult()
    for number, (camera, class_id) in enumerate(tracks):
        row = table.add(camera, number, class_id, 1, 10**8)
        table.rows["last_ns"][row] = 10**9
        table.embed(np.array([row]), vectors[number : number + 1], np.ones(1, np.float32), "e")
        changes.join(row, changes.create(row), 0.0, result)
    grouping._merge_similar(result)
    found = {frozenset(int(table.rows["track_id"][row]) for row in identity.rows) for identity in identities}
    assert found == agglomerated(vectors, cameras, classes, linkage, minimum)


@pytest.mark.parametrize("linkage", LINKAGES)
def test_empty_groups_have_an_empty_similarity(linkage: Linkage) -> None:
    empty, none = np.zeros((0, 4), np.float32), np.zeros(0, np.intp)
    one = np.ones((1, 4), np.float32) / 2
    assert group_similarity(empty, none, one, np.zeros(1, np.intp), linkage).shape == (0, 1)
    assert group_similarity(one, np.zeros(1, np.intp), empty, none, linkage).shape == (1, 0)


def test_a_track_without_embeddings_has_the_zero_vector() -> None:
    assert not unit(np.zeros((1, 4), np.float32)).any()
