"""The processes of a site, from their heartbeats in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import redact
from shared.keys import Keys
from shared.lenient_values import LONGEST_NAME, decimal
from shared.monitoring.http_server import Address
from shared.presence import FORGOTTEN_SECONDS
from shared.redis_connection import Client

_MOST = 1000
_LONGEST = 1000
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
    """None: the process serves no metrics. A loopback address can be reached only from its own host."""
    ready: bool
    problem: str | None
    """Why it was not ready at its last heartbeat."""
    not_ready_seconds: float | None
    """How long it had not been ready at its last heartbeat; None if it was ready, or if that is not known."""
    starting: bool
    """Whether it has not been ready yet since it started, or since it restarted with a new revision of the site."""
    uptime_seconds: float | None
    heartbeat_age_seconds: float

    @property
    def name(self) -> str:
        """What people call it."""
        return f"the {self.role} on {self.host}" + ("" if self.pid is None else f" (pid {self.pid})")


def read_services(client: Client, keys: Keys) -> tuple[ServiceInfo, ...]:
    """The processes with a heartbeat within the last minute, sorted by role, host and pid.

    Entries that cannot be read are skipped.

    Raises:
        RedisError: Redis is unreachable.
    """
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        queue_heartbeats(pipe, keys)
        (seconds, microseconds), heartbeats = pipe.execute(raise_on_error=False)
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    ages_s = recent_heartbeats(heartbeats, now_ms)
    with client.pipeline(transaction=False) as pipe:
        for name in ages_s:
            pipe.hgetall(keys.service(name))
        answers = pipe.execute(raise_on_error=False) if ages_s else []
    return listed_services(ages_s, answers, now_ms)


def queue_heartbeats(pipe: Any, keys: Keys) -> None:
    """Queues the query of all heartbeats; `recent_heartbeats` parses the reply."""
    pipe.zrange(keys.services, 0, _MOST - 1, desc=True, withscores=True)


def recent_heartbeats(answer: Any, now_ms: int) -> dict[str, float]:
    """Process → age of its last heartbeat, s; those of the last minute. `now_ms` is Redis time."""
    if not isinstance(answer, list):
        return {}
    ages_s = {_text(name): (now_ms - beat_ms) / 1000 for name, beat_ms in answer if len(name) <= LONGEST_NAME}
    return {name: age_s for name, age_s in ages_s.items() if age_s < FORGOTTEN_SECONDS}


def listed_services(ages_s: Mapping[str, float], answers: Iterable[Any], now_ms: int) -> tuple[ServiceInfo, ...]:
    """The processes, given the age of each one's heartbeat and its hash, in the same order; sorted as above."""
    found = [
        _info(name, fields, now_ms, ages_s[name])
        for name, fields in zip(ages_s, answers, strict=True)
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
        not_ready_seconds=decimal(fields.get("not_ready_s")),
        starting=fields.get("starting") == "1",
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
    """`value` as printable text, without terminal control characters, and cut after 1,000 bytes."""
    decoded = value[:_LONGEST].decode(errors="replace") if isinstance(value, bytes) else str(value)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in decoded)


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None
