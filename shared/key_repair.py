"""Deletes keys that another program has replaced by one of another type, so that their owners can write them again.

The clock does this every second, and every service when Redis refuses one of its commands for that reason. What the
aggregator publishes is not among these keys: it repairs that itself, because it alone knows the content.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog
from redis.exceptions import ResponseError

from shared.camera_settings import camera_names
from shared.keys import Keys
from shared.lenient_reads import hash_at
from shared.lenient_values import LONGEST_NAME
from shared.redis_connection import Client

_log = structlog.get_logger()
_EVERY_S = 1.0
_DEAD_LETTERS_KEPT = 1000
_MOST = 1000
"""Newest processes. Thousands are of another program and soon removed; looking at each would hold up the ticks."""
_FUTURE_S = 366 * 24 * 3600
"""Ids are Redis time. An entry further in the future is damage, and no trace of a clock that was set."""


class KeyRepair:
    """The keys of one site that services share."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._look_at = 0.0

    def look_if_due(self) -> None:
        """`look`, once per second at most."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _EVERY_S
            self.look()

    def look(self) -> list[str]:
        """Deletes the keys that cannot be used, logs each and writes a dead letter; returns their names.

        Those are keys of a wrong type, and streams with an id so far in the future that nothing can follow it.

        Raises:
            RedisError: Redis is unreachable.
        """
        wanted = self._wanted()
        with self._client.pipeline(transaction=False) as pipe:
            for key in wanted:
                pipe.type(key)
            types = [found.decode() for found in pipe.execute()]
        wrong = {
            key: f"another program replaced it by a {found}; it is a {wanted[key]}. It was deleted"
            for key, found in zip(wanted, types, strict=True)
            if found not in ("none", wanted[key])
        }
        wrong |= self._exhausted([key for key in wanted if wanted[key] == "stream" and key not in wrong])
        for key, reason in wrong.items():
            _log.error("another program has damaged a key", key=key, reason=reason)
            with self._client.pipeline(transaction=True) as pipe:
                pipe.delete(key)
                if key != self._keys.dead_letters:
                    letter = {"stream": key, "entry": "", "reason": reason}
                    pipe.xadd(self._keys.dead_letters, letter, maxlen=_DEAD_LETTERS_KEPT)
                pipe.execute(raise_on_error=False)
        return list(wrong)

    def _exhausted(self, streams: list[str]) -> dict[str, str]:
        """The streams with an entry in the far future, and why they are deleted."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            for key in streams:
                pipe.xrevrange(key, count=1)
            (now_s, _), *newest = pipe.execute()
        latest_ms = (now_s + _FUTURE_S) * 1000
        return {
            key: f"another program appended the id {entries[0][0].decode()}, which nothing can follow. It was deleted"
            for key, entries in zip(streams, newest, strict=True)
            if entries and int(entries[0][0].partition(b"-")[0]) > latest_ms
        }

    def _wanted(self) -> Mapping[str, str]:
        """Key → its type."""
        keys, cameras = self._keys, camera_names(hash_at(self._client, self._keys.cameras))
        roles = ("clock", "aggregator", *(f"camera:{camera}" for camera in cameras))
        strings = [keys.tick, keys.files_origin, *map(keys.lease, roles)]
        hashes = [keys.skew, keys.epochs, keys.tokens, keys.sessions, *map(keys.camera, cameras)]
        hashes += [keys.worker(name) for name in self._members(keys.workers)]
        hashes += [keys.service(name) for name in self._members(keys.services)]
        sets = [keys.seen, keys.marked_at, keys.workers, keys.services, keys.viewers]
        streams = [keys.ticks, keys.dead_letters, *map(keys.tracks, cameras), *map(keys.frames, cameras)]
        return {
            **dict.fromkeys(strings, "string"),
            **dict.fromkeys(hashes, "hash"),
            **dict.fromkeys(sets, "zset"),
            **dict.fromkeys(streams, "stream"),
        }

    def _members(self, key: str) -> list[str]:
        try:
            names = self._client.zrange(key, 0, _MOST - 1, desc=True)
        except ResponseError:
            return []
        return [name.decode() for name in names if name.isascii() and len(name) <= LONGEST_NAME]
