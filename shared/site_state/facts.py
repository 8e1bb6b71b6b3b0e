"""The contents of Redis as plain values. Values that cannot be parsed become None or are left out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CameraFacts:
    """The input of `judged`: everything that determines the state of one camera."""

    name: str
    settings: bytes = b"{}"
    """JSON of its settings; the source in it may contain a password."""
    written: Mapping[str, str] = field(default_factory=dict)
    """`camera:{name}` as its owner wrote it."""
    owner_gone: bool = False
    """Whether `owner` in `written` names a worker that is dead."""
    stalled: bool = False
    """Whether the clock lists it as stalled."""
    seen_tick: int | None = None
    live_tracks: int | None = None
    gids: int = 0
    claimed_ms: int | None = None
    """When it was last claimed, ms of Redis time; None if unknown, or in virtual time."""
    picture_ms: int | None = None
    """When its newest picture was published, ms of the pictures' Redis."""


def text_fields(answer: Any) -> dict[str, str]:
    """A hash as text; empty for anything else."""
    if not isinstance(answer, Mapping):
        return {}
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in answer.items()}


def scores(answer: Any) -> dict[str, int]:
    """A sorted set of whole numbers; empty for anything else."""
    if not isinstance(answer, list):
        return {}
    return {name.decode(errors="replace"): int(score) for name, score in answer if math.isfinite(score)}


def whole(text: bytes | str | None) -> int | None:
    """An integer of at most 64 bits."""
    try:
        number = int(text) if text else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < 2**63 else None


def decimal(text: str | None) -> float | None:
    """A finite number."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def class_names(text: str) -> tuple[str, ...]:
    """A JSON list of names; empty for anything else."""
    try:
        names = json.loads(text) if text else ()
    except (ValueError, RecursionError):
        return ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()
