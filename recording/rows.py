"""A recording as arrays: the tracks of each camera and the published gids. Pure."""

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
    """All `N` boxes of one camera, in the order of its entries."""

    tick: Ids
    """`(N,)` int64, ascending."""
    time_ns: Ids
    """`(N,)` int64: site time of the picture, ns."""
    track_id: Ids
    """`(N,)` int64, never reused within a camera."""
    box_xyxy: npt.NDArray[np.float32]
    """`(N, 4)` float32, pixels of the source frame."""
    score: npt.NDArray[np.float32]
    """`(N,)` float32 in [0, 1]."""
    class_id: npt.NDArray[np.int16]
    """`(N,)` int16, indices of the detector's classes."""
    quality: npt.NDArray[np.float32]
    """`(N,)` float32 in [0, 1]."""
    embedding_row: Ids
    """`(N,)` int64: row of `embeddings`; -1: no embedding at this tick."""
    embeddings: npt.NDArray[np.float16]
    """`(M, D)` float16, unit norm."""
    embedder: str = ""
    """Checksum of the model of the last embeddings; empty if there are none."""
    width: int = 0
    """Of the source frame, pixels; 0: unknown."""
    height: int = 0
    """Of the source frame, pixels; 0: unknown."""

    def __len__(self) -> int:
        return len(self.tick)


@dataclass(frozen=True)
class CameraTracks:
    """The content of all entries of one camera."""

    rows: TrackRows
    ticks: Ids
    """`(T,)` int64, strictly ascending: the handled ticks, including those without tracks."""
    tick_time_ns: Ids
    """`(T,)` int64: site time of each of `ticks`, ns."""
    ended_tick: Ids
    """`(K,)` int64: the tick at which a track was reported as ended."""
    ended_track_id: Ids
    """`(K,)` int64: the id of that track."""


@dataclass(frozen=True)
class AssignmentRows:
    """All `A` published changes of the global-ID map, in the order of the stream."""

    tick: Ids
    """`(A,)` int64: the tick of the cycle that made the change."""
    camera: Ids
    """`(A,)` int64: index in the recording's cameras."""
    track_id: Ids
    """`(A,)` int64."""
    gid: Ids
    """`(A,)` int64; 0: the track was removed from the map."""
    published_ms: Ids
    """`(A,)` int64: Redis time of the publication, ms; -1: unknown, or in virtual time."""

    def __len__(self) -> int:
        return len(self.tick)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int, int, int]]) -> AssignmentRows:
        """Build from tuples (tick, camera, track_id, gid, published_ms)."""
        table = np.array(list(rows), np.int64).reshape(-1, 5)
        return cls(*(np.ascontiguousarray(column) for column in table.T))


def gids_at(assignments: AssignmentRows, camera: int, track_id: Ids, tick: Ids) -> Ids:
    """The gid of each track as published at the given tick.

    This is the gid of the track's latest change at or before that tick: the result of a tick's cycle counts for that
    tick.

    Args:
        assignments: all changes.
        camera: index of the camera.
        track_id: `(N,)` int64.
        tick: `(N,)` int64.

    Returns:
        `(N,)` int64; 0: none.
    """
    own = np.flatnonzero(assignments.camera == camera)
    found = np.zeros(len(track_id), np.int64)
    if not len(own) or not len(track_id):
        return found
    # Sort the changes by track, tick and order of publication; the last one not after (track, tick) is valid.
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
    """Convert the entries of one camera to arrays."""
    taken = list(entries)
    batches = [entry.batch for entry in taken]
    counts = np.array([len(batch) for batch in batches], np.int64)
    ticks, times = (np.array([getattr(entry, name) for entry in taken], np.int64) for name in ("tick", "time_ns"))
    dimension = max((batch.embeddings.shape[1] for batch in batches), default=0)
    embedded = [batch.embeddings for batch in batches if len(batch.embeddings)]
    if any(part.shape[1] != dimension for part in embedded):
        # Embeddings of two models: pad the narrower rows with zeros. `embedder` cannot distinguish them any more.
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
