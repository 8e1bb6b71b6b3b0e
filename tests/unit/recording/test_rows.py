from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recording.rows import AssignmentRows, camera_tracks, gids_at
from shared.messages import TrackBatch, TrackEntry

CHANGES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1), st.integers(1, 3), st.integers(0, 4)), max_size=12)
ASKED = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 14)), max_size=12)


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@settings(deadline=None)
@given(changes=CHANGES, asked=ASKED)
def test_a_gid_is_that_of_the_latest_change_up_to_the_tick(
    changes: list[tuple[int, int, int, int]], asked: list[tuple[int, int]]
) -> None:
    changes = sorted(changes, key=lambda change: change[0])
    assignments = AssignmentRows.of((*change, -1) for change in changes)
    tracks, ticks = ids(*(track for track, _ in asked)), ids(*(tick for _, tick in asked))
    for camera in (0, 1):
        expected = [
            next((g for at, c, t, g in reversed(changes) if c == camera and t == track and at <= tick), 0)
            for track, tick in asked
        ]
        assert gids_at(assignments, camera, tracks, ticks).tolist() == expected


def test_the_cycle_of_a_tick_counts_for_that_tick() -> None:
    assignments = AssignmentRows.of([(5, 0, 7, 1, -1), (8, 0, 7, 2, -1), (11, 0, 7, 0, -1)])
    found = gids_at(assignments, 0, ids(7, 7, 7, 7, 7, 7), ids(4, 5, 7, 8, 10, 11))
    assert found.tolist() == [0, 1, 1, 2, 2, 0]


def test_track_ids_of_real_size_and_ticks_of_years_do_not_overflow() -> None:
    large, late = 1_790_000_000_000_000, 4_000_000_000
    assignments = AssignmentRows.of([(1, 0, large, 3, -1), (late, 0, large + 1, 4, -1)])
    found = gids_at(assignments, 0, ids(large, large + 1, large + 1), ids(late, late - 1, late))
    assert found.tolist() == [3, 0, 4]


def entry(tick: int, n: int, m: int, dimension: int = 2, ended: tuple[int, ...] = (), width: int = 0) -> TrackEntry:
    batch = TrackBatch(
        track_ids=np.arange(n, dtype=np.int64) + 10 * tick,
        boxes_xyxy=np.full((n, 4), tick, np.float32),
        scores=np.full(n, 0.5, np.float32),
        class_ids=np.zeros(n, np.int16),
        qualities=np.ones(n, np.float32),
        embedding_rows=np.where(np.arange(n) < m, np.arange(n), -1).astype(np.int32),
        embeddings=np.full((m, dimension), tick, np.float16) if m else np.zeros((0, 0), np.float16),
        ended=np.array(ended, np.int64),
        embedder="e" if m else "",
        width=width,
        height=width,
    )
    return TrackEntry(tick, "A", tick, tick * 100, batch)


def test_entries_become_one_table_with_adjusted_embedding_rows() -> None:
    tracks = camera_tracks([entry(1, 2, 1), entry(2, 0, 0), entry(3, 3, 2, ended=(10, 11), width=640)])
    rows = tracks.rows
    assert rows.tick.tolist() == [1, 1, 3, 3, 3]
    assert rows.track_id.tolist() == [10, 11, 30, 31, 32]
    assert rows.embedding_row.tolist() == [0, -1, 1, 2, -1]
    known = rows.embedding_row >= 0
    assert rows.embeddings[rows.embedding_row[known], 0].tolist() == rows.tick[known].tolist()
    assert tracks.ticks.tolist() == [1, 2, 3]
    assert tracks.tick_time_ns.tolist() == [100, 200, 300]
    assert (tracks.ended_tick.tolist(), tracks.ended_track_id.tolist()) == ([3, 3], [10, 11])
    assert (rows.width, rows.height, rows.embedder) == (640, 640, "e")


def test_the_size_is_that_of_the_last_picture_when_the_last_entries_have_none() -> None:
    rows = camera_tracks([entry(1, 1, 0, width=320), entry(2, 1, 0, width=640), entry(3, 0, 0, ended=(20,))]).rows
    assert (rows.width, rows.height) == (640, 640)


@pytest.mark.parametrize("entries", [[], [entry(1, 0, 0)], [entry(1, 1, 0)]])
def test_without_boxes_or_embeddings_the_arrays_keep_their_shapes(entries: list[TrackEntry]) -> None:
    rows = camera_tracks(entries).rows
    n = sum(len(one.batch) for one in entries)
    assert rows.box_xyxy.shape == (n, 4)
    assert rows.embeddings.shape == (0, 0)
    assert rows.track_id.dtype == rows.embedding_row.dtype == np.int64
