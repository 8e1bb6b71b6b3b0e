"""Lists the identities of a site, newest first, without reading the records of all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice

from shared.keys import Keys
from shared.lenient_reads import is_wrong_type, newest_entries_at
from shared.lenient_values import text_fields, whole
from shared.redis_connection import Client
from shared.site_state.identities import IdentityRecord, identity_record, list_gids

_SCANNED_AGAIN_S = 60.0
"""How often to look which identities are gone. Until then each costs its readers a look-up, nothing more."""
_SOONEST_AGAIN_S = 1.0
_MOST_NEW = 10_000
"""With more new gids than this since the last scan, scan again."""
_RECORDS_AT_ONCE = 200


class IdentityList:
    """Knows which gids have a record. Keep one for each process; safe to use from any thread.

    The names of the keys are scanned now and then. Gids count up and are never reused, so identities that are newer
    than the scan are found from the next gid in `cycles`.
    """

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._lock = threading.Lock()
        self._scanned_at = -1e9
        self._scanned: list[int] = []
        """Newest first."""
        self._next = 0
        """The next gid when the scan began; later identities have this one or a higher one."""

    def gids(self, below: int | None = None) -> Iterator[int]:
        """The gids below `below` (None: all), highest first; some may have no record any more.

        Raises:
            RedisError: Redis is unreachable.
        """
        with self._lock:
            next_gid = self._next_gid()
            age_s = time.monotonic() - self._scanned_at
            is_outdated = not self._next <= next_gid <= self._next + _MOST_NEW
            if age_s > _SCANNED_AGAIN_S or (is_outdated and age_s > _SOONEST_AGAIN_S):
                self._scanned, self._next = list_gids(self._client, self._keys)[::-1], next_gid
                self._scanned_at = time.monotonic()
            scanned, first_new = self._scanned, self._next
            if scanned:
                first_new = max(first_new, scanned[0] + 1)
        newer = range(min(next_gid, first_new + _MOST_NEW) - 1, first_new - 1, -1)
        return (gid for part in (newer, scanned) for gid in part if below is None or gid < below)

    def page(
        self, below: int | None, wanted: Callable[[IdentityRecord], bool], limit: int, examine: int
    ) -> tuple[list[IdentityRecord], int | None]:
        """At most `limit` wanted identities with a gid below `below` (None: from the newest on), newest first.

        Returns:
            The identities, and `below` for the rest; None if nothing is left. Reads about `examine` records at most,
            so there may be fewer identities than `limit` although more follow.

        Raises:
            RedisError: Redis is unreachable.
        """
        return self.page_of(self.gids(below), wanted, limit, examine)

    def page_of(
        self, gids: Iterator[int], wanted: Callable[[IdentityRecord], bool], limit: int, examine: int
    ) -> tuple[list[IdentityRecord], int | None]:
        """As `page`, of certain gids, in their order."""
        found: list[IdentityRecord] = []
        examined = 0
        some = list(islice(gids, min(_RECORDS_AT_ONCE, limit + 1)))
        while some:
            with self._client.pipeline(transaction=False) as pipe:
                for gid in some:
                    pipe.hgetall(self._keys.identity(gid))
                answers = pipe.execute(raise_on_error=False)
            for place, (gid, answer) in enumerate(zip(some, answers, strict=True), start=1):
                if isinstance(answer, Exception) and not is_wrong_type(answer):
                    raise answer
                record = identity_record(gid, text_fields(answer))
                if record is not None and wanted(record):
                    found.append(record)
                    if len(found) == limit:
                        is_last = place == len(some) and next(gids, None) is None
                        return found, None if is_last else gid
            examined += len(some)
            last, some = some[-1], list(islice(gids, _RECORDS_AT_ONCE))
            if examined >= examine and some:
                return found, last
        return found, None

    def _next_gid(self) -> int:
        newest = newest_entries_at(self._client, self._keys.cycles, count=1)
        return max(0, whole(newest[0][1].get(b"next_gid")) or 0) if newest else 0
