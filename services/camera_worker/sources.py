"""Where pictures come from: a video file, a network stream or a local device, behind one small interface.

A source decodes on a thread of its own, so that decoding overlaps inference and a source that hangs delays no other
camera. It never raises at the one who asks for frames: it goes `DOWN`, says why, and tries again.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from tenacity import RetryCallState, Retrying, wait_random_exponential

from shared.config import address_problem
from shared.errors import SourceUnavailable, redact

log = structlog.get_logger()

CLOSE_WAIT_S = 0.9  # close() promises to return within a second, also while a read hangs
_DEVICE = re.compile(r"(?:device:)?(?P<index>\d+)")
_SCHEME = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class Frame:
    """One picture. The same object comes again when it is asked for again: copy `image` before drawing into it."""

    image: NDArray[np.uint8]
    """`(height, width, 3)` uint8, BGR, marked read-only."""
    time_ns: int
    """Site time of the picture, nanoseconds."""
    index: int
    """Number of the picture in its file, or since a live source was opened; from 0."""
    loop: int
    """How often the file has started over; 0 for a live source. All tracks end when it changes."""


class SourceState(str, Enum):
    STARTING = "starting"  # has neither given a picture nor failed yet
    LIVE = "live"  # has pictures
    DOWN = "down"  # failed; is being retried
    ENDED = "ended"  # a file that does not loop was asked for more than it has; final


class SourceKind(str, Enum):
    FILE = "file"
    STREAM = "stream"
    DEVICE = "device"


class Source(Protocol):
    """What the worker's loop sees of a source. All but `close` is for one thread only."""

    @property
    def state(self) -> SourceState: ...
    @property
    def error(self) -> str | None:
        """The last failure, without credentials; None once pictures come again."""

    @property
    def answered(self) -> threading.Event:
        """Set once the source first gave a picture or failed."""

    @property
    def dropped(self) -> int:
        """Decoded pictures that nobody took."""

    @property
    def length(self) -> str | None:
        """Of a recording: what whoever plays it next need not find out again (`known_length`)."""

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None: ...
    def close(self) -> None: ...


def kind_of(source: str) -> SourceKind:
    """What `source` names. Raises ValueError, without credentials, for what no source here can read."""
    if problem := address_problem(source):
        raise ValueError(problem)
    if "://" in source:
        return SourceKind.STREAM
    if source.startswith("/dev/") or _DEVICE.fullmatch(source):
        return SourceKind.DEVICE
    return SourceKind.FILE


def is_local(source: str) -> bool:
    """Whether only hosts that have this very file or device can open the source."""
    return kind_of(source) is not SourceKind.STREAM


def device_of(source: str) -> int | str:
    """Index (`device:2`, `2`) or path (`/dev/video2`) of a local device. Raises ValueError for anything else."""
    if match := _DEVICE.fullmatch(source):
        return int(match["index"])
    if source.startswith("/dev/"):
        return source
    raise ValueError(f"{display_name(source)} is not a local device")


def display_name(source: str) -> str:
    """`source` as it may be shown: of a URL only scheme, host and port, as cameras take passwords anywhere else."""
    match = _SCHEME.fullmatch(source)
    if match is None:
        return redact(source)
    authority, separator, after = re.sub(r"[/?#]", " ", match["rest"], count=1).partition(" ")
    if separator and "@" in after:  # an unescaped / or ? in the password: nobody can tell where the host begins
        return f"{match['scheme']}://***"
    return f"{match['scheme']}://{authority.rpartition('@')[2]}"


def local_problem(source: str) -> str | None:
    """Why a local source cannot be opened on this host, at once and without decoding; None if it seems fine.

    A worker that gets an answer here gives the camera back, for another host to try.
    """
    kind = kind_of(source)
    if kind is SourceKind.DEVICE and sys.platform.startswith("linux"):
        device = device_of(source)
        path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
        if not path.exists():
            return f"there is no device {path} on this host; attach the camera or label the host that has it"
        if not os.access(path, os.R_OK | os.W_OK):
            return f"this user may not open {path}; add it to the group that owns the device (usually video)"
    if kind is SourceKind.FILE:
        return file_problem(Path(source))
    return None


def file_problem(path: Path) -> str | None:
    """Why `path` cannot be a video file that can be read here; None if nothing speaks against it."""
    try:
        if not path.exists():
            return f"there is no file {path} on this host; correct the path or mount the folder"
        if path.is_dir():
            return f"{path} is a folder; name a video file in it"
        if not path.is_file():
            return f"{path} is not a regular file; name a video file"
        if not os.access(path, os.R_OK):
            return f"this user may not read {path}; change its permissions"
        if path.stat().st_size == 0:
            return f"{path} is empty (0 bytes); copy it again"
    except (OSError, ValueError) as error:  # a folder that may not be entered, a stale mount, a name with a NUL
        return f"{path!s} cannot be examined: {error}"
    return None


def silence_decoders() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr, where they would show URLs with their passwords.

    FFmpeg's level is read from the environment when OpenCV first opens a video to read or write, so this has to come
    before; a level set by the user stays.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def prepare_decoders(environ: MutableMapping[str, str] = os.environ) -> None:
    """For the process entry, before the first source is opened: quiet decoders, and RTSP over TCP.

    UDP loses packets, which shows as torn pictures. A user's own OPENCV_FFMPEG_CAPTURE_OPTIONS stay.
    """
    environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    silence_decoders()


