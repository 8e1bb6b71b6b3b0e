"""The track table: rows are added, removed, and restored bit-identically from a checkpoint."""

from __future__ import annotations

import msgpack
import numpy as np

from association.linkage import Features
from association.possibility import NEVER_NS
from association.track_table import TrackTable


def embeddings(*rows: list[float]) -> Features:
    return np.array(rows, np.float32)


def rows_of(*rows: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.array(rows, np.intp)


WEIGHT = np.ones(1, np.float32)


def test_a_track_is_found_by_camera_and_id() -> None:
    table = TrackTable()
    row, other = table.add(0, 7, 2, 1, 100), table.add(1, 7, 2, 1, 100)
    assert (table.find(0, 7), table.find(1, 7), table.find(2, 7), len(table)) == (row, other, None, 2)
    table.remove(row)
    assert (table.find(0, 7), table.find(1, 7), len(table)) == (None, other, 1)


def test_a_reused_row_keeps_nothing_of_the_previous_track() -> None:
    table = TrackTable()
    row = table.add(0, 1, 0, 1, 100)
    table.embed(rows_of(row), embeddings([1, 0]), WEIGHT, "m")
    table.remove(row)
    again = table.add(0, 2, 0, 5, 500)
    assert again == row
    assert not table.features(rows_of(again)).any()
    assert table.rows["embedded"][again] == 0
    assert table.visits([again])[0].open_until_ns == NEVER_NS


def test_good_crops_have_more_weight() -> None:
    table = TrackTable()
    row = table.add(0, 1, 0, 1, 100)
    table.embed(rows_of(row), embeddings([1, 0]), np.array([0.9], np.float32), "m")
    table.embed(rows_of(row), embeddings([0, 1]), np.array([0.1], np.float32), "m")
    np.testing.assert_allclose(table.features(rows_of(row)), [[9 / 82**0.5, 1 / 82**0.5]], rtol=1e-5)


def test_another_embedder_replaces_the_appearance_even_with_another_dimension() -> None:
    table = TrackTable()
    row, other = table.add(0, 1, 0, 1, 100), table.add(0, 2, 0, 1, 100)
    table.embed(rows_of(row, other), embeddings([1, 0], [0, 1]), np.ones(2, np.float32), "small")
    table.embed(rows_of(row), embeddings([0, 0, 0, 1]), WEIGHT, "large")
    np.testing.assert_array_equal(table.features(rows_of(row, other)), [[0, 0, 0, 1], [0, 1, 0, 0]])
    assert table.rows["embedded"][[row, other]].tolist() == [1, 1]
    assert table.rows["embedder"][row] != table.rows["embedder"][other]


def test_a_table_from_a_checkpoint_behaves_exactly_like_the_original() -> None:
    rng = np.random.default_rng(1)
    table = TrackTable()

    def live(table: TrackTable, rng: np.random.Generator, first_id: int) -> None:
        for track_id in range(first_id, first_id + 300):
            row = table.add(track_id % 3, track_id, 0, track_id, track_id)
            vector = rng.standard_normal((1, 16)).astype(np.float32)
            table.embed(rows_of(row), vector, np.array([0.3], np.float32), "m")
            if track_id % 2:
                table.remove(row)

    live(table, rng, 0)
    restored = TrackTable.from_dict(msgpack.unpackb(msgpack.packb(table.to_dict())))
    for one, seed in ((table, 2), (restored, 2)):
        live(one, np.random.default_rng(seed), 1000)
    assert restored.to_dict() == table.to_dict()
    used = np.flatnonzero(table.rows["used"])
    assert restored.features(used).tobytes() == table.features(used).tobytes()


def test_the_size_of_the_table_depends_on_the_peak_and_not_on_time() -> None:
    table = TrackTable()
    for track_id in range(5000):
        table.add(0, track_id, 0, 1, 1)
        if track_id >= 100:
            row = table.find(0, track_id - 100)
            assert row is not None
            table.remove(row)
    assert len(table.rows) == 256


def test_tracks_are_found_under_the_new_indices_of_their_cameras() -> None:
    table = TrackTable()
    rows = [table.add(camera, 1, 0, 1, 1) for camera in range(3)]
    table.renumber_cameras([1, 3, 0])
    assert [table.find(camera, 1) for camera in (1, 3, 0)] == rows
    assert table.find(2, 1) is None
