"""Failing pictures: which failures to log, and which cameras wait before their next picture is tried. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from shared.backoff import Backoff

SETTLED_S = 10.0
"""A camera has recovered after this long without a failed picture, so that a flapping one does not fill the log."""


class DropReason(StrEnum):
    """Why a picture was not published."""

    REPLACED = "replaced"  # a newer picture of the camera arrived before it was drawn
    ENCODING = "encoding"  # OpenCV cannot draw or encode it
    REDIS = "redis"  # Redis is unreachable, or refused it
    ERROR = "error"  # an unexpected exception, or its camera is in the backoff after one


@dataclass
class _Failing:
    """A camera with a recent failure."""

    backoff: Backoff
    reason: DropReason
    failed_at_s: float
    retry_at_s: float = 0.0


class PictureFailures:
    """Used by one thread only. `now_s` is always monotonic seconds."""

    def __init__(self, make_backoff: Callable[[], Backoff] = Backoff) -> None:
        self._make_backoff = make_backoff
        self._failing: dict[str, _Failing] = {}

    def is_suspended(self, camera: str, now_s: float) -> bool:
        """Whether the camera is in the backoff after an unexpected exception."""
        failing = self._failing.get(camera)
        return failing is not None and now_s < failing.retry_at_s

    def failed(self, camera: str, reason: DropReason, now_s: float) -> bool:
        """Counts a failed picture of the camera; returns whether to log it.

        Cameras that fail because of Redis fail together, so only the first one is logged.
        """
        failing = self._failing.get(camera)
        is_news = failing is None or failing.reason is not reason
        if reason is DropReason.REDIS:
            is_news = not self._redis_fails(now_s)
        if failing is None:
            self._failing[camera] = _Failing(self._make_backoff(), reason, now_s)
        else:
            failing.reason, failing.failed_at_s = reason, now_s
        return is_news

    def suspend(self, camera: str, now_s: float) -> float:
        """Counts an unexpected exception; returns the backoff of the camera, seconds."""
        self.failed(camera, DropReason.ERROR, now_s)
        failing = self._failing[camera]
        wait_s = failing.backoff.next_s()
        failing.retry_at_s = now_s + wait_s
        return wait_s

    def published(self, camera: str, now_s: float) -> bool:
        """Counts a published picture of the camera; returns whether to log that the camera has recovered.

        Of cameras that failed because of Redis, only the last one is logged.
        """
        failing = self._failing.get(camera)
        if failing is None or now_s - max(failing.failed_at_s, failing.retry_at_s) < SETTLED_S:
            return False
        del self._failing[camera]
        return failing.reason is not DropReason.REDIS or not self._redis_fails(now_s)

    def _redis_fails(self, now_s: float) -> bool:
        """Whether any camera failed recently because of Redis."""
        return any(
            failing.reason is DropReason.REDIS and now_s - failing.failed_at_s < SETTLED_S
            for failing in self._failing.values()
        )
