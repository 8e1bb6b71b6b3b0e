"""Wall-clock durations. They differ between any two runs, so they are not part of a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recording.entry_log import SUFFIX, read_entries
from recording.reading import TRACKS, Recording, published_ms

_DECIMALS = 6


@dataclass(frozen=True)
class Durations:
    """Percentiles in milliseconds."""

    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, ms: npt.NDArray[np.float64]) -> Durations | None:
        """Percentiles of `ms`, `(n,)` float64; None if empty."""
        if not len(ms):
            return None
        return cls(float(np.percentile(ms, 50)), float(np.percentile(ms, 95)), float(ms.max()))


@dataclass(frozen=True)
class RunTiming:
    """Durations of one run; None: unknown."""

    cycle_ms: Durations | None = None
    """From a tick's last entry to its assignments, by the aggregator's clock if it ran in-process, else Redis time."""
    tick_to_gid_ms: Durations | None = None
    """From a picture's site time to the publication of the resulting changes; live mode only."""
    run_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def tick_to_gid_ms(recording: Recording) -> Durations | None:
    """Delays of all published changes that assign a gid; None in virtual time."""
    rows = recording.assignments()
    delays: list[npt.NDArray[np.float64]] = [np.zeros(0)]
    for index, camera in enumerate(recording.cameras):
        own = np.flatnonzero((rows.camera == index) & (rows.gid > 0) & (rows.published_ms >= 0))
        ticks, times_ns = recording.ticks(camera), recording.tick_times_ns(camera)
        if not len(ticks):
            continue
        # If the camera skipped the tick of the cycle, its last picture before that tick counts.
        at = np.searchsorted(ticks, rows.tick[own], side="right") - 1
        own, at = own[at >= 0], at[at >= 0]
        delays.append(rows.published_ms[own] - times_ns[at] * 1e-6)
    return Durations.of(np.concatenate(delays))


def cycle_ms(recording: Recording) -> Durations | None:
    """From the last entry of a tick to the published changes of its cycle; None in virtual time."""
    rows = recording.assignments()
    published = np.flatnonzero(rows.published_ms >= 0)
    if not len(published):
        return None
    newest: dict[int, int] = {}
    for camera in recording.cameras:
        for entry_id, fields in read_entries(recording.folder / TRACKS / f"{camera}{SUFFIX}"):
            tick = int(fields[b"tick"])
            newest[tick] = max(newest.get(tick, -1), published_ms(entry_id))
    ticks, first = np.unique(rows.tick[published], return_index=True)
    delays = [
        int(rows.published_ms[published[at]]) - newest[tick]
        for tick, at in zip(ticks.tolist(), first.tolist(), strict=True)
        if newest.get(tick, -1) >= 0
    ]
    return Durations.of(np.array(delays, np.float64))


def differences(ours: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """`ours` minus `others` for every number of two verdicts as JSON values; None if either lacks it.

    Rounded to six decimals, so that floating-point noise does not count as a difference.
    """
    found: dict[str, Any] = {}
    for name, value in ours.items():
        other = others.get(name)
        if isinstance(value, Mapping):
            found[name] = differences(value, other if isinstance(other, Mapping) else {})
        elif isinstance(value, int | float) and isinstance(other, int | float):
            found[name] = round(value - other, _DECIMALS)
        else:
            found[name] = None
    return found
