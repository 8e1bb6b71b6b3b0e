"""Reads from Redis which identities a site has. Nothing in it is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.keys import Keys
from shared.lenient_values import text_fields, whole
from shared.redis_connection import Client
from shared.site_state.explanation import class_name_of

_READ_AT_ONCE = 500


@dataclass(frozen=True)
class ListedIdentity:
    """One identity; None means unknown."""

    gid: int
    name: str | None
    """As an operator called it; None: it has no name."""
    class_name: str | None
    present: bool
    """Whether it is in view."""
    cameras: list[str]
    """That have seen it, as far as its tracks are remembered."""
    tracks: int | None
    """Number of its tracks that are remembered."""
    first_seen_ns: int | None
    last_seen_ns: int | None


def list_gids(client: Client, keys: Keys) -> list[int]:
    """The gids of all identities, in ascending order.

    Raises:
        RedisError: Redis is unreachable.
    """
    prefix = keys.identity(0).removesuffix("0")
    found = client.scan_iter(f"{_escaped(prefix)}*", count=_READ_AT_ONCE)
    gids = (whole(key.decode(errors="replace").removeprefix(prefix)) for key in found)
    return sorted({gid for gid in gids if gid is not None and gid > 0})


def read_identities(client: Client, keys: Keys, gids: Sequence[int]) -> list[ListedIdentity]:
    """The identities with these gids, in this order; those that do not exist are left out.

    Raises:
        RedisError: Redis is unreachable.
    """
    names: dict[tuple[str, str], str | None] = {}
    listed = []
    for at in range(0, len(gids), _READ_AT_ONCE):
        some = gids[at : at + _READ_AT_ONCE]
        with client.pipeline(transaction=False) as pipe:
            for gid in some:
                pipe.hgetall(keys.identity(gid))
            answers = pipe.execute(raise_on_error=False)
        for gid, answer in zip(some, answers, strict=True):
            record = text_fields(answer)
            if not record:
                continue
            kind = record.get("class", ""), record.get("cameras", "")
            if kind not in names:
                names[kind] = class_name_of(client, keys, record)
            numbers = (whole(record.get(name)) for name in ("tracks", "first_seen_ns", "last_seen_ns"))
            present, cameras = record.get("present") == "1", record.get("cameras", "").split()
            listed.append(ListedIdentity(gid, record.get("name") or None, names[kind], present, cameras, *numbers))
    return listed


def _escaped(text: str) -> str:
    """`text` for a pattern of SCAN that matches exactly it."""
    return "".join(f"\\{one}" if one in "*?[]\\^" else one for one in text)
