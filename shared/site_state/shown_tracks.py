"""Which tracks of a camera to show. Pure.

An entry without a picture has no information about tracks: in live mode, a camera that is slower than the clock writes
one now and then. Readers keep showing the tracks of the last picture until it is stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import MessageError
from shared.lenient_values import whole
from shared.messages import TrackBatch


@dataclass(frozen=True)
class TickEntry:
    """The part of a `tracks:{camera}` entry that matters for what is shown."""

    entry_id: str
    """Its id in the stream."""
    time_ns: int
    """Site time of the picture; of the tick if there was no picture."""
    n: int
    """How many tracks were seen."""
    has_picture: bool
    track_ids: frozenset[int] = frozenset()
    """The tracks seen. Left empty for the newest entry if it has tracks: none of them can have ended since."""
    ended: frozenset[int] = frozenset()
    """Tracks that have ended since the previous entry; left empty in the same case as `track_ids`."""
    readable: bool = True
    """False if the entry does not follow the wire format; the other fields are then meaningless."""

    @property
    def written_ms(self) -> int:
        """When it was written, ms of Redis time."""
        return int(self.entry_id.partition("-")[0])


@dataclass(frozen=True)
class ShownTracks:
    """The tracks of a camera to show now."""

    entry_id: str
    """The entry that holds them; without a fresh picture, the camera's newest entry."""
    count: int | None
    """Their number; None: the entry cannot be read."""
    fresh: bool
    """Whether there is a picture that is not stale. If not, show nothing of the entry."""
    ended: frozenset[int] = frozenset()
    """Tracks that have ended since the entry; do not show them either."""


def entries_needed(target_fps: float) -> int:
    """How many of a camera's newest entries to read: those within the time limit for tracks, plus two."""
    return round(max(target_fps, 2)) + 2


def shown_tracks(entries: Sequence[TickEntry], *, limit_s: float, now_ms: int | None) -> ShownTracks | None:
    """The tracks to show, given the newest entries of a camera, newest first; None if there is no entry.

    They are the tracks of the last picture, without those that ended since, or none if that picture is older than
    `limit_s`. Its age is the site time between it and the newest entry, plus the time since that entry was written.
    `now_ms` is Redis time, or None in virtual mode, where entries do not age while the site waits.
    """
    if not entries:
        return None
    newest = entries[0]
    ended: frozenset[int] = frozenset()
    for entry in entries:
        if not entry.readable:
            return ShownTracks(entry.entry_id, None, fresh=False)
        if entry.has_picture:
            age_ns = newest.time_ns - entry.time_ns
            if now_ms is not None:
                age_ns += (now_ms - newest.written_ms) * 1_000_000
            if age_ns > limit_s * 1e9:
                break
            return ShownTracks(entry.entry_id, entry.n - len(entry.track_ids & ended), fresh=True, ended=ended)
        ended |= entry.ended
    return ShownTracks(newest.entry_id, 0, fresh=False)


def tick_entries(answer: Any) -> list[TickEntry]:
    """The entries of one camera as `lua/newest_tracks.lua` returns them."""
    return [_tick_entry(*row) for row in answer]


def _tick_entry(entry_id: bytes, time_ns: bytes, n: bytes, payload: bytes) -> TickEntry:
    name, at_ns, count = entry_id.decode(), whole(time_ns), whole(n)
    if at_ns is not None and count is not None and count > 0 and not payload:
        return TickEntry(name, at_ns, count, has_picture=True)
    try:
        batch = TrackBatch.decode(payload)
        if at_ns is None or count != len(batch):
            raise MessageError("its plain fields do not match its payload")
    except MessageError:
        return TickEntry(name, 0, 0, has_picture=True, readable=False)
    seen, ended = frozenset(batch.track_ids.tolist()), frozenset(batch.ended.tolist())
    # A recording that was imported without the picture size still has tracks.
    return TickEntry(name, at_ns, count, bool(count) or batch.width > 0, seen, ended)
