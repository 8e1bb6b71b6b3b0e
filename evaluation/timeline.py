"""Timeline of true objects: when each was in which camera, and under which gid. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.matching import NOBODY, CameraMatch
from recording.rows import Ids

_GAP_S = 1.0
"""Shorter gaps do not interrupt a bar."""


@dataclass(frozen=True)
class Bar:
    """A section of a track that shows one object under one gid."""

    identity: int
    """The true object; `NOBODY`: the track shows none."""
    gid: int
    camera: str
    track_id: int
    first_tick: int
    last_tick: int


@dataclass(frozen=True)
class Row:
    """The bars of one object."""

    identity: int
    lanes: tuple[tuple[Bar, ...], ...]
    """The bars of a lane do not overlap in time."""


def bars_of(camera: str, match: CameraMatch, tick_seconds: float) -> list[Bar]:
    """Split one camera's tracks into bars."""
    tracks = match.tracks
    order = np.lexsort((tracks.ticks, tracks.track_ids))
    ids, ticks, gids = tracks.track_ids[order], tracks.ticks[order], tracks.gids[order]
    identities = _without_blinks(ids, match.shown[order])
    if not len(ids):
        return []
    breaks = (np.diff(ids) != 0) | (np.diff(gids) != 0) | (np.diff(identities) != 0)
    breaks |= np.diff(ticks) * tick_seconds > _GAP_S
    starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    ends = np.concatenate([starts[1:], [len(ids)]]) - 1
    return [
        Bar(int(identities[a]), int(gids[a]), camera, int(ids[a]), int(ticks[a]), int(ticks[b]))
        for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def _without_blinks(ids: Ids, shown: Ids) -> Ids:
    """Fill gaps in which a track shows no object with the object before, or at its start with the object after.

    `ids` and `shown` are `(n,)` int64, sorted by track and tick.
    """
    filled = shown.copy()
    for turn in (slice(None), slice(None, None, -1)):
        values, of = filled[turn], ids[turn]
        known = np.where(values != NOBODY, np.arange(len(values)), -1)
        last = np.maximum.accumulate(known)
        usable = (values == NOBODY) & (last >= 0)
        usable[usable] = of[last[usable]] == of[usable]
        values[usable] = values[last[usable]]
        filled = values[turn]
    return filled


def rows_of(matches: Mapping[str, CameraMatch], tick_seconds: float) -> list[Row]:
    """One row per object in order of first appearance; the row of tracks without an object comes last."""
    bars = [bar for camera, match in matches.items() for bar in bars_of(camera, match, tick_seconds)]
    by_identity: dict[int, list[Bar]] = {}
    for bar in sorted(bars, key=lambda bar: (bar.first_tick, bar.camera, bar.track_id)):
        by_identity.setdefault(bar.identity, []).append(bar)
    nobody = by_identity.pop(NOBODY, None)
    rows = [Row(identity, _lanes(own)) for identity, own in by_identity.items()]
    return [*rows, Row(NOBODY, _lanes(nobody))] if nobody else rows


def _lanes(bars: Sequence[Bar]) -> tuple[tuple[Bar, ...], ...]:
    """Distribute bars over the fewest lanes, first come, first served; a track keeps its lane if it is free."""
    lanes: list[list[Bar]] = []
    for bar in bars:
        free = [lane for lane in lanes if lane[-1].last_tick < bar.first_tick]
        same = [lane for lane in free if (lane[-1].camera, lane[-1].track_id) == (bar.camera, bar.track_id)]
        if same or free:
            (same or free)[0].append(bar)
        else:
            lanes.append([bar])
    return tuple(tuple(lane) for lane in lanes)
