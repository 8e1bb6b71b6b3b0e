"""Reads keys that anything may have overwritten: a key of another type counts as missing."""

from __future__ import annotations

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


def _lenient(read: Any, key: str) -> Any:
    try:
        return read(key)
    except ResponseError as error:
        if is_wrong_type(error):
            return None
        raise
