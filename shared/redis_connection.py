"""Connecting to Redis: one place that knows the driver's settings and turns its errors into ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import DefaultParser
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.errors import RedisUnusable, redact


class WritesRefused(ResponseError):
    """Redis is there, and took nothing of what was to be written; the text says why."""


class IsReplica(RedisConnectionError):
    """Redis became a replica. As a lost connection, because the next one may lead to the primary."""


RETRYABLE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, WritesRefused)
"""What goes away by itself, or once somebody has made room: the caller tries again."""

MIN_VERSION = (6, 2)
_SOCKET_TIMEOUT_S = 5.0
# At the beginning, or where Redis 6.2 quotes what a script ran into.
_REFUSAL = re.compile(r"(?:^|: -)(?P<code>MISCONF|OOM|NOREPLICAS|READONLY) (?P<text>.*)", re.DOTALL)
_REFUSALS = {
    "MISCONF": "it cannot write to its disk; make room there",
    "OOM": "its memory is full; raise its maxmemory",
    "NOREPLICAS": "too few of its replicas are connected; start them",
}

Client: TypeAlias = Any
"""A `redis.Redis` that answers bytes; the driver's own types speak of all its dialects at once and help nobody."""


class _Parser(DefaultParser):
    """The driver's parser of answers, with errors of their own for a server that takes no writes."""

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        refusal = _REFUSAL.search(response)
        if refusal is None:
            return super().parse_error(response)
        if refusal["code"] == "READONLY":
            return IsReplica("it is a replica; name the primary")
        text = refusal["text"].split(" script: ")[0].rstrip(".")
        return WritesRefused(f"{_REFUSALS[refusal['code']]} ({refusal['code']} {text})")


def connect(
    url: str, password: str | None = None, *, name: str = "mtmc", timeout_s: float = _SOCKET_TIMEOUT_S
) -> Client:
    """A client that answers bytes, does not retry by itself, and has checked nothing yet.

    Commands are not retried by the driver: scripts append to streams, and only their callers know how to do that
    again without doing it twice.

    Raises:
        RedisUnusable: the URL is none.
    """
    try:
        return redis.Redis.from_url(
            url,
            **({"password": password} if password else {}),
            client_name=name,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            socket_keepalive=True,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            parser_class=_Parser,
        )
    except ValueError as error:
        raise RedisUnusable(f"'{redact(url)}' is no Redis URL ({error}); write redis://HOST:PORT") from None


def check(client: Client, url: str) -> None:
    """Asks the server whether it is fit for use.

    Raises:
        RedisUnusable: unreachable, wrong password, older than 6.2, or evicting keys; says what to do.
    """
    where = redact(url)
    try:
        server = client.info("server")
        memory = client.info("memory")
    except AuthenticationError as error:
        refused = "needs a password" if "required" in str(error) else f"refused the password ({_reason(error)})"
        raise RedisUnusable(
            f"Redis at {where} {refused}; set MTMC_REDIS_PASSWORD or redis.password, or put it into the URL"
        ) from None
    except NoPermissionError:
        raise RedisUnusable(f"Redis at {where}: this user may not run INFO; use one with all permissions") from None
    except RETRYABLE as error:
        raise unreachable(url, error) from None
    except InvalidResponse:
        raise RedisUnusable(f"what answers at {where} is no Redis; correct the address") from None
    except ResponseError as error:
        reason = (
            "it is in protected mode: give it a password, and clients too" if _is_protected(error) else _reason(error)
        )
        raise RedisUnusable(f"Redis at {where} refused ({reason})") from None
    version = str(server["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        raise RedisUnusable(f"Redis at {where} is version {version}; 6.2 or newer is needed")
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if int(memory.get("maxmemory", 0)) and policy != "noeviction":
        raise RedisUnusable(
            f"Redis at {where} evicts keys when its memory is full (maxmemory-policy {policy}) and would lose "
            "identities; run: redis-cli CONFIG SET maxmemory-policy noeviction"
        )


def refusal(info: Mapping[str, Any]) -> str | None:
    """Why a server with this INFO takes no writes now; None when it does, as far as INFO tells."""
    if info.get("aof_last_write_status", "ok") != "ok":
        return _REFUSALS["MISCONF"]
    if 0 < int(info.get("maxmemory", 0)) <= int(info.get("used_memory", 0)):
        return _REFUSALS["OOM"]
    return None


def unreachable(url: str, error: RedisError) -> RedisUnusable:
    """What to say of a server that could not be used because of an `error` that may go away by itself."""
    where, reason = redact(url), _reason(error)
    if isinstance(error, WritesRefused | IsReplica):
        return RedisUnusable(f"Redis at {where} takes no writes: {reason}")
    advice = "start one, or correct the address (--redis, MTMC_REDIS_URL or redis.url)"
    if "WRONG_VERSION_NUMBER" in reason:
        advice = "it speaks no TLS: write redis:// in place of rediss://"
    elif "closed by server" in reason:
        advice = "what listens there is no Redis, wants TLS (rediss://), or refuses this host; correct the address"
    return RedisUnusable(f"no Redis answers at {where} ({reason}); {advice}")


def open_redis(url: str, password: str | None = None, *, name: str = "mtmc") -> Client:
    """`connect` and `check`."""
    client = connect(url, password, name=name)
    check(client, url)
    return client


def address(url: str) -> tuple[str, int]:
    """Host and port of a redis:// URL, for telling people."""
    parts = urlsplit(url)
    return unquote(parts.hostname or "127.0.0.1"), parts.port or 6379


def server_time_ns(client: Client) -> int:
    """Redis server time, ns since the epoch, with the microseconds it has."""
    seconds, microseconds = client.time()
    return int(seconds) * 1_000_000_000 + int(microseconds) * 1_000


def _reason(error: RedisError) -> str:
    text = redact(str(error)).splitlines()
    return text[0].rstrip(".") if text else type(error).__name__


def _is_protected(error: ResponseError) -> bool:
    return str(error).startswith("DENIED")
