"""Redis time as this host's monotonic clock predicts it; notices when somebody sets Redis's clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.redis_connection import Client, server_time_ns

STEP_US = 500_000
"""A larger difference is a step. Quartz clocks drift by less than 0.1 ms per second, and NTP slews as slowly."""
_SLOW_US = 250_000
"""An offset with a larger error than this replaces only a worse one."""


class RedisClock:
    """The clock of one Redis, followed with few round trips."""

    def __init__(self, client: Client, monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000) -> None:
        self._client, self._monotonic_us = client, monotonic_us
        self._offset_us: int | None = None
        """Redis time minus monotonic time at the last measurement."""
        self._doubt_us = 0
        """By how much `_offset_us` may be wrong."""

    def expected_us(self) -> int:
        """What Redis time should be now, µs; 0 before the first measurement."""
        return 0 if self._offset_us is None else self._monotonic_us() + self._offset_us

    def measure(self) -> int:
        """Measures; returns by how much Redis's clock was set since the last measurement, µs, or 0.

        When Redis read its clock is known only to half of the time that the reply took. A slow reply, for example after
        CLIENT PAUSE, is therefore neither a step nor a reason for finding one at the next measurement.

        Raises:
            RedisError: Redis is unreachable.
        """
        sent_us = self._monotonic_us()
        redis_us = server_time_ns(self._client) // 1000
        received_us = self._monotonic_us()
        offset_us = redis_us - (sent_us + received_us) // 2
        doubt_us = (received_us - sent_us) // 2
        step_us = 0 if self._offset_us is None else offset_us - self._offset_us
        is_step = abs(step_us) > STEP_US + doubt_us + self._doubt_us
        if is_step or self._offset_us is None or doubt_us <= max(_SLOW_US, self._doubt_us):
            self._offset_us, self._doubt_us = offset_us, doubt_us
        return step_us if is_step else 0
