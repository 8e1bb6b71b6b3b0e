"""`mtmc inspect keys`: lists the keys of a site in Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from launcher.site_access import SiteChoice, SiteRedis, open_redis_of
from launcher.site_keys import FoundKey, find_keys, key_kinds
from shared.errors import redact
from shared.keys import Keys
from shared.terminal_tables import print_table

_UNKNOWN = "unknown: this version of mtmc does not write it"


def inspect_keys(
    choice: SiteChoice, environment: Mapping[str, str], console: Console, *, every: bool, as_json: bool
) -> None:
    """Lists every key of the site, in its Redis and in the one for pictures.

    Raises:
        MtmcError: Redis is not usable.
    """
    with open_redis_of(choice, environment) as redis:
        found = list(find_keys(redis.client, redis.keys, "main"))
        frames_url, problem = redis.address.frames_url, None
        if frames_url:
            try:
                found += _keys_of_pictures(redis)
            except RedisError as error:
                problem = f"the Redis for pictures at {redact(frames_url)} does not answer ({redact(str(error))})"
    total_bytes = sum(key.bytes or 0 for key in found)
    if as_json:
        content = {
            "site": redis.keys.site,
            "redis": redis.shown_url,
            "frames_redis": redact(frames_url) if frames_url else None,
            "keys": [asdict(key) for key in found],
            "bytes": total_bytes,
        }
        console.out(json.dumps(content), highlight=False)
    elif found:
        print_table(console, _table(found, Keys(redis.keys.site), every=every))
        console.print(_summary(found, total_bytes), markup=False, soft_wrap=True)
    else:
        console.print(f"site {redis.keys.site} has no keys in Redis at {redis.shown_url}", markup=False, soft_wrap=True)
    if problem:
        Console(stderr=True, highlight=False).print(f"mtmc: {problem}", markup=False, soft_wrap=True)


def _keys_of_pictures(redis: SiteRedis) -> list[FoundKey]:
    with redis.address.pictures(redis.client) as frames:
        return list(find_keys(frames, redis.keys, "frames"))


def _table(found: Sequence[FoundKey], keys: Keys, *, every: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("key", overflow="fold")
    table.add_column("type")
    for heading in ("entries", "memory", "expires"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("purpose", overflow="fold")
    prefix = keys.config.removesuffix("config")
    for _, group in groupby(found, key=lambda key: (key.redis, key.what) if key.what and not every else key):
        members = list(group)
        table.add_row(*_row(members, prefix), style="bold red" if members[0].what is None else "")
    return table


def _row(members: Sequence[FoundKey], prefix: str) -> tuple[Text, ...]:
    first = members[0]
    name, what = first.key.removeprefix(prefix), first.what or _UNKNOWN
    if len(members) > 1:
        kind = next(kind for kind in key_kinds() if kind.what == first.what)
        name = f"{kind.name}  ({len(members)})"
    if first.redis == "frames":
        what = f"[pictures] {what}"
    entries, sizes = [key.entries for key in members], [key.bytes or 0 for key in members]
    count = "" if None in entries else str(sum(count or 0 for count in entries))
    texts = (name, first.type, count, _size(sum(sizes)), _expiry(members), what)
    return tuple(map(Text, texts))


def _expiry(members: Sequence[FoundKey]) -> str:
    """The range of remaining times until the keys expire."""
    expiries = [key.expires_in_seconds for key in members]
    known = sorted(seconds for seconds in expiries if seconds is not None)
    if not known:
        return ""
    shown = list(dict.fromkeys([_duration(known[0]), _duration(known[-1])]))
    return "–".join(shown) + ("" if len(known) == len(expiries) else " or never")


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _summary(found: Sequence[FoundKey], total_bytes: int) -> str:
    pictures = sum(key.bytes or 0 for key in found if key.redis == "frames")
    apart = f", {_size(pictures)} of them in the Redis for pictures" if pictures else ""
    return f"{len(found)} keys, {_size(total_bytes)} of memory{apart}"


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
