"""When a process that ended is started again: at once, or later and later if it keeps ending. Pure."""

from __future__ import annotations

SETTLED_SECONDS = 10.0
"""Who ran for so long is started again at once: it was killed, or met with something rare."""
LONGEST_SECONDS = 30.0
_DOUBLINGS = 5


class Restarts:
    """For one process; all times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._started_at = 0.0
        self._failures = 0
        self._due_at: float | None = None

    def note_start(self, now: float) -> None:
        """It was started."""
        self._started_at, self._due_at = now, None

    def wait_s(self, now: float) -> float:
        """It has ended: how long it is left alone yet before it is started again."""
        if self._due_at is None:
            settled = now - self._started_at >= SETTLED_SECONDS
            self._failures = 0 if settled else self._failures + 1
            self._due_at = now + _delay_s(self._failures)
        return max(0.0, self._due_at - now)


def _delay_s(failures: int) -> float:
    """0, 1, 2, 4, 8, 16, 30, 30, … seconds."""
    return min(LONGEST_SECONDS, 2.0 ** min(failures - 1, _DOUBLINGS)) if failures else 0.0
