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
MAX_FPS = 240.0  # a container that claims more reports a time base, not a frame rate


def nearest_frame(media_time_s: float, fps: float) -> int:
    """Index of the frame nearest to `media_time_s` (seconds), from 0; a tie goes to the earlier frame.

    Frame `i` is shown at `i / fps` seconds.
    """
    # Rounded, so that 0.15 s at 10 fps is a tie despite binary fractions.
    return max(0, math.ceil(round(media_time_s * fps, 6) - 0.5))


def plausible_fps(fps: float) -> bool:
    return 0 < fps <= MAX_FPS  # NaN compares false


class VideoFile:
    """An open video file, for use by one thread. `next_index` is the index of the frame that `grab` decodes next."""

    def __init__(self, path: Path, camera: str, decoder_threads: int) -> None:
        """Open the file.

        Raises:
            SourceUnavailable: the file is missing or not a video.
        """
        self._path, self._camera, self._decoder_threads = path, camera, decoder_threads
        self._capture = self._open()
        self.container_fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        # Raw streams report a negative number here, and other values may be wrong. 0: unknown.
        self.claimed_count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._seekable = self.claimed_count > 0 and plausible_fps(self.container_fps)
        self._start_ms = 0.0
        self._grabbed_ahead = False
        self.next_index = 0

    def grab(self) -> bool:
        """Decode the next frame without converting it. False at the end, or where a damaged file stops."""
        if self._grabbed_ahead:
            self._grabbed_ahead = False
        elif not self._capture.grab():
            return False
        elif self.next_index == 0:
            self._start_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        self.next_index += 1
        return True

    def retrieve(self) -> NDArray[np.uint8] | None:
        """The last decoded frame, `(height, width, 3)` uint8 BGR, read-only; None if it cannot be converted."""
        ok, image = self._capture.retrieve()
        if not ok or image is None:
            return None
        image.setflags(write=False)
        return image

    def seek(self, index: int) -> bool:
        """Make `index` the next frame; False if the container cannot seek.

        On failure the file keeps its position or is rewound to its start.

        Raises:
            SourceUnavailable: the file cannot be reopened after a failed seek.
        """
        if not self._seekable:
            return False
        self._grabbed_ahead = False
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        if self._capture.grab():
            # Check the frame's own timestamp: the position OpenCV reports is only what it was asked for.
            shows_at_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC) - self._start_ms
            if abs(shows_at_ms * self.container_fps / 1000.0 - index) < 0.5:
                self.next_index, self._grabbed_ahead = index, True
                return True
        self._seekable = False
        log.warning("cannot seek in the file", camera=self._camera, path=str(self._path), frame=index)
        self.rewind()
        return False

    def rewind(self) -> None:
        """Go back to the start by reopening the file, which unlike seeking to 0 works for every container.

        Raises:
            SourceUnavailable: the file is missing or not a video.
        """
        self.release()
        self._capture = self._open()
        self.next_index, self._grabbed_ahead = 0, False

    def release(self) -> None:
        self._capture.release()

    def _open(self) -> Any:
        if problem := file_problem(self._path):
            raise SourceUnavailable(self._camera, problem)
        # An absolute path, or FFmpeg would read the part of a name before a colon as a protocol.
        parameters = [cv2.CAP_PROP_N_THREADS, self._decoder_threads]
        capture = cv2.VideoCapture(str(self._path.absolute()), cv2.CAP_FFMPEG, parameters)
        if not capture.isOpened():
            capture.release()
            raise SourceUnavailable(
                self._camera, f"{self._path} is not a video that can be decoded; convert it, e.g. to MP4 with H.264"
            )
        return capture
