"""Checks the Redis of a site and the one for pictures, and compares the hosts' clocks with Redis time."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from typing import Any

from redis.exceptions import RedisError

from launcher.address import RedisAddress
from shared.errors import MtmcError, RedisUnusable, redact
from shared.keys import Keys
from shared.redis_connection import Client, address, check, connect, refusal
from shared.redis_permissions import require_permissions
from shared.redis_server import find_binary
from shared.site_time import SiteTime
from site_checks.finding import Finding, error, ok, warning

AREA = "redis"
CLOCKS = "clocks"
_FAR_MS = 3.0
"""A worker queries Redis about twice per tick; at 10 ticks per second, longer delays become noticeable."""
_FULL = 0.8
_APART_MS = 1000
_TRIES = 15
_LOOPBACK = ("127.0.0.1", "localhost", "::1", "unix")


def examine_redis(where: RedisAddress | None, client: Client | None) -> Iterator[Finding]:
    """Checks the server that the site would use; `client` is None if no server answers.

    Without an address, `mtmc up` starts an embedded server; then only the presence of `redis-server` is checked.
    """
    if where is None or (where.embedded and client is None):
        yield _embedded()
        return
    client = client or where.connect()
    try:
        check(client, where.url)
        require_permissions(client, where.url)
        yield from _server(client, where)
    except RedisUnusable as problem:
        yield error(AREA, str(problem))
        return
    except RedisError as problem:
        yield error(AREA, f"Redis at {where.url} failed ({problem}); see its log")
        return
    if where.frames_url and where.frames_url != where.url:
        yield _pictures(where.frames_url, where.password)
    elif not where.embedded:
        yield warning(
            AREA,
            "pictures share the Redis of all other data, and its persistence",
            "set redis.frames_url (or MTMC_FRAMES_URL) to a second Redis without persistence",
        )


def _embedded() -> Finding:
    try:
        return ok(AREA, f"no Redis is configured; `mtmc up` starts its own ({find_binary()})")
    except MtmcError as problem:
        return error(AREA, str(problem))


def _server(client: Client, where: RedisAddress) -> Iterator[Finding]:
    info = client.info()
    shown = redact(where.url)
    delays_ms = [_answer_ms(client) for _ in range(_TRIES)]
    delay_ms = statistics.median(delays_ms)
    found = f"Redis {info['redis_version']} at {shown} answers in {delay_ms:.1f} ms"
    if delay_ms > _FAR_MS:
        yield warning(AREA, found, "run Redis closer to the workers: every tick waits for it")
    else:
        yield ok(AREA, found)
    if where.embedded and info.get("executable"):
        yield ok(AREA, f"`mtmc up` started it from {info['executable']}")
    refused = refusal(info)
    if refused:
        yield error(AREA, f"it refuses writes: {refused}")
    if info.get("role") == "slave":
        yield error(AREA, f"{shown} is a replica and refuses writes; use the URL of the primary")
    if not int(info.get("aof_enabled", 0)):
        yield warning(
            AREA,
            "AOF persistence is off: a restart of Redis would lose every identity",
            "run: redis-cli CONFIG SET appendonly yes, and set 'appendonly yes' in redis.conf",
        )
    yield from _memory(info)
    if not where.embedded and address(where.url)[0] not in _LOOPBACK and not _has_password(where):
        yield warning(
            AREA,
            f"{shown} has no password, but stores the passwords of the cameras",
            "set requirepass in redis.conf, and MTMC_REDIS_PASSWORD for every process of mtmc",
        )


def _memory(info: dict[str, Any]) -> Iterator[Finding]:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if limit and used > _FULL * limit:
        yield warning(
            AREA,
            f"{used / limit:.0%} of maxmemory ({limit / 2**20:.0f} MiB) is in use",
            "raise maxmemory; `mtmc inspect keys` shows what uses it",
        )
    else:
        of = f" of {limit / 2**20:.0f} MiB" if limit else " (no maxmemory limit)"
        yield ok(AREA, f"{used / 2**20:.0f} MiB in use{of}; keys are never evicted")


def _has_password(where: RedisAddress) -> bool:
    return bool(where.password) or "@" in where.url


def _pictures(url: str, password: str | None) -> Finding:
    with contextlib.closing(connect(url, password)) as client:
        try:
            check(client, url)
            if int(client.info("persistence").get("aof_enabled", 0)):
                return warning(
                    AREA,
                    f"the Redis for pictures at {url} writes every picture to its AOF",
                    "run on that server: redis-cli CONFIG SET appendonly no",
                )
        except RedisUnusable as problem:
            return error(AREA, f"for pictures: {problem}")
        except RedisError as problem:
            return error(AREA, f"the Redis for pictures at {url} failed ({problem}); see its log")
    return ok(AREA, f"the Redis for pictures at {url} answers; AOF persistence is off")


def examine_clocks(client: Client, keys: Keys) -> Iterator[Finding]:
    """Compares the clocks of this host and of the workers' hosts with Redis time. Site time does not depend on them.

    Raises:
        RedisError: Redis does not answer.
    """
    offsets = {"this host": SiteTime(client).clock_offset_ms()}
    for name in client.zrange(keys.workers, 0, -1):
        host, offset = client.hmget(keys.worker(name.decode()), "host", "clock_offset_ms")
        if host and offset:
            offsets[f"worker {name.decode()} on {host.decode()}"] = int(offset)
    apart = {name: offset for name, offset in offsets.items() if abs(offset) > _APART_MS}
    for name, offset in apart.items():
        yield warning(
            CLOCKS,
            f"the clock of {name} is {offset / 1000:+.1f} s off Redis time; times in logs are wrong, tracking is not "
            "affected",
            "synchronise the hosts by NTP (chrony, systemd-timesyncd)",
        )
    if not apart:
        furthest = max(offsets.values(), key=abs)
        yield ok(CLOCKS, f"{len(offsets)} compared with Redis time; the largest offset is {furthest:+d} ms")


def _answer_ms(client: Client) -> float:
    began = time.perf_counter()
    client.time()  # PING is refused while the disk is full
    return (time.perf_counter() - began) * 1000
