"""Quality of the published gids as a viewer sees them live: delay, stability, purity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.matching import NOBODY, CameraMatch
from evaluation.tracks import NO_GID, PublishedTracks
from recording.rows import Ids

GRACE_SECONDS = 1.0
"""A box is expected to have a gid once its track is older than this."""


@dataclass(frozen=True)
class LiveFigures:
    """Figures of all cameras together; None if there was nothing to measure."""

    gid_changes_per_1000_track_seconds: float | None
    """Changes from one gid to another within a track, including those with boxes without a gid in between."""
    without_gid_share: float | None
    """Share of boxes without a gid among those whose track was older than `GRACE_SECONDS`, 0 to 1."""
    first_gid_seconds_p50: float | None
    """Time from a track's first box to its first box with a gid, over the tracks that ever got one."""
    first_gid_seconds_p90: float | None
    first_gid_seconds_max: float | None
    purity: float | None
    """Share of boxes whose object is the most frequent object of their gid, 0 to 1.

    Over all boxes that have a gid and show a true object.
    """
    completeness: float | None
    """Share of the same boxes whose gid is the most frequent gid of their object, 0 to 1."""
    track_seconds: float
    """Sum over tracks of the time from the first box to the last, plus one tick."""
    gid_changes: int
    tracks: int
    tracks_without_gid: int
    """Number of tracks that never got a gid; most of them are short."""


def live_figures(cameras: Sequence[CameraMatch], tick_seconds: float) -> LiveFigures:
    """Compute the figures from the gids as published tick by tick; `tick_seconds` is the length of a tick."""
    histories = [track_histories(match.tracks, tick_seconds) for match in cameras]
    seconds = float(sum(history.lengths_s.sum() for history in histories))
    changes = int(sum(history.changes.sum() for history in histories))
    waited = _joined([history.first_gid_s for history in histories])
    late = _joined([history.late_without for history in histories])
    gids, objects = _shown(cameras)
    reached = waited[np.isfinite(waited)]
    return LiveFigures(
        gid_changes_per_1000_track_seconds=1000.0 * changes / seconds if seconds else None,
        without_gid_share=float(late.mean()) if len(late) else None,
        first_gid_seconds_p50=float(np.percentile(reached, 50)) if len(reached) else None,
        first_gid_seconds_p90=float(np.percentile(reached, 90)) if len(reached) else None,
        first_gid_seconds_max=float(reached.max()) if len(reached) else None,
        purity=majority_share(gids, objects),
        completeness=majority_share(objects, gids),
        track_seconds=seconds,
        gid_changes=changes,
        tracks=len(waited),
        tracks_without_gid=len(waited) - len(reached),
    )


@dataclass(frozen=True)
class TrackHistories:
    """The `T` tracks of one camera, sorted by id."""

    track_ids: Ids
    """`(T,)` int64."""
    lengths_s: npt.NDArray[np.float64]
    """`(T,)` float64: time from the first box to the last plus one tick, seconds."""
    changes: Ids
    """`(T,)` int64: number of changes from one gid to another."""
    first_gid_s: npt.NDArray[np.float64]
    """`(T,)` float64: time from the first box to the first box with a gid, seconds; infinite if there is none."""
    late_without: npt.NDArray[np.float64]
    """`(k,)` float64, for each box of a track older than `GRACE_SECONDS`: 1 without a gid, 0 with one."""


def track_histories(tracks: PublishedTracks, tick_seconds: float) -> TrackHistories:
    """Summarise the gids of each track of one camera."""
    order = np.lexsort((tracks.ticks, tracks.track_ids))
    ids, gids, times_s = tracks.track_ids[order], tracks.gids[order], tracks.times_ns[order] * 1e-9
    unique, first, inverse, counts = np.unique(ids, return_index=True, return_inverse=True, return_counts=True)
    began_s = times_s[first]
    ended_s = times_s[first + counts - 1] if len(first) else began_s
    age_s = times_s - began_s[inverse]
    with_gid = gids != NO_GID
    first_gid_s = np.full(len(unique), np.inf)
    np.minimum.at(first_gid_s, inverse[with_gid], age_s[with_gid])
    shown, of = gids[with_gid], inverse[with_gid]
    changed = (np.diff(shown) != 0) & (np.diff(of) == 0)
    changes = np.bincount(of[1:][changed], minlength=len(unique)).astype(np.int64)
    # Half a tick of tolerance for rounding in floating-point times.
    late = age_s > GRACE_SECONDS + tick_seconds / 2
    return TrackHistories(
        unique, ended_s - began_s + tick_seconds, changes, first_gid_s, (~with_gid[late]).astype(float)
    )


def majority_share(groups: Ids, members: Ids) -> float | None:
    """Share of rows whose member is the most frequent member of their group, 0 to 1; None without rows.

    `groups` and `members` are `(n,)` int64.
    """
    if not len(groups):
        return None
    pairs, counts = np.unique(np.stack([groups, members]), axis=1, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs[0], prepend=pairs[0][0] - 1))
    return float(np.maximum.reduceat(counts, starts).sum() / len(groups))


def _shown(cameras: Sequence[CameraMatch]) -> tuple[Ids, Ids]:
    """Gids and true objects, `(k,)` each, of all boxes that have both."""
    gids, objects = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for match in cameras:
        both = (match.tracks.gids != NO_GID) & (match.shown != NOBODY)
        gids.append(match.tracks.gids[both])
        objects.append(match.shown[both])
    return np.concatenate(gids), np.concatenate(objects)


def _joined(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *parts])
