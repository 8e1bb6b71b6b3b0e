"""Records the annotated pictures of a running site, one video file per camera."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import structlog

from recording.errors import RecordingError
from shared.errors import MessageError
from shared.frames import FrameEntry
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, Client
from shared.scripts import Scripts
from shared.watching import Watching

_log = structlog.get_logger()
_CODEC = "mp4v"
_BLOCK_MS = 250
_LONGEST_PAUSE_S = 30.0
"""Longer gaps are not filled by repeating the previous picture."""


class CameraVideo:
    """The video of one camera: frame `i` shows tick `first_tick + i`; missing pictures repeat the previous one."""

    def __init__(self, path: Path, fps: float, first_tick: int) -> None:
        self._path, self._fps, self._next_tick = path, fps, first_tick
        self._writer: cv2.VideoWriter | None = None
        self._last: npt.NDArray[np.uint8] | None = None
        self._size = (0, 0)
        self.frames = 0

    def add(self, tick: int, jpeg: bytes) -> None:
        """Append the picture of a tick; a picture that is late or cannot be decoded is skipped.

        Raises:
            RecordingError: the file cannot be written.
        """
        if tick < self._next_tick:
            return
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            return
        picture: npt.NDArray[np.uint8] = image.astype(np.uint8, copy=False)
        if self._writer is None:
            self._size = (picture.shape[1], picture.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*_CODEC), self._fps, self._size)
            if not self._writer.isOpened():
                raise RecordingError(self._path, "cannot create the video file; check the folder and the disk")
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size).astype(np.uint8, copy=False)
        gap = tick - self._next_tick
        if gap <= _LONGEST_PAUSE_S * self._fps:
            for _ in range(gap):
                self._write(self._last if self._last is not None else picture)
        self._write(picture)
        self._last, self._next_tick = picture, tick + 1

    def _write(self, picture: npt.NDArray[np.uint8]) -> None:
        assert self._writer is not None
        self._writer.write(picture)
        self.frames += 1

    def close(self) -> None:
        """Finish the file; players cannot open it before."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None


class VideoRecorder:
    """Records all cameras of a site to `folder/{camera}.mp4` on its own thread."""

    def __init__(
        self, client: Client, frames: Client, keys: Keys, cameras: tuple[str, ...], folder: Path, fps: float, first: int
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(folder, f"cannot be written ({error.strerror})") from None
        self._scripts, self._frames, self._keys = Scripts(client), frames, keys
        self._watching = Watching()
        for camera in cameras:
            self._watching.open(camera)
        self._videos = {
            keys.frames(camera).encode(): (camera, CameraVideo(folder / f"{camera}.mp4", fps, first))
            for camera in cameras
        }
        self._cursors = dict.fromkeys(self._videos, b"0-0")
        self._stop = threading.Event()
        self.error: RecordingError | None = None
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)
        self._thread.start()

    @property
    def frames_written(self) -> dict[str, int]:
        """Camera → number of frames written."""
        return {camera: video.frames for camera, video in self._videos.values()}

    def close(self) -> None:
        """Stop the thread and finish the files."""
        self._stop.set()
        self._thread.join()
        for _, video in self._videos.values():
            video.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step()
            except RETRYABLE as error:
                _log.warning("cannot read pictures from Redis, retrying", reason=str(error))
                self._stop.wait(1.0)
            except RecordingError as error:
                self.error = error
                return

    def step(self) -> None:
        """Write new pictures, waiting briefly for some.

        Raises:
            RedisError: the connection failed; the next call continues.
            RecordingError: a file cannot be written.
        """
        self._watching.write(self._scripts, self._keys)
        for key, entries in self._frames.xread(self._cursors, block=_BLOCK_MS) or ():
            camera, video = self._videos[key]
            self._cursors[key] = entries[-1][0]
            for _, fields in entries:
                try:
                    picture = FrameEntry.decode(camera, fields)
                except MessageError:
                    continue
                video.add(picture.tick, picture.jpeg)
