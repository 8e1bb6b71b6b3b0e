"""Reads from Redis which identities a site has. Nothing in it is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.keys import Keys
from shared.lenient_values import decimal, text_fields, whole
from shared.redis_connection import Client
from shared.site_state.explanation import Fields, class_name_of

_READ_AT_ONCE = 500


@dataclass(frozen=True)
class Place:
    """Where an identity was last seen on the ground, metres; `speed` in m/s, None: unknown."""

    x: float
    y: float
    uncertainty: float | None
    speed: float | None


@dataclass(frozen=True)
class IdentityRecord:
    """The hash `identity:{gid}`; None means unknown."""

    gid: int
    name: str | None
    """As an operator called it; None: it has no name."""
    class_id: int | None
    first_seen_ns: int | None
    last_seen_ns: int | None
    cameras: tuple[str, ...]
    """That have seen it, as far as its tracks are remembered."""
    tracks: int | None
    """Number of its tracks that are remembered."""
    present: bool
    """Whether it is in view of a camera."""
    place: Place | None


@dataclass(frozen=True)
class ListedIdentity:
    """One identity, with the name of its class."""

    record: IdentityRecord
    class_name: str | None
    """None: none of its cameras says it."""


def identity_record(gid: int, fields: Fields) -> IdentityRecord | None:
    """The record in the fields of a hash; None if there are none."""
    if not fields:
        return None
    return IdentityRecord(
        gid,
        fields.get("name") or None,
        whole(fields.get("class")),
        whole(fields.get("first_seen_ns")),
        whole(fields.get("last_seen_ns")),
        tuple(fields.get("cameras", "").split()),
        whole(fields.get("tracks")),
        fields.get("present") == "1",
        _place(fields),
    )


def _place(fields: Fields) -> Place | None:
    x, y = decimal(fields.get("x")), decimal(fields.get("y"))
    if x is None or y is None:
        return None
    return Place(x, y, decimal(fields.get("uncertainty")), decimal(fields.get("speed")))


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
    names: dict[tuple[int | None, tuple[str, ...]], str | None] = {}
    listed = []
    for at in range(0, len(gids), _READ_AT_ONCE):
        some = gids[at : at + _READ_AT_ONCE]
        with client.pipeline(transaction=False) as pipe:
            for gid in some:
                pipe.hgetall(keys.identity(gid))
            answers = pipe.execute(raise_on_error=False)
        for gid, answer in zip(some, answers, strict=True):
            fields = text_fields(answer)
            record = identity_record(gid, fields)
            if record is None:
                continue
            kind = record.class_id, record.cameras
            if kind not in names:
                names[kind] = class_name_of(client, keys, fields)
            listed.append(ListedIdentity(record, names[kind]))
    return listed


def _escaped(text: str) -> str:
    """`text` for a pattern of SCAN that matches exactly it."""
    return "".join(f"\\{one}" if one in "*?[]\\^" else one for one in text)
