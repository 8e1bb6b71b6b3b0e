"""Runs only the association over a recording: no Redis, no other processes, deterministic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from association.core import Association
from association.corrections import Correction
from association.outcome import CameraTick, Event
from association.settings import AssociationSettings
from recording.playing import ticks_of
from recording.publishing import ReplaySettings, replayed_site
from recording.reading import Recording
from recording.rows import AssignmentRows
from shared.calibration import Calibration
from shared.camera_calibrations import after_changes, merged
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

    With the recorded settings and layout, the corrections of operators and changed calibrations are repeated, see
    `Recording.commands`.

    Args:
        recording: the recording.
        association: settings that override those of the site's `association` section.
        layout: replaces the recorded layout.
        progress: counts ticks.

    Raises:
        MtmcError: a setting is invalid, or the recording is damaged.
    """
    site = replayed_site(recording, ReplaySettings(association=association))
    is_other_layout = layout is not None
    layout = (layout or recording.description.site_layout()).over(recording.cameras)
    settings = AssociationSettings.of(site)
    core = Association(layout, settings)
    origin_us, fps = recording.description.origin_ns // 1000, recording.fps
    repeats = association is None and not is_other_layout
    wanted = _corrections(recording) if repeats else {}
    calibrated = _calibrations(recording) if repeats and settings.mode != "reference" else {}
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
        if tick in calibrated:
            state, places = core.to_dict(), range(len(layout.cameras))
            core = Association(replace(layout, calibrations=merged(layout.calibrations, calibrated[tick])), settings)
            core.restore(state, places)
        began = time.perf_counter()
        result = core.cycle(tick, (origin_us + round(tick * 1e6 / fps)) * 1000, seen, wanted.get(tick, ()))
        seconds.append(time.perf_counter() - began)
        changes += [(tick, one.camera, one.track_id, one.gid, -1) for one in result.assignments]
        events += result.events
        progress(done, total)
    return AssociatedRecording(recording.with_assignments(AssignmentRows.of(changes)), np.array(seconds), tuple(events))


def _calibrations(recording: Recording) -> dict[int, dict[str, Calibration | None]]:
    """Tick → the calibrations that were changed until then, where they change."""
    published = {camera.name: camera for camera in recording.description.site_config().cameras}
    present: dict[str, Calibration | None] = {}
    found = {}
    for tick, commands in sorted(recording.commands().items()):
        texts = [(command.camera, command.calibration) for command in commands if command.calibration]
        if texts:
            present = after_changes(present, texts, published)
            found[tick] = {name: one for name, one in present.items() if name in recording.cameras}
    return found


def _corrections(recording: Recording) -> dict[int, list[Correction]]:
    """Tick → the corrections that operators asked for; each command once."""
    camera_index = {camera: index for index, camera in enumerate(recording.cameras)}
    seen, found = set[str](), dict[int, list[Correction]]()
    for tick, commands in recording.commands().items():
        for command in commands:
            if command.is_note:
                continue
            one = Correction.of(command, camera_index)
            if command.id not in seen and isinstance(one, Correction):
                found.setdefault(tick, []).append(one)
            seen.add(command.id)
    return found
