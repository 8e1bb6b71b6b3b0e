"""A recording as arrays: what one camera saw, and which global ids were published for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.messages import TrackEntry

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrackRows:
    """Every box of every entry of one camera, in the order of the entries, `N` rows."""

    tick: Ids
    """`(N,)`, never falling."""
    time_ns: Ids
    """`(N,)`: site time of the picture."""
    track_id: Ids
    """`(N,)`; never repeat for a camera."""
    box_xyxy: npt.NDArray[np.float32]
    """`(N, 4)`, pixels of the source frame."""
    score: npt.NDArray[np.float32]
    """`(N,)`, 0 to 1."""
    class_id: npt.NDArray[np.int16]
    """`(N,)`, as the detector numbers them."""
    quality: npt.NDArray[np.float32]
    """`(N,)`, 0 to 1."""
    embedding_row: Ids
    """`(N,)`: row in `embeddings`; -1: none at this tick."""
    embeddings: npt.NDArray[np.float16]
    """`(M, D)`, unit norm."""
    embedder: str = ""
    """Checksum of the model of the last embeddings; empty when there are none."""
    width: int = 0
    """Of the source frame, pixels; 0: not known."""
    height: int = 0

    def __len__(self) -> int:
        return len(self.tick)


@dataclass(frozen=True)
class CameraTracks:
    """All that the entries of one camera say."""

    rows: TrackRows
    ticks: Ids
    """`(T,)`: the handled ticks, rising, also those without a track."""
    tick_time_ns: Ids
    """`(T,)`: site time of each."""
    ended_tick: Ids
    """`(K,)`: the tick of the entry that says that a track has ended."""
    ended_track_id: Ids
    """`(K,)`."""


@dataclass(frozen=True)
class AssignmentRows:
    """Every published change of the global-ID map, in the order of the stream, `A` rows."""

    tick: Ids
    """`(A,)`: the tick of the cycle that made the change."""
    camera: Ids
    """`(A,)`: index in the recording's cameras."""
    track_id: Ids
    """`(A,)`."""
    gid: Ids
    """`(A,)`; 0: the track was taken out of the map."""
    published_ms: Ids
    """`(A,)`: ms of Redis time at which it was published; -1: not known, or in virtual time."""

    def __len__(self) -> int:
        return len(self.tick)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int, int, int]]) -> AssignmentRows:
        """From rows (tick, camera, track_id, gid, published_ms)."""
        table = np.array(list(rows), np.int64).reshape(-1, 5)
        return cls(*(np.ascontiguousarray(column) for column in table.T))


def gids_at(assignments: AssignmentRows, camera: int, track_id: Ids, tick: Ids) -> Ids:
    """The gid of each track as it was published at that tick, `(N,)` int64; 0 for none.

    `camera` is an index, `track_id` and `tick` are `(N,)`. It is that of the newest change with a tick at or before the
    asked one: what the cycle of a tick decides counts for that tick.
    """
    own = np.flatnonzero(assignments.camera == camera)
    found = np.zeros(len(track_id), np.int64)
    if not len(own) or not len(track_id):
        return found
    # Changes by track, then tick, then order of publication; the last one that is not beyond (track, tick) is valid.
    own = own[np.lexsort((own, assignments.tick[own], assignments.track_id[own]))]
    tracks, ticks, gids = assignments.track_id[own], assignments.tick[own], assignments.gid[own]
    _, place = np.unique(np.concatenate([tracks, track_id]), return_inverse=True)
    lowest = min(int(ticks.min()), int(tick.min()))
    span = max(int(ticks.max()), int(tick.max())) - lowest + 1
    changes = place[: len(tracks)].astype(np.int64) * span + (ticks - lowest)
    asked = place[len(tracks) :].astype(np.int64) * span + (tick - lowest)
    at = np.searchsorted(changes, asked, side="right") - 1
    valid = at >= 0
    valid[valid] = tracks[at[valid]] == track_id[valid]
    found[valid] = gids[at[valid]]
    return found


def camera_tracks(entries: Iterable[TrackEntry]) -> CameraTracks:
    """The entries of one camera as arrays."""
    taken = list(entries)
    batches = [entry.batch for entry in taken]
    counts = np.array([len(batch) for batch in batches], np.int64)
    ticks, times = (np.array([getattr(entry, name) for entry in taken], np.int64) for name in ("tick", "time_ns"))
    dimension = max((batch.embeddings.shape[1] for batch in batches), default=0)
    embedded = [batch.embeddings for batch in batches if len(batch.embeddings)]
    if any(part.shape[1] != dimension for part in embedded):
        # Of two models; rows of the narrower one are filled up with zeros, `embedder` tells them apart no more.
        embedded = [np.pad(part, ((0, 0), (0, dimension - part.shape[1]))) for part in embedded]
    firsts = np.cumsum([0, *(len(batch.embeddings) for batch in batches)])
    rows = [
        np.where(batch.embedding_rows >= 0, batch.embedding_rows + first, -1)
        for batch, first in zip(batches, firsts[:-1].tolist(), strict=True)
    ]
    sized = next((batch for batch in reversed(batches) if batch.width), None)
    table = TrackRows(
        tick=np.repeat(ticks, counts),
        time_ns=np.repeat(times, counts),
        track_id=_joined([batch.track_ids for batch in batches], np.int64),
        box_xyxy=_joined([batch.boxes_xyxy for batch in batches], np.float32, (0, 4)),
        score=_joined([batch.scores for batch in batches], np.float32),
        class_id=_joined([batch.class_ids for batch in batches], np.int16),
        quality=_joined([batch.qualities for batch in batches], np.float32),
        embedding_row=_joined(rows, np.int64),
        embeddings=_joined(embedded, np.float16, (0, dimension)),
        embedder=next((batch.embedder for batch in reversed(batches) if len(batch.embeddings)), ""),
        width=sized.width if sized else 0,
        height=sized.height if sized else 0,
    )
    ended = [batch.ended for batch in batches]
    return CameraTracks(
        table,
        ticks,
        times,
        np.repeat(ticks, [len(part) for part in ended]) if ended else np.zeros(0, np.int64),
        _joined(ended, np.int64),
    )


def _joined(parts: list[npt.NDArray[Any]], dtype: Any, empty: tuple[int, ...] = (0,)) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(empty, dtype), *parts]).astype(dtype, copy=False)
