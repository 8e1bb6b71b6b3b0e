"""Maps ticks to the frame numbers of video files, by the same rules as the camera worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recording.reading import Recording
from recording.rows import Ids
from shared.camera_config import CameraConfig
from shared.errors import SourceUnavailable
from shared.layout import Layout
from vision.video.file_facts import frame_times, frames_at
from vision.video.timing import Timing

FramesOf = Callable[[str, Ids], Ids]
"""(camera, ticks `(k,)` int64) → frame numbers `(k,)` int64 of its source at these ticks, from 1."""
NO_FRAME = 0


@dataclass(frozen=True)
class SourceFrames:
    """The mapping for one video file."""

    timing: Timing
    times_s: NDArray[np.float64]
    """Media time of each frame, `(n,)`, seconds."""
    fps: float
    """Average rate of the file."""
    tick_ns: float
    """Length of a tick in site time, ns."""
    origin_ns: int
    """Site time of tick 0, ns."""

    def at(self, ticks: Ids) -> Ids:
        """Frame numbers from 1 at `ticks`, `(k,)` int64 each; `NO_FRAME` while the file shows nothing."""
        media_s = np.array(
            [self.timing.media_time_s(self.origin_ns + round(tick * self.tick_ns)) for tick in ticks.tolist()]
        )
        return np.where(media_s < 0, NO_FRAME, frames_at(self.times_s, media_s, self.fps) + 1).astype(np.int64)


def frames_of(recording: Recording) -> FramesOf:
    """The mapping for all cameras of a recording.

    For sources that are existing video files it follows their own time stamps, else the recording's description.
    """
    sources = {
        camera.name: source
        for camera in recording.description.site_config().cameras
        if camera.is_file and (source := _source(recording, camera)) is not None
    }

    def frames(camera: str, ticks: Ids) -> Ids:
        if camera in sources:
            return sources[camera].at(ticks)
        return np.asarray(recording.frame_of(ticks) + 1 - recording.description.frames.first, np.int64)

    return frames


def _source(recording: Recording, camera: CameraConfig) -> SourceFrames | None:
    try:
        times_s, fps = frame_times(Path(camera.source), camera.name, camera.fps)
    except SourceUnavailable:
        return None
    description, layout = recording.description, recording.description.site_layout()
    tick_ns = 1e9 / recording.fps
    offset_s, scale = _of_layout(layout, "offset", camera.name, 0.0), _of_layout(layout, "scales", camera.name, 1.0)
    if camera.time_offset_seconds is not None:
        offset_s = camera.time_offset_seconds
    first_tick_ns = description.origin_ns + round(description.frames.tick_of_first * tick_ns)
    timing = Timing(first_tick_ns + round(offset_s * 1e9), 0, camera.time_scale or scale)
    return SourceFrames(timing, times_s, fps, tick_ns, description.origin_ns)


def _of_layout(layout: Layout, name: str, camera: str, default: float) -> float:
    values = getattr(layout, name)
    return default if values is None or camera not in layout.cameras else float(values[layout.cameras.index(camera)])
