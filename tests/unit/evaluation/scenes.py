"""Small scenes with known truth, whose scores can be computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.tracks import PublishedTracks
from evaluation.truth import CameraTruth
from evaluation.verdict import CameraInput, Verdict, judge

TICK_S = 0.1
Row = tuple[int, int, int, int]
"""Tick, lane, track id, gid."""


def box(lane: int) -> list[float]:
    """A box of 50 × 100 pixels; those of different lanes are far apart."""
    return [100.0 * lane, 0.0, 100.0 * lane + 50.0, 100.0]


def truth_of(rows: Sequence[tuple[int, int, int]], ignored: Sequence[int] = ()) -> CameraTruth:
    """`rows`: frame, lane, identity; the identities in `ignored` are ignored boxes."""
    ordered = sorted(rows, key=lambda row: (row[0], row[2]))
    identities = np.array([identity for _, _, identity in ordered], np.int64)
    off = np.isin(identities, ignored)
    boxes = np.array([box(lane) for _, lane, _ in ordered], np.float64).reshape(-1, 4)
    return CameraTruth(np.array([frame for frame, _, _ in ordered], np.int64), identities, boxes, ~off, off)


def tracks_of(rows: Sequence[Row]) -> PublishedTracks:
    """The published boxes of `rows`, each in its lane."""
    ticks = [row[0] for row in rows]
    times_ns = [round(tick * TICK_S * 1e9) for tick in ticks]
    return PublishedTracks.of(
        ticks, times_ns, [row[2] for row in rows], [box(row[1]) for row in rows], [row[3] for row in rows]
    )


def judged(truth: Mapping[str, CameraTruth], rows: Mapping[str, Sequence[Row]], ticks: int) -> Verdict:
    """The verdict over ticks 1 to `ticks`; each tick shows the frame of the same number."""
    axis = np.arange(1, ticks + 1)
    cameras = {name: CameraInput(tracks_of(rows[name]), truth[name], axis) for name in truth}
    return judge(cameras, axis, TICK_S)
