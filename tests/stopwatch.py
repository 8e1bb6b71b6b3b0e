"""Measured durations whose limit depends on whether the machine had a core to spare."""

from __future__ import annotations

import os
import time
from pathlib import Path

_BUSY_FACTOR = 4.0
_SPARE = 0.25
"""Cores. With less idle time than this, on average, the measured program had to wait for a core."""


class Stopwatch:
    """Measures the seconds since it was created, and the idle time of the machine in between."""

    def __init__(self) -> None:
        self._began_s, self._idle_s = time.monotonic(), _idle_s()

    @property
    def seconds(self) -> float:
        """Seconds since creation."""
        return time.monotonic() - self._began_s

    @property
    def was_busy(self) -> bool:
        """Whether the machine had no core to spare since creation. Unknown counts as busy."""
        if self._idle_s is None:
            return True
        return (_idle_s() or 0.0) - self._idle_s < _SPARE * self.seconds

    def within(self, seconds: float) -> bool:
        """Whether less than `seconds` have passed; four times as long if the machine was busy."""
        return self.seconds < self.limit(seconds)

    def limit(self, seconds: float) -> float:
        """`seconds`; four times as many if the machine was busy."""
        return seconds * (_BUSY_FACTOR if self.was_busy else 1.0)


def _idle_s() -> float | None:
    """Seconds that the machine's cores were idle since it started, all cores together; None where it does not say."""
    try:
        words = Path("/proc/stat").read_text().split(maxsplit=6)
    except OSError:
        return None
    return int(words[4]) / os.sysconf("SC_CLK_TCK")
