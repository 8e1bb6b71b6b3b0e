"""Checks whether the two Redis servers answer, for probes: without viewers, the streamer's loop contacts neither."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from redis.exceptions import RedisError

from shared.redis_connection import Client, WritesRefused

_SLOW_S = 1.0


class RedisCheck:
    """Runs one check at a time, so that a hung server blocks one probe and not all."""

    def __init__(self, servers: Mapping[str, Client]) -> None:
        """`servers`: name in messages → client."""
        self._servers = servers
        self._lock = threading.Lock()
        self._checking: tuple[str, float] | None = None
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Which server does not answer, and why; None if all do. While another thread checks: the last result."""
        if not self._lock.acquire(blocking=False):
            checking = self._checking
            if checking is not None and (waited_s := time.monotonic() - checking[1]) > _SLOW_S:
                return f"{checking[0]} has not answered for {waited_s:.1f} s"
            return self._problem
        try:
            self._problem = self._check()
            return self._problem
        finally:
            self._checking = None
            self._lock.release()

    def _check(self) -> str | None:
        for name, client in self._servers.items():
            self._checking = (name, time.monotonic())
            try:
                client.ping()
            except RedisError as error:
                return f"{name} {'refuses writes' if isinstance(error, WritesRefused) else 'does not answer'}: {error}"
        return None
