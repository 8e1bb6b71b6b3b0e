"""The names that operators gave to identities, for the annotated pictures."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping

from redis.exceptions import RedisError

from shared.keys import Keys
from shared.lenient_values import whole
from shared.redis_connection import Client

_READ_EVERY_S = 1.0
_LONGEST = 256
"""In bytes. Names of the aggregator are shorter; the hash may have others."""


class Names:
    """Reads the hash `names`, at most once per second. Without Redis, the names of before stay."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._key = client, keys.names
        self._read_at = 0.0
        self._names: dict[int, str] = {}

    def current(self) -> Mapping[int, str]:
        """Gid → name, in letters that can be drawn."""
        now = time.monotonic()
        if now >= self._read_at:
            self._read_at = now + _READ_EVERY_S
            try:
                found = self._client.hgetall(self._key)
            except RedisError:
                return self._names
            pairs = ((whole(gid), drawable(name[:_LONGEST].decode(errors="replace"))) for gid, name in found.items())
            self._names = {gid: name for gid, name in pairs if gid is not None and name}
        return self._names


def drawable(name: str) -> str:
    """`name` in ASCII, which is all that OpenCV can draw: accents are left out, other letters become `?`."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    text = plain.encode("ascii", "replace").decode()
    return text if text.strip("? ") else ""
