"""Which pictures to publish: all of cameras that are being watched, and one per second of the others."""

from __future__ import annotations

UNWATCHED_PICTURE_S = 1.0
"""A camera without viewers publishes a picture this often, so that a page shows one as soon as it is opened."""


class PicturePace:
    """Remembers when each camera last had a picture. Pure: the caller passes the time."""

    def __init__(self) -> None:
        self._published_at: dict[str, float] = {}

    def due(self, camera: str, now_s: float, *, watched: bool) -> bool:
        """Whether to publish the camera's picture at `now_s` (monotonic seconds); if so, it counts as published."""
        last = self._published_at.get(camera)
        if not watched and last is not None and now_s - last < UNWATCHED_PICTURE_S:
            return False
        self._published_at[camera] = now_s
        return True

    def forget(self, camera: str) -> None:
        """Drops a camera that is gone; if it comes back, its first picture is published at once."""
        self._published_at.pop(camera, None)
