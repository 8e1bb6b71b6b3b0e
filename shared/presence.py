"""Which processes of a site run, where they serve their figures, and whether they can do their work."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from shared.errors import redact
from shared.keys import Keys
from shared.monitoring.health import Health
from shared.monitoring.http_server import Address
from shared.redis_connection import Client
from shared.scripts import Scripts

_log = structlog.get_logger()
HEARTBEAT_SECONDS = 1.0
FORGOTTEN_SECONDS = 60
"""A process without a heartbeat for so long is forgotten."""
_RESIGN_S = 0.5
_MOST = 1000
_ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104


@dataclass(frozen=True)
class ServiceInfo:
    """One process; the fields are those of `mtmc status --json`."""

    id: str
    role: str
    """`clock`, `aggregator`, `camera-worker` or `streamer`."""
    host: str
    pid: int | None
    metrics_url: str | None
    """None: it serves no metrics. A loopback address can be reached on its host only."""
    ready: bool
    problem: str | None
    """Why it was not ready at its last heartbeat."""
    uptime_seconds: float | None
    heartbeat_age_seconds: float


class Presence:
    """Tells Redis every second that this process runs, on a thread of its own, so that a hung loop is told too."""

    def __init__(
        self, client: Client, keys: Keys, role: str, health: Health, address: Address | None, started_at: float
    ) -> None:
        """`started_at`: monotonic seconds. Starts at once."""
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
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Takes the process out of the list; while Redis hangs that is left to the expiry."""
        self._stop.set()
        self._thread.join(_RESIGN_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with contextlib.suppress(RedisError):  # The loop notices too, and says so.
                    self._beat()
            except Exception:  # noqa: BLE001 (the top of a loop; the thread must not end unseen)
                _log.exception("a heartbeat failed, retrying")
            self._stop.wait(HEARTBEAT_SECONDS)
        with contextlib.suppress(RedisError), self._client.pipeline(transaction=False) as pipe:
            pipe.zrem(self._keys.services, self.id)
            pipe.delete(self._keys.service(self.id))
            pipe.execute()

    def _beat(self) -> None:
        uptime_ms = round((time.monotonic() - self._started_at) * 1000)
        fields: dict[str, str | int] = {**self._facts, "problem": self._health.not_ready() or ""}
        self._scripts.run(
            "heartbeat",
            [self._keys.services, self._keys.service(self.id)],
            [self.id, uptime_ms, FORGOTTEN_SECONDS * 1000, *(part for pair in fields.items() for part in pair)],
        )


def read_services(client: Client, keys: Keys) -> tuple[ServiceInfo, ...]:
    """The processes with a heartbeat within the last minute, by role, host and pid.

    What cannot be read is left out.

    Raises:
        RedisError: Redis is away.
    """
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zrange(keys.services, 0, _MOST - 1, desc=True, withscores=True)
        (seconds, microseconds), heartbeats = pipe.execute(raise_on_error=False)
    if isinstance(heartbeats, ResponseError):
        return ()
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    ages_s = {_text(name): (now_ms - beat_ms) / 1000 for name, beat_ms in heartbeats}
    recent = [name for name, age_s in ages_s.items() if age_s < FORGOTTEN_SECONDS]
    with client.pipeline(transaction=False) as pipe:
        for name in recent:
            pipe.hgetall(keys.service(name))
        answers = pipe.execute(raise_on_error=False) if recent else []
    found = [
        _info(name, fields, now_ms, ages_s[name])
        for name, fields in zip(recent, answers, strict=True)
        if isinstance(fields, dict) and fields
    ]
    return tuple(sorted(found, key=lambda info: (info.role, info.host, info.pid or 0, info.id)))


def _info(name: str, answer: Mapping[bytes, bytes], now_ms: int, age_s: float) -> ServiceInfo:
    fields = {_text(key): _text(value) for key, value in answer.items()}
    problem = redact(fields.get("problem", "")) or None
    started_ms = _whole(fields.get("started_ms"))
    return ServiceInfo(
        id=name,
        role=fields.get("role", ""),
        host=fields.get("host", ""),
        pid=_whole(fields.get("pid")),
        metrics_url=_metrics_url(fields),
        ready=problem is None,
        problem=problem,
        uptime_seconds=None if started_ms is None else max(0.0, (now_ms - started_ms) / 1000),
        heartbeat_age_seconds=round(max(0.0, age_s), 3),
    )


def _metrics_url(fields: Mapping[str, str]) -> str | None:
    port = _whole(fields.get("metrics_port"))
    if port is None:
        return None
    bound = fields.get("metrics_host", "")
    return f"{Address(fields.get('host', '') if bound in _ANY_ADDRESS else bound, port).url}/metrics"


def _text(value: Any) -> str:
    """Nothing in it can change a terminal."""
    decoded = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in decoded)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None
