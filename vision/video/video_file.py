"""A video file, decoded frame by frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from shared.errors import SourceUnavailable
from vision.video.address import file_problem

log = structlog.get_logger()

DEFAULT_FPS = 25.0
MAX_FPS = 240.0  # what a container claims beyond this is a time base, not a frame rate


def nearest_frame(media_time_s: float, fps: float) -> int:
    """Number of the frame nearest to `media_time_s`, frame `i` showing at `i / fps`; of two the earlier; at least 0."""
    # Rounded, so that 0.15 s at 10 fps is a tie in spite of binary fractions.
    return max(0, math.ceil(round(media_time_s * fps, 6) - 0.5))


def plausible_fps(fps: float) -> bool:
    return 0 < fps <= MAX_FPS  # NaN compares false


class VideoFile:
    """One open video file, for one thread. `next_index` is the number of the frame that `grab` decodes next."""

    def __init__(self, path: Path, camera: str, decoder_threads: int) -> None:
        """Raises SourceUnavailable if the file is missing or is no video."""
        self._path, self._camera, self._decoder_threads = path, camera, decoder_threads
        self._capture = self._open()
        self.container_fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        # Raw streams say something negative here; others may be wrong. 0: nothing said.
        self.claimed_count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._seekable = self.claimed_count > 0 and plausible_fps(self.container_fps)
        self._start_ms = 0.0
        self._grabbed_ahead = False
        self.next_index = 0

    def grab(self) -> bool:
        """Decode the next frame without converting it. False at the end, or where a damaged file breaks off."""
        if self._grabbed_ahead:
            self._grabbed_ahead = False
        elif not self._capture.grab():
            return False
        elif self.next_index == 0:
            self._start_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        self.next_index += 1
        return True

    def retrieve(self) -> NDArray[np.uint8] | None:
        """The frame decoded last, `(height, width, 3)` uint8 BGR, read-only; None if it cannot be converted."""
        ok, image = self._capture.retrieve()
        if not ok or image is None:
            return None
        image.setflags(write=False)
        return image

    def seek(self, index: int) -> bool:
        """Make `index` the next frame. False if the container cannot: the file stands where it was or at its start."""
        if not self._seekable:
            return False
        self._grabbed_ahead = False
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        if self._capture.grab():
            # Believed only if the frame's own time stamp says the same: what OpenCV reports is what it was asked for.
            shows_at_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC) - self._start_ms
            if abs(shows_at_ms * self.container_fps / 1000.0 - index) < 0.5:
                self.next_index, self._grabbed_ahead = index, True
                return True
        self._seekable = False
        log.warning("recording cannot be sought in", camera=self._camera, path=str(self._path), frame=index)
        self.rewind()
        return False

    def rewind(self) -> None:
        """Open the file anew: unlike a seek to 0 this works for every container. Raises SourceUnavailable."""
        self.release()
        self._capture = self._open()
        self.next_index, self._grabbed_ahead = 0, False

    def release(self) -> None:
        self._capture.release()

    def _open(self) -> Any:
        if problem := file_problem(self._path):
            raise SourceUnavailable(self._camera, problem)
        # Absolute, or FFmpeg takes what stands before a colon in the name for a protocol.
        parameters = [cv2.CAP_PROP_N_THREADS, self._decoder_threads]
        capture = cv2.VideoCapture(str(self._path.absolute()), cv2.CAP_FFMPEG, parameters)
        if not capture.isOpened():
            capture.release()
            raise SourceUnavailable(
                self._camera, f"{self._path} is not a video that can be decoded; convert it, e.g. to MP4 with H.264"
            )
        return capture
