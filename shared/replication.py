"""Waiting for a replica: a Redis failover then loses fewer writes, but can still lose some."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import structlog
from redis.exceptions import NoPermissionError

from shared.redis_connection import Client
from shared.scripts import Scripts

_log = structlog.get_logger()
_LOOK_EVERY_S = 10.0
_WAIT_MS = 100


class Replicas:
    """The replicas of the Redis that `client` writes to; there may be none."""

    def __init__(self, client: Client) -> None:
        self._client, self._scripts = client, Scripts(client)
        self._count = 0
        self._look_at = 0.0
        self._behind = self._forbidden = False

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """Runs `lua/{name}.lua`, then waits up to 100 ms until one replica has what it wrote; the script's reply.

        Does not wait if there are no replicas. Script and WAIT use one connection, because WAIT covers only the writes
        of its own connection, and a pool may hand out another one for each command.

        Raises:
            RedisError: Redis is unreachable.
        """
        if time.monotonic() >= self._look_at:
            self._count = int(self._client.info("replication")["connected_slaves"])
            self._look_at = time.monotonic() + _LOOK_EVERY_S
        if self._count == 0:
            return self._scripts.run(name, keys, args)
        with self._client.pipeline(transaction=False) as pipe:
            self._scripts.run(name, keys, args, pipe)
            pipe.wait(1, _WAIT_MS)
            reply, reached = pipe.execute(raise_on_error=False)
        if isinstance(reached, NoPermissionError):
            self._note_forbidden()
            reached = 1
        for answer in (reply, reached):
            if isinstance(answer, Exception):
                raise answer
        if reached < 1 and not self._behind:
            _log.warning("no Redis replica keeps up; a failover now would lose writes", replicas=self._count)
        self._behind = reached < 1
        return reply

    def _note_forbidden(self) -> None:
        if not self._forbidden:
            self._forbidden = True
            _log.warning(
                "this Redis user may not run WAIT, so nothing waits for a replica, and a failover loses more writes; "
                "grant it: redis-cli ACL SETUSER NAME +wait",
                replicas=self._count,
            )
