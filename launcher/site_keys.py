"""Lists the keys of a site in Redis with type, size and expiry. Their purpose comes from `shared.keys`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.keys import Keys
from shared.redis_connection import Client

_LENGTH = {"hash": "HLEN", "zset": "ZCARD", "stream": "XLEN", "set": "SCARD", "list": "LLEN"}
_TYPE = re.compile(r"(?:String|Hash|Stream|Sorted set)\b[, ]*")
_AT_ONCE = 500


@dataclass(frozen=True)
class KeyKind:
    """One kind of key in `Keys`."""

    name: str
    """The name without the site, with `*` for the variable parts."""
    what: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the names of this kind."""
        return re.compile(re.escape(self.name).replace(r"\*", ".+"))


@dataclass(frozen=True)
class FoundKey:
    """One existing key; None means unknown or not applicable."""

    key: str
    redis: str
    """`main` or `frames`."""
    type: str
    entries: int | None
    bytes: int | None
    expires_in_seconds: float | None
    what: str | None


def key_kinds() -> list[KeyKind]:
    """Every kind of key in `Keys`, in its order."""
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
    """The purpose of a key from its docstring in `Keys`, without its type."""
    text = " ".join(docstring.split()).rstrip(".")
    kind = _TYPE.match(text)
    if kind is None:
        return text
    before, colon, after = text.partition(": ")
    return after if colon else before[kind.end() :]


def find_keys(client: Client, keys: Keys, redis: str) -> Iterator[FoundKey]:
    """The keys of a site, ordered by kind and name.

    Raises:
        RedisError: Redis does not answer, or refuses.
    """
    prefix = keys.config.removesuffix("config")
    kinds = key_kinds()
    names = sorted({name.decode(errors="replace") for name in client.scan_iter(f"{prefix}*", count=_AT_ONCE)})
    placed = sorted((_place(name.removeprefix(prefix), kinds), name) for name in names)
    for start in range(0, len(placed), _AT_ONCE):
        yield from _measured(client, placed[start : start + _AT_ONCE], kinds, redis)


def _place(name: str, kinds: Sequence[KeyKind]) -> int:
    """The index of the key's kind, or `len(kinds)` if unknown. The kind with the fewest `*` wins."""
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
        answers = pipe.execute(raise_on_error=False)
    for answer in answers[::3] + answers[1::3]:  # without MEMORY USAGE, sizes are unknown
        if isinstance(answer, Exception):
            raise answer
    types = [kind.decode() for kind in answers[::3]]
    with client.pipeline(transaction=False) as pipe:
        for (_, name), kind in zip(placed, types, strict=True):
            pipe.execute_command(_LENGTH.get(kind, "EXISTS"), name)
        # A key may have been deleted or replaced since.
        lengths = pipe.execute(raise_on_error=False)
    for i, (place, name) in enumerate(placed):
        kind, ttl_ms, size = (
            types[i],
            answers[3 * i + 1],
            answers[3 * i + 2],
        )
        if kind != "none":
            yield FoundKey(
                key=name,
                redis=redis,
                type=kind,
                entries=lengths[i] if kind in _LENGTH and isinstance(lengths[i], int) else None,
                bytes=size if isinstance(size, int) else None,
                expires_in_seconds=ttl_ms / 1000 if ttl_ms >= 0 else None,
                what=kinds[place].what if place < len(kinds) else None,
            )
