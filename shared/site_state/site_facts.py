"""The site-wide facts in Redis, read in one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from shared.keys import Keys
from shared.redis_connection import Client
from shared.site_state.facts import scores, text_fields, whole
from shared.site_state.states import WORKER_GONE_MS


@dataclass(frozen=True)
class SiteFacts:
    """Everything about a site except the details of its cameras and workers."""

    tick: int
    skew: Mapping[str, str]
    """`clock:skew` as the clock wrote it."""
    clock: bool
    """Whether a process holds the role; likewise `aggregator`."""
    aggregator: bool
    settings: Mapping[bytes, bytes]
    """Camera → JSON of its settings."""
    epochs: Mapping[str, str]
    """Role → the epoch of its last lease."""
    seen: Mapping[str, int]
    """Camera → last handled tick; only those that take part in the clock."""
    heartbeat_ages_ms: Mapping[str, int]
    """Live worker → age of its last heartbeat."""
    now_ms: int
    """Redis time."""

    @property
    def stalled(self) -> tuple[str, ...]:
        """The cameras that the clock lists as stalled."""
        return tuple(self.skew.get("stalled", "").split())

    def claimed_ms(self, camera: str) -> int | None:
        """When a camera was last claimed, ms of Redis time: in live mode that is the epoch of its lease.

        None if unknown. An epoch in the future is left over from a run in virtual mode and is ignored.
        """
        epoch = whole(self.epochs.get(f"camera:{camera}"))
        return epoch if epoch is not None and epoch <= self.now_ms else None


def read_site_facts(client: Client, keys: Keys) -> SiteFacts:
    """Reads the facts; a malformed field or key counts as missing.

    Raises:
        RedisError: Redis is unreachable or refuses.
    """
    with client.pipeline(transaction=False) as pipe:
        pipe.get(keys.tick)
        pipe.hgetall(keys.skew)
        pipe.exists(keys.lease("clock"))
        pipe.exists(keys.lease("aggregator"))
        pipe.hgetall(keys.cameras)
        pipe.hgetall(keys.epochs)
        pipe.zrange(keys.seen, 0, -1, withscores=True)
        pipe.zrange(keys.workers, 0, -1, withscores=True)
        pipe.time()
        tick, skew, clock, aggregator, settings, epochs, seen, heartbeats, redis_time = execute(pipe)
    now_ms = redis_time[0] * 1000 + redis_time[1] // 1000
    ages_ms = {worker: max(0, now_ms - beat_ms) for worker, beat_ms in scores(heartbeats).items()}
    return SiteFacts(
        tick=whole(tick) or 0,
        skew=text_fields(skew),
        clock=bool(clock),
        aggregator=bool(aggregator),
        settings=settings or {},
        epochs=text_fields(epochs),
        seen=scores(seen),
        heartbeat_ages_ms={worker: age_ms for worker, age_ms in ages_ms.items() if age_ms < WORKER_GONE_MS},
        now_ms=now_ms,
    )


def execute(pipe: Any) -> list[Any]:
    """The replies of a pipeline; None where a key has the wrong type.

    Raises:
        RedisError: Redis is unreachable or refuses.
    """
    answers = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, ResponseError) and not str(answer).startswith("WRONGTYPE"):
            raise answer
    return [None if isinstance(answer, ResponseError) else answer for answer in answers]
