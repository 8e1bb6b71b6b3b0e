"""Reads keys that anything may have overwritten: a key of another type counts as missing."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

from shared.redis_connection import RETRYABLE, Client


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
    except RETRYABLE:
        raise
    except ResponseError as error:
        if str(error).startswith("WRONGTYPE"):
            return None
        raise
