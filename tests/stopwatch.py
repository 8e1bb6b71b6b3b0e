"""Measured durations whose limit depends on whether the machine had a core to spare."""

from __future__ import annotations

import functools
import os
import threading
import time
from pathlib import Path

_BUSY_FACTOR = 4.0
_SPARE = 0.25
"""Cores. With less idle time than this, on average, the measured program had to wait for a core."""
_PULSE_S, _LATE_S = 0.02, 0.1


class Stopwatch:
    """Measures the seconds since it was created, the idle time of the machine in between, and its stalls."""

    def __init__(self) -> None:
        self._pulse = pulse()
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

    def within(self, seconds: float, took_s: float | None = None) -> bool:
        """Whether less than `seconds` have passed, without stalls; four times as long if the machine was busy.

        `took_s`: the seconds as something else has measured them meanwhile; None: those since creation.
        """
        now_s = time.monotonic()
        passed_s = now_s - self._began_s if took_s is None else took_s
        return passed_s - self._pulse.stalled_s(self._began_s, now_s) < self.limit(seconds)

    def limit(self, seconds: float) -> float:
        """`seconds`; four times as many if the machine was busy."""
        return seconds * (_BUSY_FACTOR if self.was_busy else 1.0)


class Pulse(threading.Thread):
    """Notes when this process did not run: another one had all cores, or the whole machine was held up."""

    def __init__(self) -> None:
        super().__init__(name="pulse", daemon=True)
        self._stalls: list[tuple[float, float]] = []
        self._beat_s = time.monotonic()
        self.start()

    def run(self) -> None:
        while True:
            time.sleep(_PULSE_S)
            now_s = time.monotonic()
            if now_s - self._beat_s > _PULSE_S + _LATE_S:
                self._stalls.append((self._beat_s, now_s))
            self._beat_s = now_s

    def stalled_s(self, from_s: float, to_s: float) -> float:
        """Seconds without a beat between two moments of the monotonic clock, of gaps longer than 0.12 s."""
        # Also the gap that lasts until now: after a stall, the caller may run before this thread does.
        gaps = [*self._stalls, *([(self._beat_s, to_s)] if to_s - self._beat_s > _PULSE_S + _LATE_S else [])]
        return sum(max(0.0, min(end_s, to_s) - max(begin_s, from_s)) for begin_s, end_s in gaps)


@functools.cache
def pulse() -> Pulse:
    """The one of this process; it begins with the first call."""
    return Pulse()


def _idle_s() -> float | None:
    """Seconds that the machine's cores were idle since it started, all cores together; None where it does not say."""
    try:
        words = Path("/proc/stat").read_text().split(maxsplit=6)
    except OSError:
        return None
    return int(words[4]) / os.sysconf("SC_CLK_TCK")
