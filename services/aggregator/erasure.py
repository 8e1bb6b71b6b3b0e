"""Deletes the crops of forgotten identities, which may be in the second Redis, where no cycle can commit anything."""

from __future__ import annotations

import contextlib

import structlog
from redis.exceptions import RedisError, ResponseError

from services.aggregator.publication import touched_keys
from shared.crops import delete_crops
from shared.errors import MessageError
from shared.keys import Keys
from shared.leases import Lease
from shared.operator_commands import parsed_track
from shared.redis_connection import Client

_log = structlog.get_logger()


class Erasure:
    """Works off the hash `erased`, which the cycle that forgets an identity has written."""

    def __init__(self, client: Client, pictures: Client, keys: Keys) -> None:
        """`pictures` is the Redis for pictures."""
        self._client, self._pictures, self._keys = client, pictures, keys

    def work_off(self, lease: Lease) -> None:
        """Deletes the crops of all tracks in `erased`; a failure is tried again at the next call.

        Raises:
            LeaseLost: another aggregator owns the site.
            RedisError: the site's Redis is unreachable.
        """
        try:
            fields = self._client.hkeys(self._keys.erased)
        except ResponseError:  # Another program has overwritten it: it is deleted when the keys are looked after.
            return
        if not fields:
            return
        tracks = []
        for one in fields:
            with contextlib.suppress(MessageError):
                tracks.append(parsed_track(one.decode(errors="replace")))
        try:
            delete_crops(self._pictures, self._keys, tracks)
        except RedisError as error:
            _log.warning("cannot delete the crops of a forgotten identity yet", reason=str(error))
            return
        commands = [["HDEL", self._keys.erased, *fields]]
        lease.commit(commands, touched_keys(commands))
