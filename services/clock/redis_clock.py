"""Redis time as this host's monotonic clock predicts it; notices when somebody sets Redis's clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.redis_connection import Client, server_time_ns

STEP_US = 500_000
"""A larger difference is a step. Quartz clocks drift by less than 0.1 ms per second, and NTP slews as slowly."""


class RedisClock:
    """The clock of one Redis, followed with few round trips."""

    def __init__(self, client: Client, monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000) -> None:
        self._client, self._monotonic_us = client, monotonic_us
        self._offset_us: int | None = None
        """Redis time minus monotonic time at the last measurement."""

    def expected_us(self) -> int:
        """What Redis time should be now, µs; 0 before the first measurement."""
        return 0 if self._offset_us is None else self._monotonic_us() + self._offset_us

    def measure(self) -> int:
        """Measures; returns by how much Redis's clock was set since the last measurement, µs, or 0.

        The time that the reply took is uncertain, so that a slow reply alone is no step.

        Raises:
            RedisError: Redis is unreachable.
        """
        sent_us = self._monotonic_us()
        redis_us = server_time_ns(self._client) // 1000
        received_us = self._monotonic_us()
        offset_us = redis_us - (sent_us + received_us) // 2
        before_us, self._offset_us = self._offset_us, offset_us
        step_us = 0 if before_us is None else offset_us - before_us
        return step_us if abs(step_us) > STEP_US + (received_us - sent_us) // 2 else 0
