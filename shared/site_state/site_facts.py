"""The site-wide facts in Redis, read in one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from shared.keys import Keys
from shared.lenient_reads import is_wrong_type
from shared.lenient_values import scores, text_fields, whole
from shared.redis_connection import Client, refusal
from shared.service_list import queue_heartbeats, recent_heartbeats
from shared.site_state.states import WORKER_GONE_MS
from shared.site_state.tick_age import stored_ms

_ENTRIES_OF_A_TICK = 10
"""Of one tick, `clock:ticks` has one entry from the clock and a few from workers that raised the gate."""


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
    seen: Mapping[str, int]
    """Camera → last handled tick; only those that take part in the clock."""
    heartbeat_ages_ms: Mapping[str, int]
    """Live worker → age of its last heartbeat."""
    now_ms: int
    """Redis time."""
    tick_stored_ms: int | None = None
    """When `tick` was published, ms of Redis time; None if `clock:ticks` does not say."""
    cycle_tick: int = 0
    """Tick of the aggregator's last cycle; 0 before the first."""
    service_ages_s: Mapping[str, float] = field(default_factory=dict)
    """Process → age of its last heartbeat."""
    restored: Mapping[str, str] = field(default_factory=dict)
    """What was written again when Redis had lost everything."""
    refusal: str = ""
    """Why Redis refuses writes, and what to do; empty: it accepts them."""

    @property
    def stalled(self) -> tuple[str, ...]:
        """The cameras that the clock lists as stalled."""
        return tuple(self.skew.get("stalled", "").split())

    def claimed_ms(self, written_epoch: bytes | None) -> int | None:
        """When a camera was last claimed, ms of Redis time: in live mode that is the epoch of its last lease.

        None if unknown. An epoch in the future is left over from a run in virtual mode and is ignored.
        """
        epoch = whole(written_epoch)
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
        pipe.zrange(keys.seen, 0, -1, withscores=True)
        pipe.zrange(keys.workers, 0, -1, withscores=True)
        pipe.xrevrange(keys.ticks, count=_ENTRIES_OF_A_TICK)
        pipe.xrevrange(keys.cycles, count=1)
        pipe.hgetall(keys.restored)
        queue_heartbeats(pipe, keys)
        pipe.info("persistence")
        pipe.info("memory")
        pipe.time()
        tick, skew, clock, aggregator, settings, seen, heartbeats, ticks, cycles, *rest = execute(pipe)
        restored, services, persistence, memory, redis_time = rest
    now_ms = redis_time[0] * 1000 + redis_time[1] // 1000
    ages_ms = {worker: max(0, now_ms - beat_ms) for worker, beat_ms in scores(heartbeats).items()}
    number = whole(tick) or 0
    return SiteFacts(
        tick=number,
        skew=text_fields(skew),
        clock=bool(clock),
        aggregator=bool(aggregator),
        settings=settings or {},
        seen=scores(seen),
        heartbeat_ages_ms={worker: age_ms for worker, age_ms in ages_ms.items() if age_ms < WORKER_GONE_MS},
        now_ms=now_ms,
        tick_stored_ms=stored_ms([(_ms(entry), whole(entry[1].get(b"tick"))) for entry in ticks or ()], number),
        cycle_tick=_ms(cycles[0]) if cycles else 0,
        service_ages_s=recent_heartbeats(services, now_ms),
        restored=text_fields(restored),
        refusal=refusal(persistence | memory) or "",
    )


def _ms(entry: tuple[bytes, Any]) -> int:
    """The first part of the id of a stream entry."""
    return int(entry[0].partition(b"-")[0])


def execute(pipe: Any) -> list[Any]:
    """The replies of a pipeline; None where a key has the wrong type.

    Raises:
        RedisError: Redis is unreachable or refuses.
    """
    answers = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, ResponseError) and not is_wrong_type(answer):
            raise answer
    return [None if isinstance(answer, ResponseError) else answer for answer in answers]
