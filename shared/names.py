"""Reads the names that an operator gave to identities: the hash `names`, gid → name."""

from __future__ import annotations

from collections.abc import Sequence

from shared.keys import Keys
from shared.lenient_reads import fields_at, hash_at
from shared.lenient_values import whole
from shared.operator_commands import NAME_LENGTH
from shared.redis_connection import Client


def read_names(client: Client, keys: Keys, gids: Sequence[int] | None = None) -> dict[int, str]:
    """Gid → name, of `gids` or of all identities that have one; what cannot be read is left out.

    Raises:
        RedisError: Redis is unreachable.
    """
    if gids is not None:
        found = fields_at(client, keys.names, [str(gid) for gid in gids])
        return {gid: _text(name) for gid, name in zip(gids, found, strict=True) if name}
    every = {whole(field): name for field, name in hash_at(client, keys.names).items()}
    return {gid: _text(name) for gid, name in every.items() if gid is not None and name}


def _text(name: bytes) -> str:
    return name[: 4 * NAME_LENGTH].decode(errors="replace")[:NAME_LENGTH]
