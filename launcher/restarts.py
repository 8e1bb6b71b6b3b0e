"""Backoff for restarting a process: at once, or with growing delay if it keeps ending. Pure."""

from __future__ import annotations

SETTLED_SECONDS = 10.0
"""A process that ran at least this long is restarted at once: it was killed, or hit something rare."""
LONGEST_SECONDS = 30.0
"""The longest delay."""
_DOUBLINGS = 5


class Restarts:
    """The backoff of one process; all times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._started_at = 0.0
        self._failures = 0
        self._due_at: float | None = None

    def note_start(self, now: float) -> None:
        """Call when the process is started."""
        self._started_at, self._due_at = now, None

    def wait_s(self, now: float) -> float:
        """Call when the process has ended; returns the seconds left until its restart."""
        if self._due_at is None:
            settled = now - self._started_at >= SETTLED_SECONDS
            self._failures = 0 if settled else self._failures + 1
            self._due_at = now + _delay_s(self._failures)
        return max(0.0, self._due_at - now)


def _delay_s(failures: int) -> float:
    """0, 1, 2, 4, 8, 16, 30, 30, … seconds."""
    return min(LONGEST_SECONDS, 2.0 ** min(failures - 1, _DOUBLINGS)) if failures else 0.0
