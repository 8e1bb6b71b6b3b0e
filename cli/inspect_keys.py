"""`mtmc inspect keys`: what a site has in Redis. What each key is, says `shared.keys`."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from launcher.site_access import SiteChoice, SiteRedis, open_redis_of
from shared.errors import redact
from shared.keys import Keys
from shared.redis_connection import Client, connect

_LENGTH = {"hash": "HLEN", "zset": "ZCARD", "stream": "XLEN", "set": "SCARD", "list": "LLEN"}
_TYPE = re.compile(r"(?:String|Hash|Stream|Sorted set)\b[, ]*")
_AT_ONCE = 500
_UNKNOWN = "unknown: nothing of this version of mtmc writes it"


@dataclass(frozen=True)
class KeyKind:
    """One name in `Keys`."""

    name: str
    """Without the site; `*` stands for whatever differs."""
    what: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the names of this kind."""
        return re.compile(re.escape(self.name).replace(r"\*", ".+"))


@dataclass(frozen=True)
class FoundKey:
    """One key that is there; None is what is not known or does not apply."""

    key: str
    redis: str
    """`main` or `frames`."""
    type: str
    entries: int | None
    bytes: int | None
    expires_in_seconds: float | None
    what: str | None


def key_kinds() -> list[KeyKind]:
    """Every name in `Keys`, in its order."""
    keys = Keys("")
    prefix = keys.config.removesuffix("config")
    kinds = []
    for name, member in vars(Keys).items():
        if name.startswith("_") or not (isinstance(member, property) or inspect.isfunction(member)):
            continue
        if isinstance(member, property):
            full = getattr(keys, name)
        else:
            full = member(keys, *("*" for _ in list(inspect.signature(member).parameters)[1:]))
        if full != keys.everything:  # a pattern, not a key
            kinds.append(KeyKind(full.removeprefix(prefix), _description(inspect.getdoc(member) or "")))
    return kinds


def _description(docstring: str) -> str:
    """What stands in `Keys` of a key, without its type."""
    text = " ".join(docstring.split()).rstrip(".")
    kind = _TYPE.match(text)
    if kind is None:
        return text
    before, colon, after = text.partition(": ")
    return after if colon else before[kind.end() :]


def inspect_keys(
    choice: SiteChoice, environment: Mapping[str, str], console: Console, *, every: bool, as_json: bool
) -> None:
    """Shows every key of the site, in its Redis and in the one for pictures.

    Raises:
        MtmcError: Redis is not fit for use.
    """
    with open_redis_of(choice, environment) as redis:
        found = list(find_keys(redis.client, redis.keys, "main"))
        frames_url, trouble = redis.address.frames_url, None
        if frames_url:
            try:
                found += _keys_of_the_pictures(frames_url, redis)
            except RedisError as error:
                trouble = f"the Redis for pictures at {redact(frames_url)} does not answer ({redact(str(error))})"
    total = sum(key.bytes or 0 for key in found)
    if as_json:
        content = {
            "site": redis.keys.site,
            "redis": redis.shown_url,
            "frames_redis": redact(frames_url) if frames_url else None,
            "keys": [asdict(key) for key in found],
            "bytes": total,
        }
        console.out(json.dumps(content), highlight=False)
    elif found:
        console.print(_table(found, Keys(redis.keys.site), every=every))
        console.print(_sum(found, total), markup=False, soft_wrap=True)
    else:
        console.print(f"site {redis.keys.site} has no key in Redis at {redis.shown_url}", markup=False, soft_wrap=True)
    if trouble:
        Console(stderr=True, highlight=False).print(f"mtmc: {trouble}", markup=False, soft_wrap=True)


def _keys_of_the_pictures(url: str, redis: SiteRedis) -> list[FoundKey]:
    with contextlib.closing(connect(url, redis.address.password)) as client:
        return list(find_keys(client, redis.keys, "frames"))


def find_keys(client: Client, keys: Keys, redis: str) -> Iterator[FoundKey]:
    """The keys of a site, in order of kind and name.

    Raises:
        RedisError: Redis is away, or refuses.
    """
    prefix = keys.config.removesuffix("config")
    kinds = key_kinds()
    names = sorted({name.decode(errors="replace") for name in client.scan_iter(f"{prefix}*", count=_AT_ONCE)})
    placed = sorted((_place(name.removeprefix(prefix), kinds), name) for name in names)
    for start in range(0, len(placed), _AT_ONCE):
        yield from _measured(client, placed[start : start + _AT_ONCE], kinds, redis)


def _place(name: str, kinds: Sequence[KeyKind]) -> int:
    """The index of its kind, beyond the last for an unknown one; `state:current` is no `state:*`."""
    fitting = [i for i, kind in enumerate(kinds) if kind.pattern.fullmatch(name)]
    return min(fitting, key=lambda i: kinds[i].name.count("*"), default=len(kinds))


def _measured(
    client: Client, placed: Sequence[tuple[int, str]], kinds: Sequence[KeyKind], redis: str
) -> Iterator[FoundKey]:
    with client.pipeline(transaction=False) as pipe:
        for _, name in placed:
            pipe.type(name)
            pipe.pttl(name)
            pipe.memory_usage(name)
        answers = pipe.execute()
    types = [kind.decode() for kind in answers[::3]]
    with client.pipeline(transaction=False) as pipe:
        for (_, name), kind in zip(placed, types, strict=True):
            pipe.execute_command(_LENGTH.get(kind, "EXISTS"), name)
        # A key may have gone, or become another, since.
        lengths = pipe.execute(raise_on_error=False)
    for i, (place, name) in enumerate(placed):
        kind, ttl_ms, size = types[i], answers[3 * i + 1], answers[3 * i + 2]
        if kind != "none":
            yield FoundKey(
                key=name,
                redis=redis,
                type=kind,
                entries=lengths[i] if kind in _LENGTH and isinstance(lengths[i], int) else None,
                bytes=size,
                expires_in_seconds=ttl_ms / 1000 if ttl_ms >= 0 else None,
                what=kinds[place].what if place < len(kinds) else None,
            )


def _table(found: Sequence[FoundKey], keys: Keys, *, every: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("key", overflow="fold")
    table.add_column("type")
    for heading in ("entries", "memory", "expires"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
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
    """When the first and the last of them go."""
    expiries = [key.expires_in_seconds for key in members]
    known = sorted(seconds for seconds in expiries if seconds is not None)
    if not known:
        return ""
    shown = list(dict.fromkeys([_span(known[0]), _span(known[-1])]))
    return "–".join(shown) + ("" if len(known) == len(expiries) else " or never")


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _sum(found: Sequence[FoundKey], total: int) -> str:
    pictures = sum(key.bytes or 0 for key in found if key.redis == "frames")
    apart = f", {_size(pictures)} of them in the Redis for pictures" if pictures else ""
    return f"{len(found)} keys, {_size(total)} of memory{apart}"


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
