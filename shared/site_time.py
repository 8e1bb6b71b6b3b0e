"""Site time on this host: Redis server time, computed from the local monotonic clock and a measured offset."""

from __future__ import annotations

import threading
import time

from shared.redis_connection import Client, server_time_ns

MEASURE_EVERY_S = 30.0
"""Quartz clocks drift apart by about 50 ms per hour, and an operator may set the server's clock."""
_SAMPLES = 5


class SiteTime:
    """Maps the local monotonic clock to Redis server time; never goes back."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._offset_ns = 0
        self._last_ns = 0
        self._lock = threading.Lock()
        self._measured_at_s = 0.0
        self.measure()

    def measure_if_due(self, now_s: float) -> None:
        """Measures again if the last measurement is `MEASURE_EVERY_S` old; `now_s` is `time.monotonic()`.

        Raises:
            RedisError: Redis is unreachable; the next call retries.
        """
        if now_s - self._measured_at_s >= MEASURE_EVERY_S:
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
        self._offset_ns = best[1]
        self._measured_at_s = time.monotonic()

    def clock_offset_ms(self) -> int:
        """How far this host's time of day is ahead of Redis server time; site time does not depend on it."""
        return (time.time_ns() - time.monotonic_ns() - self._offset_ns) // 1_000_000

    def now_ns(self) -> int:
        """Site time, ns since the epoch. May be called from any thread."""
        with self._lock:
            self._last_ns = max(time.monotonic_ns() + self._offset_ns, self._last_ns)
            return self._last_ns
