"""Which Redis commands a service needs, and which of them its ACL user may not run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.exceptions import NoPermissionError, ResponseError

from shared.errors import RedisUnusable, redact

_KEY = "mtmc:{}:permissions"
"""Never written: the commands below are queued in a transaction that is discarded."""
NEEDED: tuple[tuple[str, ...], ...] = (
    ("PING",),
    ("INFO", "server"),
    ("TIME",),
    # scripts, and the commands in them, which run with the permissions of the caller
    ("EVAL", "return 0", "1", _KEY),
    ("EVALSHA", "0" * 40, "1", _KEY),
    ("SCRIPT", "LOAD", "return 0"),
    ("WATCH", _KEY),
    ("UNWATCH",),
    # keys
    ("EXISTS", _KEY),
    ("SCAN", "0", "COUNT", "1"),
    ("TYPE", _KEY),
    ("DEL", _KEY),
    ("UNLINK", _KEY),
    ("EXPIRE", _KEY, "1"),
    ("PEXPIRE", _KEY, "1"),
    ("PERSIST", _KEY),
    ("PTTL", _KEY),
    # strings
    ("GET", _KEY),
    ("MGET", _KEY),
    ("SET", _KEY, "0"),
    ("GETRANGE", _KEY, "0", "1"),
    ("SETRANGE", _KEY, "0", "0"),
    ("STRLEN", _KEY),
    # hashes
    ("HGET", _KEY, "field"),
    ("HMGET", _KEY, "field"),
    ("HGETALL", _KEY),
    ("HKEYS", _KEY),
    ("HVALS", _KEY),
    ("HEXISTS", _KEY, "field"),
    ("HLEN", _KEY),
    ("HSET", _KEY, "field", "0"),
    ("HSETNX", _KEY, "field", "0"),
    ("HDEL", _KEY, "field"),
    ("HINCRBY", _KEY, "field", "1"),
    # sorted sets
    ("ZADD", _KEY, "0", "member"),
    ("ZREM", _KEY, "member"),
    ("ZSCORE", _KEY, "member"),
    ("ZRANGE", _KEY, "0", "1"),
    ("ZREVRANGE", _KEY, "0", "1"),
    ("ZRANGEBYSCORE", _KEY, "0", "1"),
    ("ZREMRANGEBYSCORE", _KEY, "0", "1"),
    # streams
    ("XADD", _KEY, "*", "field", "0"),
    ("XLEN", _KEY),
    ("XRANGE", _KEY, "-", "+"),
    ("XREVRANGE", _KEY, "+", "-"),
    ("XREAD", "STREAMS", _KEY, "0"),
    ("XDEL", _KEY, "1-1"),
    ("XTRIM", _KEY, "MAXLEN", "1"),
    ("XINFO", "STREAM", _KEY),
)
"""Every command of a service, with arguments that Redis accepts. A connection may also run CLIENT SETNAME and CLIENT
SETINFO, and with replicas WAIT; services work without these."""
_WITH_SUBCOMMAND = ("SCRIPT", "XINFO")
"""Redis 7 can allow each of their subcommands separately."""
_PATTERN = "mtmc:*"
_COMMAND = re.compile(r"to run the '(?P<name>[^']+)' command")


@dataclass(frozen=True)
class Missing:
    """What a user lacks; both may be empty."""

    commands: tuple[str, ...] = ()
    """As Redis spells them in lower case, e.g. `script|load`."""
    keys: bool = False
    """Whether it may not use the keys of mtmc."""

    def __bool__(self) -> bool:
        return bool(self.commands) or self.keys


def missing_permissions(client: Any) -> Missing:
    """What the user of `client` lacks to run a service; changes nothing in Redis.

    Redis checks the permissions of a command when it queues it in a transaction. All commands are queued, and then the
    transaction is discarded.

    Raises:
        RedisError: Redis is unreachable.
    """
    began, *queued, ended = _answers(client, (("MULTI",), *NEEDED, ("DISCARD",)))
    refused = [name for name, answer in (("multi", began), ("discard", ended)) if _forbids_command(answer)]
    if refused:  # without a transaction, the commands would be run
        return Missing((*refused, "exec"))
    commands, keys = [], False
    for command, answer in zip(NEEDED, queued, strict=True):
        if _forbids_command(answer):
            commands.append(command_name(command))
        elif isinstance(answer, NoPermissionError):
            keys = True
    return Missing(tuple(commands), keys)


def _answers(client: Any, commands: Sequence[Sequence[str]]) -> list[object]:
    """The reply to each command as it is; redis-py's pipelines have their own idea of MULTI and WATCH."""
    connection = client.connection_pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        answers: list[object] = []
        for _ in commands:
            try:
                answers.append(connection.read_response())
            except ResponseError as refused:
                answers.append(refused)
        return answers
    except BaseException:
        connection.disconnect()  # the replies that were not read belong to nobody
        raise
    finally:
        client.connection_pool.release(connection)


def require_permissions(client: Any, url: str) -> None:
    """Checks that the user of `client` may do what a service does.

    Raises:
        RedisUnusable: it may not; says what to grant.
        RedisError: Redis is unreachable.
    """
    if missing := missing_permissions(client):
        raise forbidden(url, missing)


def forbidden(url: str, missing: Missing) -> RedisUnusable:
    """The error for a user who lacks permissions."""
    may_not, grants = [], []
    if missing.commands:
        may_not.append(f"run {_listed([name.replace('|', ' ').upper() for name in missing.commands])}")
        grants += [f"+{name}" for name in missing.commands]
    if missing.keys:
        may_not.append(f"use the keys {_PATTERN}")
        grants.append(f"~{_PATTERN}")
    user = unquote(urlsplit(url).username or "") or "default"
    may_not = may_not or ["run a command in a script"]
    grants = grants or ["with the permissions in docs/operations.md"]
    return RedisUnusable(
        f"Redis at {redact(url)}: the user {user} may not {' or '.join(may_not)}; grant it: redis-cli ACL SETUSER "
        f"{user} {' '.join(grants)}"
    )


def missing_of(error: NoPermissionError) -> Missing:
    """What a user lacked whose command Redis refused; empty if Redis does not say it, as for a script."""
    text = str(error)
    named = _COMMAND.search(text)
    return Missing((named["name"],)) if named else Missing(keys="access one of the keys" in text)


def _forbids_command(answer: object) -> bool:
    return isinstance(answer, NoPermissionError) and bool(missing_of(answer).commands)


def command_name(command: Sequence[str]) -> str:
    """The name by which ACL rules know a command, e.g. `script|load`."""
    return "|".join(command[: 2 if command[0] in _WITH_SUBCOMMAND else 1]).lower()


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
