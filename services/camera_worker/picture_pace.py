"""Which pictures are worth publishing: every one of a camera that somebody watches, now and then one of the others."""

from __future__ import annotations

UNWATCHED_PICTURE_S = 1.0
"""A camera that nobody watches gets a new picture this often: whoever opens the page sees something at once."""


class PicturePace:
    """Remembers when each camera last had a picture. Pure: the caller says what time it is."""

    def __init__(self) -> None:
        self._published_at: dict[str, float] = {}

    def due(self, camera: str, now_s: float, *, watched: bool) -> bool:
        """Whether the camera's picture is to be published at `now_s` (monotonic seconds); if so, it counts as done."""
        last = self._published_at.get(camera)
        if not watched and last is not None and now_s - last < UNWATCHED_PICTURE_S:
            return False
        self._published_at[camera] = now_s
        return True

    def forget(self, camera: str) -> None:
        """The camera is gone; if it comes back, its first picture is published at once."""
        self._published_at.pop(camera, None)
