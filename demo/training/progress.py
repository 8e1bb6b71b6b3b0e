"""Progress lines of a long run, with the remaining time."""

from __future__ import annotations

import sys
import time


class ProgressLines:
    """Prints at most one line every `every_s` seconds, and always the last one."""

    def __init__(self, what: str, total: int, every_s: float = 10.0, done: int = 0) -> None:
        self._what, self._total, self._every_s, self._first = what, total, every_s, done
        self._started_s = time.monotonic()
        self._next_s = self._started_s

    def at(self, done: int, detail: str = "") -> None:
        """Reports that `done` of the total are finished."""
        now = time.monotonic()
        if now < self._next_s and done < self._total:
            return
        self._next_s = now + self._every_s
        spent_s = now - self._started_s
        left_s = spent_s / max(1, done - self._first) * (self._total - done)
        sys.stdout.write(f"{self._what}: {done}/{self._total}, {_clock(left_s)} left  {detail}".rstrip() + "\n")
        sys.stdout.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
