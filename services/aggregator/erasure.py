"""Deletes the crops of forgotten identities, which may be in the second Redis, where no cycle can commit anything."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from redis.exceptions import RedisError

from services.aggregator.publication import Command, touched_keys
from shared.crops import delete_crops
from shared.errors import MessageError
from shared.keys import Keys
from shared.leases import Lease
from shared.lenient_reads import hash_at
from shared.operator_commands import TrackName, parsed_track
from shared.redis_connection import Client

_log = structlog.get_logger()
_AGAIN_AFTER_S = 5.0
_FIELDS_AT_ONCE = 1000
"""Of one command: a script cannot pass on more than a few thousand."""


class Erasure:
    """Works off the hash `erased`, which the cycle that forgets an identity has written.

    A thread does it, because the second Redis may hang, and cycles must not wait for it. The tracks are remembered
    until then, because Redis may come back empty.
    """

    def __init__(self, client: Client, pictures: Client, keys: Keys) -> None:
        """`pictures` is the Redis for pictures."""
        self._client, self._pictures, self._keys = client, pictures, keys
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="erasure")
        self._running: Future[None] | None = None
        self._fields: Sequence[bytes] = ()
        """Those of `erased` that are being worked off."""
        self._not_before = 0.0
        self._remembered: set[bytes] = set()
        """Fields of `erased` that Redis may have lost."""

    def remember(self, tracks: Iterable[TrackName]) -> None:
        """Takes note that a cycle forgets the identity of these tracks."""
        self._remembered.update(f"{camera}/{track_id}".encode() for camera, track_id in tracks)

    def work_off(self, lease: Lease) -> None:
        """Starts to delete the crops of the tracks in `erased`, or takes note that they are deleted; call it often.

        Raises:
            LeaseLost: another aggregator owns the site.
            RedisError: the site's Redis is unreachable.
        """
        if self._running is None:
            self._fields = sorted(self._remembered.union(hash_at(self._client, self._keys.erased)))
            if self._fields and time.monotonic() >= self._not_before:
                self._running = self._executor.submit(self._delete, self._fields)
        elif self._running.done():
            running, self._running = self._running, None
            try:
                running.result()
            except RedisError as error:
                self._not_before = time.monotonic() + _AGAIN_AFTER_S
                _log.warning("cannot delete the crops of a forgotten identity yet", reason=str(error))
                self._commit(lease, "HSET", [(field, 1) for field in self._fields])
                return
            self._commit(lease, "HDEL", [(field,) for field in self._fields])
            self._remembered.difference_update(self._fields)

    def _commit(self, lease: Lease, name: str, arguments: Sequence[Sequence[bytes | int]]) -> None:
        for start in range(0, len(arguments), _FIELDS_AT_ONCE):
            part = arguments[start : start + _FIELDS_AT_ONCE]
            commands: list[Command] = [[name, self._keys.erased, *itertools.chain(*part)]]
            lease.commit(commands, touched_keys(commands))

    def close(self) -> None:
        """Ends the thread; the next owner continues."""
        self._executor.shutdown(wait=False)

    def _delete(self, fields: Sequence[bytes]) -> None:
        tracks: list[TrackName] = []
        for one in fields:
            with contextlib.suppress(MessageError):
                tracks.append(parsed_track(one.decode(errors="replace")))
        delete_crops(self._pictures, self._keys, tracks)
