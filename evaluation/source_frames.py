"""Maps ticks to the frame numbers of video files, by the same rules as the camera worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recording.reading import Recording
from recording.rows import Ids
from shared.config import CameraConfig
from shared.errors import SourceUnavailable
from shared.layout import Layout
from vision.video.timing import Timing
from vision.video.video_file import DEFAULT_FPS, VideoFile, nearest_frame, plausible_fps

FramesOf = Callable[[str, Ids], Ids]
"""(camera, ticks `(k,)` int64) → frame numbers `(k,)` int64 of its source at these ticks, from 1."""
NO_FRAME = 0


@dataclass(frozen=True)
class SourceFrames:
    """The mapping for one video file."""

    timing: Timing
    fps: float
    """Frames per second of media time."""
    tick_ns: float
    """Length of a tick in site time, ns."""
    origin_ns: int
    """Site time of tick 0, ns."""

    def at(self, ticks: Ids) -> Ids:
        """Frame numbers from 1 at `ticks`, `(k,)` int64 each; `NO_FRAME` before the file begins."""
        frames = [self._at(tick) for tick in ticks.tolist()]
        return np.array(frames, np.int64)

    def _at(self, tick: int) -> int:
        media_s = self.timing.media_time_s(self.origin_ns + round(tick * self.tick_ns))
        return NO_FRAME if media_s < 0 else nearest_frame(media_s, self.fps) + 1


def frames_of(recording: Recording) -> FramesOf:
    """The mapping for all cameras of a recording.

    For sources that are existing video files it follows their own frame rates, else the recording's description.
    """
    sources = {
        camera.name: source
        for camera in recording.description.site_config().cameras
        if camera.is_file and (source := _source(recording, camera)) is not None
    }

    def frames(camera: str, ticks: Ids) -> Ids:
        if camera in sources:
            return sources[camera].at(ticks)
        return np.asarray(recording.frame_of(ticks), np.int64)

    return frames


def file_rate(camera: CameraConfig, video: VideoFile) -> float:
    """Frames per second of media time, determined as in the camera worker."""
    fps = camera.fps or video.container_fps
    return fps if plausible_fps(fps) else DEFAULT_FPS


def _source(recording: Recording, camera: CameraConfig) -> SourceFrames | None:
    try:
        video = VideoFile(Path(camera.source), camera.name, 1)
    except SourceUnavailable:
        return None
    rate = file_rate(camera, video)
    video.release()
    description, layout = recording.description, recording.description.site_layout()
    tick_ns = 1e9 / recording.fps
    offset_s, scale = _of_layout(layout, "offset", camera.name, 0.0), _of_layout(layout, "scales", camera.name, 1.0)
    if camera.time_offset_seconds is not None:
        offset_s = camera.time_offset_seconds
    first_tick_ns = description.origin_ns + round(description.frames.tick_of_first * tick_ns)
    timing = Timing(first_tick_ns + round(offset_s * 1e9), 0, camera.time_scale or scale)
    return SourceFrames(timing, rate, tick_ns, description.origin_ns)


def _of_layout(layout: Layout, name: str, camera: str, default: float) -> float:
    values = getattr(layout, name)
    return default if values is None or camera not in layout.cameras else float(values[layout.cameras.index(camera)])
