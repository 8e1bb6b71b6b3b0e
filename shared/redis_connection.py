"""Connects to Redis: redis-py's settings, and the translation of its errors into ours."""

from __future__ import annotations

import contextlib
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
from shared.redis_permissions import forbidden, missing_of


class WritesRefused(ResponseError):
    """Redis answers but refused a write, and wrote nothing; the text says why."""


class IsReplica(RedisConnectionError):
    """Redis became a replica. Treated as a lost connection, because the next one may reach the primary."""


RETRYABLE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, WritesRefused, NoPermissionError)
"""Errors after which the caller retries: they end on their own, or once disk space, memory or a permission is
available again."""

MIN_VERSION = (6, 2)
_SOCKET_TIMEOUT_S = 5.0
# At the start of the error, or later where Redis 6.2 quotes the error of a command in a script.
_REFUSAL = re.compile(r"(?:^|: -)(?P<code>MISCONF|OOM|NOREPLICAS|READONLY) (?P<text>.*)", re.DOTALL)
# What Redis answers when the user may run a script, but not one of its commands; the second since 7.2.
_SCRIPT_FORBIDDEN = re.compile(
    r"(?P<text>The user executing the script can't .*?|(?<=ACL failure in script: ).*?)\.?(?: script: |$)", re.DOTALL
)
_REFUSALS = {
    "MISCONF": "it cannot write to its disk; free disk space there",
    "OOM": "its memory is full; raise its maxmemory",
    "NOREPLICAS": "too few of its replicas are connected; start them",
}

Client: TypeAlias = Any
"""A `redis.Redis` that returns bytes. redis-py's type hints mix sync and async and are unusable here."""


class _Parser(DefaultParser):
    """redis-py's reply parser, with separate errors for a server that refuses writes or a command in a script."""

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        refusal = _REFUSAL.search(response)
        # A command that waited while Redis became a replica is answered by UNBLOCKED, and its connection is closed.
        if response.startswith("UNBLOCKED ") or (refusal is not None and refusal["code"] == "READONLY"):
            return IsReplica("it is a replica; use the address of the primary")
        if denied := _SCRIPT_FORBIDDEN.search(response):
            return NoPermissionError(denied["text"])
        if refusal is None:
            return super().parse_error(response)
        text = refusal["text"].split(" script: ")[0].rstrip(".")
        return WritesRefused(f"{_REFUSALS[refusal['code']]} ({refusal['code']} {text})")


class _Greeting:
    """Begins a connection as redis-py does, and tells the server our name, which only its administrator sees.

    redis-py's own `client_name` fails every connection of a user who may not run CLIENT.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, connection: Any) -> None:
        connection.on_connect()
        connection.send_command("CLIENT", "SETNAME", self._name, check_health=False)
        with contextlib.suppress(NoPermissionError):
            connection.read_response()


def connect(
    url: str, password: str | None = None, *, name: str = "mtmc", timeout_s: float = _SOCKET_TIMEOUT_S
) -> Client:
    """A client that returns bytes and does not retry; nothing is sent yet.

    redis-py's retries are off because scripts append to streams, and only their callers know how to retry without
    appending twice. `timeout_s` limits connecting and each command.

    Raises:
        RedisUnusable: `url` is not a Redis URL.
    """
    try:
        return redis.Redis.from_url(
            url,
            **({"password": password} if password else {}),
            redis_connect_func=_Greeting(name),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            parser_class=_Parser,
        )
    except ValueError as error:
        raise RedisUnusable(f"'{redact(url)}' is not a Redis URL ({error}); use redis://HOST:PORT") from None


def check(client: Client, url: str) -> None:
    """Checks that the server can be used.

    Raises:
        RedisUnusable: it is unreachable, refuses the password or a command that this check needs, is older than 6.2, or
            evicts keys; says what to do.
    """
    where = redact(url)
    try:
        with contextlib.suppress(WritesRefused):  # with a full disk, Redis refuses even PING, but it can be read
            client.ping()
        server = client.info("server")
        memory = client.info("memory")
    except AuthenticationError as error:
        refused = "requires a password" if "required" in str(error) else f"refused the password ({_reason(error)})"
        raise RedisUnusable(
            f"Redis at {where} {refused}; set MTMC_REDIS_PASSWORD or redis.password, or put it into the URL (for the "
            "Redis of `mtmc up`, give its site file instead of --site or --redis)"
        ) from None
    except NoPermissionError as error:
        raise forbidden(url, missing_of(error)) from None
    except RETRYABLE as error:
        raise unreachable(url, error) from None
    except InvalidResponse:
        raise RedisUnusable(f"the server at {where} is not Redis; correct the address") from None
    except ResponseError as error:
        reason = (
            "it is in protected mode; set a password on the server and in mtmc"
            if _is_protected(error)
            else _reason(error)
        )
        raise RedisUnusable(f"Redis at {where} refused the connection ({reason})") from None
    version = str(server["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        raise RedisUnusable(f"Redis at {where} is version {version}; upgrade it to 6.2 or newer")
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if int(memory.get("maxmemory", 0)) and policy != "noeviction":
        raise RedisUnusable(
            f"Redis at {where} evicts keys when its memory is full (maxmemory-policy {policy}) and would lose "
            "identities; run: redis-cli CONFIG SET maxmemory-policy noeviction"
        )


def refusal(info: Mapping[str, Any]) -> str | None:
    """Why a server with this INFO reply refuses writes now; None if INFO shows no reason."""
    if info.get("aof_last_write_status", "ok") != "ok":
        return _REFUSALS["MISCONF"]
    # Buffers of replicas and of the AOF do not count.
    used = int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))
    if 0 < int(info.get("maxmemory", 0)) <= used:
        return _REFUSALS["OOM"]
    return None


def unreachable(url: str, error: RedisError) -> RedisUnusable:
    """The error for a server that could not be used because of a retryable `error`."""
    if isinstance(error, NoPermissionError):
        return forbidden(url, missing_of(error))
    where, reason = redact(url), _reason(error)
    if isinstance(error, WritesRefused | IsReplica):
        return RedisUnusable(f"Redis at {where} refuses writes: {reason}", transient=True)
    advice = "start it, or correct the address (--redis, MTMC_REDIS_URL or redis.url)"
    if "WRONG_VERSION_NUMBER" in reason:
        advice = "the server does not use TLS: use redis:// instead of rediss://"
    elif "closed by server" in reason:
        advice = "the server is not Redis, requires TLS (use rediss://), or refuses this host; correct the address"
    return RedisUnusable(f"Redis does not answer at {where} ({reason}); {advice}", transient=True)


def open_redis(url: str, password: str | None = None, *, name: str = "mtmc") -> Client:
    """`connect`, then `check`."""
    client = connect(url, password, name=name)
    check(client, url)
    return client


def address(url: str) -> tuple[str, int]:
    """Host and port of a redis:// URL, to show to people."""
    parts = urlsplit(url)
    return unquote(parts.hostname or "127.0.0.1"), parts.port or 6379


def server_time_ns(client: Client) -> int:
    """Redis server time, ns since the epoch, with a resolution of 1 µs."""
    seconds, microseconds = client.time()
    return int(seconds) * 1_000_000_000 + int(microseconds) * 1_000


def _reason(error: RedisError) -> str:
    text = redact(str(error)).splitlines()
    return text[0].rstrip(".") if text else type(error).__name__


def _is_protected(error: ResponseError) -> bool:
    return str(error).startswith("DENIED")
