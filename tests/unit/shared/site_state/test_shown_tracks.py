"""Which tracks of a camera are shown, from its newest entries."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.messages import TrackBatch
from shared.site_state.shown_tracks import ShownTracks, TickEntry, entries_needed, shown_tracks, tick_entries
from shared.site_state.states import tracks_limit_s

T0_MS = 1_700_000_000_000
FPS = 10


def entry(
    tick: int, *, tracks: Collection[int] = (), ended: Collection[int] = (), picture: bool = True, fps: float = FPS
) -> TickEntry:
    """An entry that a worker writes 20 ms after its tick; site time is 5 s behind Redis time."""
    at_ms = round(tick * 1000 / fps)
    entry_id = f"{T0_MS + at_ms + 20}-0"
    time_ns = (T0_MS + at_ms - 5000) * 1_000_000
    return TickEntry(entry_id, time_ns, len(tracks), picture, frozenset(tracks), frozenset(ended))


def shown(*entries: TickEntry, after_ms: int | None = 0, fps: float = FPS) -> ShownTracks:
    """What is shown `after_ms` after the last of the entries, oldest first; None: in virtual mode."""
    now_ms = entries[-1].written_ms + after_ms if after_ms is not None else None
    newest = entries[-entries_needed(fps) :][::-1]
    found = shown_tracks(newest, limit_s=tracks_limit_s(fps), now_ms=now_ms)
    assert found is not None
    return found


def ids(*entries: TickEntry, after_ms: int | None = 0, fps: float = FPS) -> set[int]:
    """The tracks in view, as a reader selects them from the returned entry."""
    found = shown(*entries, after_ms=after_ms, fps=fps)
    holder = next(entry for entry in entries if entry.entry_id == found.entry_id)
    picked = set(holder.track_ids - found.ended) if found.fresh else set()
    assert found.count == len(picked)
    return picked


def test_a_tick_without_a_picture_leaves_the_tracks_of_the_last_picture() -> None:
    picture = entry(1, tracks=[7, 8])
    assert shown(picture, entry(2, picture=False)) == ShownTracks(picture.entry_id, 2, fresh=True)


def test_an_empty_view_shows_no_tracks_at_once() -> None:
    assert shown(entry(1, tracks=[7]), entry(2)) == ShownTracks(entry(2).entry_id, 0, fresh=True)


def test_a_track_that_ended_since_the_picture_is_not_shown() -> None:
    assert ids(entry(1, tracks=[7, 8]), entry(2, picture=False, ended=[7]), entry(3, picture=False)) == {8}


@pytest.mark.parametrize(
    ("fps", "last_shown"), [(10, 10), (30, 30), (1, 2), (0.5, 2)], ids=["10/s", "30/s", "1/s", "one in 2 s"]
)
def test_tracks_are_shown_for_a_second_and_for_two_ticks(fps: float, last_shown: int) -> None:
    picture = entry(0, tracks=[7], fps=fps)
    for later in (last_shown, last_shown + 1):
        entries = [picture, *(entry(tick, picture=False, fps=fps) for tick in range(1, later + 1))]
        expected = {7} if later == last_shown else set()
        assert ids(*entries, fps=fps) == ids(*entries, fps=fps, after_ms=None) == expected
        assert shown(*entries, fps=fps).fresh is bool(expected)


def test_tracks_of_a_camera_that_stopped_writing_go_stale_too() -> None:
    entries = entry(1, tracks=[7]), entry(2, picture=False)
    assert [ids(*entries, after_ms=ms) for ms in (0, 900, 901)] == [{7}, {7}, set()]
    assert [ids(entries[0], after_ms=ms) for ms in (1000, 1001)] == [{7}, set()]


def test_in_virtual_mode_tracks_do_not_go_stale_while_waiting() -> None:
    assert ids(entry(1, tracks=[7]), after_ms=None) == {7}


def test_without_an_entry_nothing_is_known() -> None:
    assert shown_tracks([], limit_s=1, now_ms=T0_MS) is None


def test_an_entry_that_cannot_be_read_hides_what_was_before_it() -> None:
    broken = TickEntry("1-0", 0, 0, has_picture=True, readable=False)
    assert shown(entry(1, tracks=[7]), broken) == ShownTracks("1-0", None, fresh=False)


Step = tuple[bool, frozenset[int], frozenset[int]]
"""Whether there is a picture, which tracks would be in it, and which tracks end meanwhile."""
STEPS = st.lists(
    st.tuples(st.booleans(), st.frozensets(st.integers(1, 5)), st.frozensets(st.integers(1, 5))),
    min_size=1,
    max_size=40,
)


@given(steps=STEPS, after_ms=st.integers(0, 1500))
@example(steps=[(True, frozenset({1}), frozenset()), *([(False, frozenset(), frozenset())] * 12)], after_ms=0)
def test_what_is_shown_follows_the_last_picture_for_any_entries(steps: list[Step], after_ms: int) -> None:
    """Compares with a model that goes through all entries from the beginning and remembers what is in view."""
    entries: list[TickEntry] = []
    in_view: set[int] = set()
    picture_tick = None
    for tick, (picture, seen, ended) in enumerate(steps):
        entries.append(
            entry(tick, tracks=sorted(seen - ended) if picture else (), ended=sorted(ended), picture=picture)
        )
        in_view -= ended
        if picture:
            in_view, picture_tick = set(seen - ended), tick
    age_ms = None if picture_tick is None else (len(steps) - 1 - picture_tick) * 100 + after_ms
    expected = in_view if age_ms is not None and age_ms <= 1000 else set()
    assert ids(*entries, after_ms=after_ms) == expected


@pytest.mark.parametrize("pictures_per_s", [2, 3, 5, 7, 8, 9])
def test_a_camera_slower_than_the_clock_never_flickers(pictures_per_s: int) -> None:
    """A track that is in view all the time is shown at every tick."""
    entries: list[TickEntry] = []
    for tick in range(50):
        picture = tick * pictures_per_s // FPS != (tick - 1) * pictures_per_s // FPS
        entries.append(entry(tick, tracks=[7] if picture else (), picture=picture))
        assert ids(*entries) == {7}, f"tick {tick}"


def payload(*track_ids: int, ended: int = 3, width: int = 640) -> bytes:
    n = len(track_ids)
    return TrackBatch(
        track_ids=np.array(track_ids, np.int64),
        boxes_xyxy=np.zeros((n, 4), np.float32),
        scores=np.zeros(n, np.float32),
        class_ids=np.zeros(n, np.int16),
        qualities=np.zeros(n, np.float32),
        embedding_rows=np.full(n, -1, np.int32),
        ended=np.array([ended], np.int64),
        width=width,
        height=width,
    ).encode()


@pytest.mark.parametrize(
    ("n", "content", "expected"),
    [
        (b"2", b"", TickEntry("77-0", 5, 2, has_picture=True)),
        (b"1", payload(9), TickEntry("77-0", 5, 1, True, frozenset({9}), frozenset({3}))),
        (b"0", payload(), TickEntry("77-0", 5, 0, True, frozenset(), frozenset({3}))),
        (b"0", payload(width=0), TickEntry("77-0", 5, 0, False, frozenset(), frozenset({3}))),
        # A recording that was imported without the picture size.
        (b"1", payload(9, width=0), TickEntry("77-0", 5, 1, True, frozenset({9}), frozenset({3}))),
    ],
)
def test_rows_of_the_script_become_entries(n: bytes, content: bytes, expected: TickEntry) -> None:
    assert tick_entries([[b"77-0", b"5", n, content]]) == [expected]


@pytest.mark.parametrize(
    ("time_ns", "n", "content"),
    [
        *((b"x", b"1", payload(9)), (b"5", b"2", payload(9)), (b"5", b"", payload(9)), (b"5", b"-1", b"")),
        *((b"5", b"0", b""), (b"5", b"0", b"rubbish"), (b"", b"2", b""), (b"5", b"9" * 30, b"")),
    ],
)
def test_malformed_rows_are_marked(time_ns: bytes, n: bytes, content: bytes) -> None:
    (found,) = tick_entries([[b"77-0", time_ns, n, content]])
    assert not found.readable
