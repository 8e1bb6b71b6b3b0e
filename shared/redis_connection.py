"""Connecting to Redis: one place that knows the driver's settings and turns its errors into ours."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from shared.errors import RedisUnusable, redact

RETRYABLE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError)
"""What goes away by itself: the caller reconnects and tries again."""

MIN_VERSION = (6, 2)
_SOCKET_TIMEOUT_S = 5.0

Client: TypeAlias = Any
"""A `redis.Redis` that answers bytes; the driver's own types speak of all its dialects at once and help nobody."""


def connect(url: str, password: str | None = None, *, name: str = "mtmc") -> Client:
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
            socket_timeout=_SOCKET_TIMEOUT_S,
            socket_connect_timeout=_SOCKET_TIMEOUT_S,
            socket_keepalive=True,
            health_check_interval=15,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
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
    except AuthenticationError:
        raise RedisUnusable(
            f"Redis at {where} refused the password; set redis.password or put it into the URL"
        ) from None
    except NoPermissionError:
        raise RedisUnusable(f"Redis at {where}: this user may not run INFO; use one with all permissions") from None
    except ResponseError as error:
        raise RedisUnusable(f"Redis at {where} refused: {error}; is a password needed?") from None
    except RETRYABLE as error:
        raise RedisUnusable(
            f"no Redis answers at {where} ({_reason(error)}); start one, or correct redis.url"
        ) from None
    version = str(server["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        raise RedisUnusable(f"Redis at {where} is version {version}; 6.2 or newer is needed")
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if int(memory.get("maxmemory", 0)) and policy != "noeviction":
        raise RedisUnusable(
            f"Redis at {where} evicts keys when its memory is full (maxmemory-policy {policy}) and would lose "
            "identities; run: redis-cli CONFIG SET maxmemory-policy noeviction"
        )


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
