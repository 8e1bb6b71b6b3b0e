"""Site time on this host, computed from the local monotonic clock and a measured offset.

It is steady: a step of Redis's clock, which the ticks show, does not change it (`shared.steady_time`).
"""

from __future__ import annotations

import threading
import time

import structlog

from shared.redis_connection import Client, server_time_ns
from shared.steady_time import STEP_NS, SteadyTime

_log = structlog.get_logger()

MEASURE_EVERY_S = 30.0
"""Quartz clocks drift apart by about 50 ms per hour, and an operator may set the server's clock."""
_SAMPLES = 5
_DOUBT_S = 5.0
"""After a step, the ticks show it within moments. A difference that stays for longer is adopted: ticks went on over it,
because no clock ran when it happened."""


class SiteTime:
    """Maps the local monotonic clock to steady site time; never goes back."""

    def __init__(self, client: Client, tick_ns: float = 1e9) -> None:
        """`tick_ns`: length of a tick."""
        self._client = client
        self._steady = SteadyTime(tick_ns)
        self._offset_ns = 0
        self._host_offset_ns = 0
        self._last_ns = 0
        self._lock = threading.Lock()
        self._measured_at_s = 0.0
        self._doubted_since_s: float | None = None
        self._measured = False
        self.measure()

    @property
    def shift_ns(self) -> int:
        """What to add to a steady time before it is written for others, ns."""
        return self._steady.shift_ns

    def note_tick(self, tick: int, time_ns: int) -> None:
        """Takes note of a published tick and its time; must see most ticks, from one thread."""
        with self._lock:
            step_ns = self._steady.note_tick(tick, time_ns)
        if step_ns:
            self._measured_at_s = 0.0
            _log.warning("Redis's clock was set; tracks and times go on", by_seconds=round(step_ns / 1e9, 1))

    def steady_ns(self, time_ns: int) -> int:
        """The steady time of a time that was read from Redis."""
        return self._steady.steady_ns(time_ns)

    def measure_if_due(self, now_s: float) -> None:
        """Measures again if the last measurement is `MEASURE_EVERY_S` old; `now_s` is `time.monotonic()`.

        Raises:
            RedisError: Redis is unreachable; the next call retries.
        """
        due_s = MEASURE_EVERY_S if self._doubted_since_s is None else 1.0
        if now_s - self._measured_at_s >= due_s:
            self.measure()

    def measure(self) -> None:
        """Measures the offset from the fastest of a few round trips (Cristian's algorithm).

        The error is at most half of that round trip.

        Raises:
            RedisError: Redis is unreachable.
        """
        best: tuple[int, int] | None = None
        for _ in range(_SAMPLES):
            sent = time.monotonic_ns()
            server = server_time_ns(self._client)
            received = time.monotonic_ns()
            sample = (received - sent, server - (sent + received) // 2)
            best = min(best, sample) if best else sample
        assert best is not None
        self._measured_at_s = time.monotonic()
        self._host_offset_ns = best[1]
        self._adopt(best[1] - self._steady.shift_ns)

    def _adopt(self, offset_ns: int) -> None:
        if self._measured and abs(offset_ns - self._offset_ns) > STEP_NS:
            self._doubted_since_s = self._doubted_since_s or self._measured_at_s
            if self._measured_at_s - self._doubted_since_s < _DOUBT_S:
                return
        self._offset_ns, self._measured, self._doubted_since_s = offset_ns, True, None

    def clock_offset_ms(self) -> int:
        """How far this host's time of day is ahead of Redis server time; site time does not depend on it."""
        return (time.time_ns() - time.monotonic_ns() - self._host_offset_ns) // 1_000_000

    def now_ns(self) -> int:
        """Steady site time, ns since the epoch. May be called from any thread."""
        with self._lock:
            self._last_ns = max(time.monotonic_ns() + self._offset_ns, self._last_ns)
            return self._last_ns
