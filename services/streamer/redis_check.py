"""Whether the two Redis servers answer, for probes: the loop of a streamer that nobody watches asks neither."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from redis.exceptions import RedisError

from shared.redis_connection import Client

_SLOW_S = 1.0


class RedisCheck:
    """Asks one at a time, so that a server that hangs holds up one probe and not all."""

    def __init__(self, servers: Mapping[str, Client]) -> None:
        """`servers`: what each is called in messages."""
        self._servers = servers
        self._lock = threading.Lock()
        self._asked: tuple[str, float] | None = None
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Which server does not answer, and why; None: all do. While another thread asks: what is known so far."""
        if not self._lock.acquire(blocking=False):
            asked = self._asked
            if asked is not None and (waited_s := time.monotonic() - asked[1]) > _SLOW_S:
                return f"{asked[0]} has not answered for {waited_s:.1f} s"
            return self._problem
        try:
            self._problem = self._ask()
            return self._problem
        finally:
            self._asked = None
            self._lock.release()

    def _ask(self) -> str | None:
        for name, client in self._servers.items():
            self._asked = (name, time.monotonic())
            try:
                client.ping()
            except RedisError as error:
                return f"{name} does not answer: {error}"
        return None
