"""The rate of the pictures of one viewer. Pure: the caller passes the times."""

from __future__ import annotations


class Pace:
    """When a viewer that asked for `fps` pictures per second is due its next one."""

    def __init__(self, fps: float | None) -> None:
        """None: as many as there are."""
        self._interval_s = 0.0 if fps is None else 1 / fps
        self._next_at = -1e9

    def delay_s(self, now: float) -> float:
        """How long to wait; `now` in monotonic seconds."""
        return max(0.0, self._next_at - now)

    def sent(self, now: float) -> None:
        """Counts a picture. One that was a little late does not delay the ones after it; a pause is not made up for."""
        late_s = now - self._next_at
        self._next_at = (self._next_at if late_s < self._interval_s else now) + self._interval_s
