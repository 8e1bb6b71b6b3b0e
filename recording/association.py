"""Runs only the association over a recording: no Redis, no other processes, deterministic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from association.core import Association
from association.outcome import CameraTick, Event
from association.settings import AssociationSettings
from recording.playing import ticks_of
from recording.publishing import ReplaySettings, replayed_site
from recording.reading import Recording
from recording.rows import AssignmentRows
from shared.layout import Layout
from shared.progress import ReportProgress, ignore_progress


@dataclass(frozen=True)
class AssociatedRecording:
    """A recording with the gids of a new run of the association."""

    recording: Recording
    """The recorded tracks with the gids of this run; `published_ms` is -1, because virtual time has no wall clock."""
    cycle_seconds: npt.NDArray[np.float64]
    """`(T,)` float64: wall time of each tick's cycle in seconds, without reading or publishing."""
    events: tuple[Event, ...]
    """The changes of identities, in order."""


def associate(
    recording: Recording,
    *,
    association: Mapping[str, Any] | None = None,
    layout: Layout | None = None,
    progress: ReportProgress = ignore_progress,
) -> AssociatedRecording:
    """Run the association over every tick of a recording, as an aggregator in virtual mode would.

    Args:
        recording: the recording.
        association: settings that override those of the site's `association` section.
        layout: replaces the recorded layout.
        progress: counts ticks.

    Raises:
        MtmcError: a setting is invalid, or the recording is damaged.
    """
    site = replayed_site(recording, ReplaySettings(association=association))
    layout = (layout or recording.description.site_layout()).over(recording.cameras)
    core = Association(layout, AssociationSettings.of(site))
    origin_us, fps = recording.description.origin_ns // 1000, recording.fps
    total = max(0, recording.last_tick - recording.first_tick + 1)
    changes: list[tuple[int, int, int, int, int]] = []
    events: list[Event] = []
    seconds: list[float] = []
    for done, (tick, entries) in enumerate(ticks_of(recording), start=1):
        seen = [
            CameraTick(camera, tick, entry.time_ns, entry.batch)
            for camera, entry in enumerate(entries)
            if entry is not None
        ]
        began = time.perf_counter()
        result = core.cycle(tick, (origin_us + round(tick * 1e6 / fps)) * 1000, seen)
        seconds.append(time.perf_counter() - began)
        changes += [(tick, one.camera, one.track_id, one.gid, -1) for one in result.assignments]
        events += result.events
        progress(done, total)
    return AssociatedRecording(recording.with_assignments(AssignmentRows.of(changes)), np.array(seconds), tuple(events))