class Backoff:
    """Waits between two tries: random, in a window that doubles from twice `first_s` up to `cap_s`."""

    def __init__(self, first_s: float = 0.5, cap_s: float = 30.0) -> None:
        self._first_s = first_s
        self._wait = wait_random_exponential(multiplier=2 * first_s, min=first_s, max=cap_s)
        self._state = RetryCallState(Retrying(), None, (), {})
        self._state.attempt_number = 0

    def next_s(self) -> float:
        self._state.attempt_number += 1
        return max(self._first_s, self._wait(self._state))

    def reset(self) -> None:
        self._state.attempt_number = 0


class ThreadedSource(ABC):
    """State, retries and closing of a source whose decoding runs on a thread; subclasses say how to play it once."""

    SETTLED_S = 10.0
    """A source that played for less is retried as if it had not: one that flaps is not reopened twice a second."""

    def __init__(self, camera: str, name: str, backoff: Backoff | None) -> None:
        silence_decoders()
        self._camera, self._name = camera, name
        self._backoff = backoff or Backoff()
        self._changed = threading.Condition()  # guards all that follows
        self._state = SourceState.STARTING
        self._error: str | None = None
        self._answered = threading.Event()
        self._closed = False
        self._dropped = 0
        # A daemon: a read that hangs in a driver must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"source-{camera}", daemon=True)

    @property
    def state(self) -> SourceState:
        return self._state

    @property
    def error(self) -> str | None:
        return self._error

    @property
    def answered(self) -> threading.Event:
        return self._answered

    @property
    def dropped(self) -> int:
        return self._dropped

    @property
    def length(self) -> str | None:
        return None

    def close(self) -> None:
        """Stop decoding; returns within a second, also while a read hangs (the thread then ends with that read)."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(CLOSE_WAIT_S)

    @abstractmethod
    def _play(self) -> None:
        """Open the source and deliver until it is closed or has ended. Raises SourceUnavailable."""

    def _run(self) -> None:
        try:
            while not self._closed and self._state is not SourceState.ENDED:
                started_s = time.monotonic()
                try:
                    self._play()
                except SourceUnavailable as failure:
                    reason = failure.reason
                except cv2.error as failure:  # FFmpeg's C++ side gave up on a damaged stream
                    # Not its text, which nobody promises to be free of the URL.
                    reason = f"{self._name}: the decoder failed (OpenCV error {getattr(failure, 'code', 'unknown')})"
                else:
                    continue
                if self._state is SourceState.LIVE and time.monotonic() - started_s >= self.SETTLED_S:
                    self._backoff.reset()
                retry_in_s = self._backoff.next_s()
                self._enter(SourceState.DOWN, reason, retry_in_s)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, retry_in_s)
        finally:
            if not self._closed and self._state is not SourceState.ENDED:  # a bug: nobody may wait for frames for ever
                self._enter(SourceState.DOWN, "decoding stopped unexpectedly; see the traceback in the log")

    def _enter(self, state: SourceState, error: str | None = None, retry_in_s: float | None = None) -> None:
        with self._changed:
            if self._closed:  # whatever a hanging read says after close() interests nobody
                return
            changed = state is not self._state
            self._state, self._error = state, None if error is None else redact(error)
            self._answered.set()
            self._changed.notify_all()
        if not changed:
            return
        if state is SourceState.LIVE:
            log.info("source gives pictures", camera=self._camera, source=self._name)
        elif state is SourceState.DOWN:
            retry = {} if retry_in_s is None else {"retry_in_s": round(retry_in_s, 1)}
            log.warning("source is down", camera=self._camera, source=self._name, reason=self._error, **retry)

    def _unavailable(self, reason: str) -> SourceUnavailable:
        return SourceUnavailable(self._camera, reason)


def open_source(
    source: str,
    *,
    camera: str,
    site_time_ns: Callable[[], int],
    origin_ns: int = 0,
    loop: bool = False,
    fps: float | None = None,
    interval_s: float | None = None,
    known_length: str | None = None,
    open_timeout_s: float = 5.0,
    read_timeout_s: float = 5.0,
    decoder_threads: int = 1,
) -> Source:
    """Start decoding `source`; returns at once, whatever state the source is in.

    `site_time_ns` stamps the pictures of live sources. `origin_ns` (site time of media time 0), `loop`, `fps`
    (overrides the file's own), `interval_s` (media time between two requests, which spares converting pictures that no
    request will want) and `known_length` are for files only; the timeouts are for streams only.
    Raises ValueError if nothing here can read such a source.
    """
    # Imported here because both build on the types above.
    from services.camera_worker.file_source import FileSource
    from services.camera_worker.live_source import LiveSource

    if kind_of(source) is SourceKind.FILE:
        return FileSource(
            Path(source),
            camera=camera,
            origin_ns=origin_ns,
            loop=loop,
            fps=fps,
            interval_s=interval_s,
            known_length=known_length,
            decoder_threads=decoder_threads,
        )
    return LiveSource(
        source,
        camera=camera,
        site_time_ns=site_time_ns,
        open_timeout_s=open_timeout_s,
        read_timeout_s=read_timeout_s,
        decoder_threads=decoder_threads,
    )
