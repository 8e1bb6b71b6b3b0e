"""Waiting for a replica: a Redis failover then loses fewer writes, but can still lose some."""

from __future__ import annotations

import time

import structlog

from shared.redis_connection import Client

_log = structlog.get_logger()
_LOOK_EVERY_S = 10.0
_WAIT_MS = 100


class Replicas:
    """The replicas of the Redis that `client` writes to; there may be none."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._count = 0
        self._look_at = 0.0
        self._behind = False

    def confirm(self) -> bool:
        """Waits up to 100 ms until one replica has the last write of this thread; False on timeout.

        Returns True at once if there are no replicas.

        Raises:
            RedisError: Redis is unreachable.
        """
        if time.monotonic() >= self._look_at:
            self._count = int(self._client.info("replication")["connected_slaves"])
            self._look_at = time.monotonic() + _LOOK_EVERY_S
        if self._count == 0:
            return True
        behind = self._client.wait(1, _WAIT_MS) < 1
        if behind and not self._behind:
            _log.warning("no Redis replica keeps up; a failover now would lose writes", replicas=self._count)
        self._behind = behind
        return not behind
