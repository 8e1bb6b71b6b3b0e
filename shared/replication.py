"""Waiting for a replica: narrows what a failover of Redis can lose, and does not remove it."""

from __future__ import annotations

import time

import structlog

from shared.redis_connection import Client

_log = structlog.get_logger()
_LOOK_EVERY_S = 10.0
_WAIT_MS = 100


class Replicas:
    """The replicas of the Redis that `client` writes to; without any, nothing is waited for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._count = 0
        self._look_at = 0.0
        self._behind = False

    def confirm(self) -> bool:
        """Waits, a tenth of a second at most, until one replica has what this thread wrote last; False if none has.

        Raises:
            RedisError: Redis is away.
        """
        if time.monotonic() >= self._look_at:
            self._count = int(self._client.info("replication")["connected_slaves"])
            self._look_at = time.monotonic() + _LOOK_EVERY_S
        if self._count == 0:
            return True
        behind = self._client.wait(1, _WAIT_MS) < 1
        if behind and not self._behind:
            _log.warning("no replica of Redis keeps up; a failover now would lose writes", replicas=self._count)
        self._behind = behind
        return not behind
