"""Reads keys that anything may have overwritten: a key of another type counts as missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from shared.redis_connection import Client


def is_wrong_type(error: Exception) -> bool:
    """Whether Redis refused a command because a key is of another type; from a script, it says so within the text."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def text_at(client: Client, key: str) -> bytes | None:
    """A string; None if the key is missing or of another type."""
    found = _lenient(client.get, key)
    return found if isinstance(found, bytes) else None


def hash_at(client: Client, key: str) -> dict[bytes, bytes]:
    """A hash; empty if the key is missing or of another type."""
    return _lenient(client.hgetall, key) or {}


def fields_at(client: Client, key: str, fields: Sequence[str]) -> list[bytes | None]:
    """The values of some fields of a hash, in their order; None for each that is missing."""
    if not fields:
        return []
    return _lenient(client.hmget, key, list(fields)) or [None] * len(fields)


def field_names_at(client: Client, key: str) -> list[bytes]:
    """The names of the fields of a hash; none if the key is missing or of another type."""
    return _lenient(client.hkeys, key) or []


def entries_at(client: Client, key: str, first: str = "-", last: str = "+", count: int | None = None) -> list[Any]:
    """Entries of a stream, oldest first; none if the key is missing or of another type."""
    return _lenient(client.xrange, key, first, last, count) or []


def newest_entries_at(
    client: Client, key: str, last: str = "+", first: str = "-", count: int | None = None
) -> list[Any]:
    """Entries of a stream, newest first; none if the key is missing or of another type."""
    return _lenient(client.xrevrange, key, last, first, count) or []


def _lenient(read: Any, *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except ResponseError as error:
        if is_wrong_type(error):
            return None
        raise
