"""The interface of all sources: a video file, a network stream or a local device.

Each source decodes on its own thread, so that decoding overlaps inference and a source that hangs delays no other
camera. Requests for frames never raise: on failure the source goes `DOWN`, reports why, and retries.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import av
import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from shared.backoff import Backoff
from shared.errors import SourceUnavailable, hide
from vision.video.picture_health import Fault, PictureHealth
from vision.video.quiet_libraries import quiet_libraries

log = structlog.get_logger()

CLOSE_WAIT_S = 0.9  # close() guarantees to return within a second, even if a read hangs


@dataclass(frozen=True)
class Frame:
    """One picture. Repeated requests may return the same object, so copy `image` before drawing into it."""

    image: NDArray[np.uint8]
    """`(height, width, 3)` uint8, BGR, marked read-only."""
    time_ns: int
    """Site time of the picture, ns."""
    index: int
    """Frame number in the file, or since a live source was opened; from 0. Estimated after a seek in a file."""
    loop: int
    """Number of times the file has started over; 0 for a live source. All tracks end when it changes."""


class SourceState(StrEnum):
    STARTING = "starting"  # has neither delivered a picture nor failed yet
    LIVE = "live"  # delivers pictures
    DOWN = "down"  # failed; being retried
    ENDED = "ended"  # a file that does not loop, after a request past its end; final


class Source(Protocol):
    """A source as the worker's loop uses it. All members except `close` must be used from one thread only."""

    @property
    def state(self) -> SourceState: ...
    @property
    def error(self) -> str | None:
        """The last failure, without credentials; None while pictures arrive."""

    @property
    def answered(self) -> threading.Event:
        """Set once the source has delivered its first picture or failed."""

    @property
    def dropped(self) -> int:
        """Number of decoded pictures that were never requested."""

    @property
    def failures(self) -> int:
        """Number of times opening or reading failed; each failure is retried after a backoff."""

    @property
    def restarts(self) -> int:
        """Number of `failures` that were unexpected exceptions, i.e. bugs."""

    @property
    def fault(self) -> Fault | None:
        """What is wrong with the pictures that arrive; None if nothing is, or while none arrive."""

    @property
    def moved(self) -> str | None:
        """How and when the camera was moved for good, for people; None: it was not."""

    @property
    def length(self) -> str | None:
        """Length of a file, for the next worker that plays it (`known_length`); None if unknown."""

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None: ...
    def close(self) -> None: ...


class ThreadedSource(ABC):
    """State, retries and closing of a source that decodes on a thread; subclasses implement one playback."""

    SETTLED_S = 10.0
    """The backoff is reset only after this long a playback, so that a flapping source is not reopened constantly."""

    def __init__(
        self, camera: str, name: str, backoff: Backoff | None, health: PictureHealth, secrets: Sequence[str] = ()
    ) -> None:
        quiet_libraries()
        self._health = health
        self._camera, self._name, self._secrets = camera, hide(name, secrets), secrets
        self._backoff = backoff or Backoff()
        self._changed = threading.Condition()  # guards everything below
        self._state = SourceState.STARTING
        self._error: str | None = None
        self._answered = threading.Event()
        self._closed = self._was_live = False
        self._dropped = self._failures = self._restarts = 0
        # A daemon thread, because a read that hangs in a driver must not keep the process from exiting.
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
    def fault(self) -> Fault | None:
        return self._health.fault if self._state is SourceState.LIVE else None

    @property
    def moved(self) -> str | None:
        return self._health.moved

    @property
    def length(self) -> str | None:
        return None

    def close(self) -> None:
        """Stop decoding; returns within a second, even if a read hangs (the thread then ends when that read does)."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(CLOSE_WAIT_S)

    @abstractmethod
    def _play(self) -> None:
        """Open the source and deliver frames until it is closed or ends.

        Raises:
            SourceUnavailable: the source cannot be opened or read.
        """

    def _run(self) -> None:
        while not self._closed and self._state is not SourceState.ENDED:
            started_s, self._was_live = time.monotonic(), False
            self._health.reset()
            bug: Exception | None = None
            try:
                self._play()
            except SourceUnavailable as failure:
                reason = failure.reason
            except (cv2.error, av.FFmpegError) as failure:  # a damaged stream
                # Without the error's text, which may contain the URL.
                reason = f"{self._name}: the decoder failed ({type(failure).__name__})"
            except Exception as failure:  # noqa: BLE001 (top of the loop: a bug must not stop a camera permanently)
                reason = f"{self._name}: reading failed unexpectedly ({type(failure).__name__}); see the worker's log"
                bug = failure
            else:
                continue
            if self._was_live and time.monotonic() - started_s >= self.SETTLED_S:
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
            if self._closed:  # ignore the outcome of a read that was hanging during close()
                return
            changed = state is not self._state
            self._was_live |= state is SourceState.LIVE
            self._state, self._error = state, None if error is None else hide(error, self._secrets)
            self._answered.set()
            self._changed.notify_all()
        if not changed:
            return
        if state is SourceState.LIVE:
            log.info("source is live", camera=self._camera, source=self._name)
        elif state is SourceState.DOWN:
            retry = {} if retry_in_s is None else {"retry_in_s": round(retry_in_s, 1)}
            log.warning("source is down", camera=self._camera, source=self._name, reason=self._error, **retry)

    def _unavailable(self, reason: str) -> SourceUnavailable:
        return SourceUnavailable(self._camera, reason)
