"""Which picture of a recording a camera shows at a tick: the same rules as the camera worker's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.tracks import Ids
from services.camera_worker.camera import Timing
from services.camera_worker.file_source import nearest_frame

NO_FRAME = 0


@dataclass(frozen=True)
class SourceFrames:
    """Of one recording."""

    timing: Timing
    fps: float
    """Of the recording, in media time."""
    tick_ns: float
    """Length of a tick in site time; tick 0 begins at `origin_ns`."""
    origin_ns: int

    def at(self, ticks: Ids) -> Ids:
        """`(k,)` ticks → `(k,)` numbers of pictures, from 1; `NO_FRAME` before the recording begins."""
        frames = [self._at(tick) for tick in ticks.tolist()]
        return np.array(frames, np.int64)

    def _at(self, tick: int) -> int:
        media_s = self.timing.media_time_s(self.origin_ns + round(tick * self.tick_ns))
        return NO_FRAME if media_s < 0 else nearest_frame(media_s, self.fps) + 1
