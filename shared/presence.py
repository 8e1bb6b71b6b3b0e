"""The heartbeat of a process: that it runs, where it serves its metrics, and whether it is ready."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time

import structlog
from redis.exceptions import RedisError

from shared.keys import Keys
from shared.monitoring.health import Health
from shared.monitoring.http_server import Address
from shared.redis_connection import Client
from shared.scripts import Scripts

_log = structlog.get_logger()
HEARTBEAT_SECONDS = 0.5
FORGOTTEN_SECONDS = 60
"""A process without a heartbeat for this long is removed from the list."""
_RESIGN_S = 0.5


class Presence:
    """Sends a heartbeat twice a second, on its own thread, so that a hung loop is reported too."""

    def __init__(
        self, client: Client, keys: Keys, role: str, health: Health, address: Address | None, started_at: float
    ) -> None:
        """Starts the thread. `started_at`: when the process started, monotonic seconds."""
        self._client, self._keys, self._health, self._started_at = client, keys, health, started_at
        self._scripts = Scripts(client)
        host = socket.gethostname()
        self.id = f"{role}-{host.split('.')[0]}-{os.getpid()}-{secrets.token_hex(2)}"
        self._facts: dict[str, str | int] = {
            "role": role,
            "host": host,
            "pid": os.getpid(),
            "metrics_host": address.host if address else "",
            "metrics_port": address.port if address else "",
        }
        self._starting = True
        self._not_ready_since_s: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Removes the process from the list; if Redis hangs, the entry expires instead."""
        self._stop.set()
        self._thread.join(_RESIGN_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with contextlib.suppress(RedisError):  # The service's loop notices and logs it.
                    self._beat()
            except Exception:  # noqa: BLE001 (the top of a loop; the thread must not end unseen)
                _log.exception("a heartbeat failed, retrying")
            self._stop.wait(HEARTBEAT_SECONDS)
        with contextlib.suppress(RedisError), self._client.pipeline(transaction=False) as pipe:
            pipe.zrem(self._keys.services, self.id)
            pipe.delete(self._keys.service(self.id))
            pipe.execute()

    def _beat(self) -> None:
        now_s = time.monotonic()
        uptime_ms = round((now_s - self._started_at) * 1000)
        fields = {**self._facts, **self._readiness(now_s)}
        self._scripts.run(
            "heartbeat",
            [self._keys.services, self._keys.service(self.id)],
            [self.id, uptime_ms, FORGOTTEN_SECONDS * 1000, *(part for pair in fields.items() for part in pair)],
        )

    def _readiness(self, now_s: float) -> dict[str, str | int]:
        problem = self._health.not_ready() or ""
        if problem:
            self._not_ready_since_s = now_s if self._not_ready_since_s is None else self._not_ready_since_s
            not_ready_s = f"{now_s - self._not_ready_since_s:.1f}"
        else:
            self._starting, self._not_ready_since_s, not_ready_s = False, None, ""
        return {"problem": problem, "not_ready_s": not_ready_s, "starting": int(self._starting)}
