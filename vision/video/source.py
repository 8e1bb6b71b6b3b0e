"""Where pictures come from: a video file, a network stream or a local device, behind one small interface.

A source decodes on a thread of its own, so that decoding overlaps inference and a source that hangs delays no other
camera. It never raises at the one who asks for frames: it goes `DOWN`, says why, and tries again.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from shared.backoff import Backoff
from shared.errors import SourceUnavailable, redact
from vision.video.decoders import silence_decoders

log = structlog.get_logger()

CLOSE_WAIT_S = 0.9  # close() promises to return within a second, also while a read hangs


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


class SourceState(StrEnum):
    STARTING = "starting"  # has neither given a picture nor failed yet
    LIVE = "live"  # has pictures
    DOWN = "down"  # failed; is being retried
    ENDED = "ended"  # a file that does not loop was asked for more than it has; final


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
    def failures(self) -> int:
        """How often it failed to open, or broke off; each time it is retried after a backoff."""

    @property
    def restarts(self) -> int:
        """Those of the `failures` that were unexpected exceptions, and so are bugs."""

    @property
    def length(self) -> str | None:
        """Of a file: its length, so that the next worker to play it need not find it out again (`known_length`)."""

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None: ...
    def close(self) -> None: ...


class ThreadedSource(ABC):
    """State, retries and closing of a source whose decoding runs on a thread; subclasses say how to play it once."""

    SETTLED_S = 10.0
    """If a source played for less, its backoff is not reset: a flapping source is not reopened twice a second."""

    def __init__(self, camera: str, name: str, backoff: Backoff | None) -> None:
        silence_decoders()
        self._camera, self._name = camera, name
        self._backoff = backoff or Backoff()
        self._changed = threading.Condition()  # guards all that follows
        self._state = SourceState.STARTING
        self._error: str | None = None
        self._answered = threading.Event()
        self._closed = False
        self._dropped = self._failures = self._restarts = 0
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
    def failures(self) -> int:
        return self._failures

    @property
    def restarts(self) -> int:
        return self._restarts

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
        while not self._closed and self._state is not SourceState.ENDED:
            started_s = time.monotonic()
            bug: Exception | None = None
            try:
                self._play()
            except SourceUnavailable as failure:
                reason = failure.reason
            except cv2.error as failure:  # FFmpeg's C++ side gave up on a damaged stream
                # Not its text, which nobody promises to be free of the URL.
                reason = f"{self._name}: the decoder failed (OpenCV error {getattr(failure, 'code', 'unknown')})"
            except Exception as failure:  # noqa: BLE001 (the top of a loop; a bug must not leave a camera dark for good)
                reason = f"{self._name}: reading failed unexpectedly ({type(failure).__name__}); see the worker's log"
                bug = failure
            else:
                continue
            if self._state is SourceState.LIVE and time.monotonic() - started_s >= self.SETTLED_S:
                self._backoff.reset()
            retry_in_s = self._backoff.next_s()
            self._note_failure(bug, retry_in_s)
            self._enter(SourceState.DOWN, reason, retry_in_s)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, retry_in_s)

    def _note_failure(self, bug: Exception | None, retry_in_s: float) -> None:
        with self._changed:
            if self._closed:
                return
            self._failures += 1
            self._restarts += bug is not None
        if bug is not None:
            log.error(
                "reading a source failed unexpectedly",
                camera=self._camera,
                source=self._name,
                retry_in_s=round(retry_in_s, 1),
                exc_info=bug,
            )

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
