"""Keeps the failure of one camera's pictures from stopping the other cameras of a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from services.camera_worker.camera import Camera
from shared.errors import MtmcError

_log = structlog.get_logger()
_Result = TypeVar("_Result")

GIVE_UP_S = 10.0
"""If every camera fails for this long, the device may need a new process."""


def isolated(
    cameras: Sequence[Camera], call: Callable[[Sequence[Camera]], Sequence[_Result]]
) -> list[tuple[Camera, _Result]]:
    """Calls `call` once for all `cameras`; if it fails, once for each camera, so that only the cause is left out.

    A camera that fails alone is suspended, and the error is logged when it changes.
    """
    try:
        return list(zip(cameras, call(cameras), strict=True))
    except Exception as error:  # noqa: BLE001 (a bug that affects one camera must not stop the others)
        if len(cameras) > 1:
            return [pair for camera in cameras for pair in isolated([camera], call)]
        _suspend(cameras[0], error)
        return []


def _suspend(camera: Camera, error: Exception) -> None:
    is_known = isinstance(error, MtmcError)
    reason = str(error) if is_known else f"an unexpected error ({type(error).__name__}); see the worker's log"
    if reason != camera.failure:
        _log.error("a camera's pictures cannot be handled, retrying", camera=camera.name, reason=reason)
        if not is_known:
            _log.error("the unexpected error", camera=camera.name, exc_info=error)
    camera.suspend(error, reason)


class DeviceWatch:
    """Notices that no picture of any camera can be handled."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: monotonic seconds."""
        self._now = now
        self._since: float | None = None

    def check(self, cameras: Sequence[Camera]) -> None:
        """Call after every tick with the cameras that have a picture.

        Raises:
            Exception: the last error of a camera; for `GIVE_UP_S`, every camera has failed.
        """
        if not cameras:
            return
        failures = [camera.error for camera in cameras if camera.error is not None]
        if len(failures) < len(cameras):
            self._since = None
            return
        self._since = self._now() if self._since is None else self._since
        if self._now() - self._since >= GIVE_UP_S:
            raise failures[-1]
