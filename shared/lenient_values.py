"""Values read from Redis, which anything may have written. What cannot be parsed becomes None or is left out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_WHOLE = re.compile(r"-?[0-9]{1,20}")
"""Stricter than `int`, which also reads spaces, underscores and the digits of other scripts."""

LONGEST = 2**17
"""Bytes of a text. The longest of a site is the list of a detector's classes."""
LONGEST_NAME = 256
"""Bytes of the name of a worker or another process."""
_LONGEST_CLASS = 100
_LARGEST = 2**64 - 1
"""Of each of the two numbers in the id of a stream entry."""


def text_fields(answer: Any, longest: int = LONGEST) -> dict[str, str]:
    """A hash as text; empty for anything else. Names and values are cut after `longest` bytes."""
    if not isinstance(answer, Mapping):
        return {}
    return {
        name[:longest].decode(errors="replace"): value[:longest].decode(errors="replace")
        for name, value in answer.items()
    }


def scores(answer: Any) -> dict[str, int]:
    """A sorted set of whole numbers; empty for anything else. Absurdly long names are left out."""
    if not isinstance(answer, list):
        return {}
    return {
        name.decode(errors="replace"): int(score)
        for name, score in answer
        if math.isfinite(score) and len(name) <= LONGEST_NAME
    }


def whole(text: bytes | str | None) -> int | None:
    """An integer of at most 64 bits, in decimal digits."""
    digits = text.decode(errors="replace") if isinstance(text, bytes) else text
    if not digits or not _WHOLE.fullmatch(digits):
        return None
    number = int(digits)
    return number if abs(number) < 2**63 else None


def decimal(text: str | None) -> float | None:
    """A finite number."""
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def stream_id(text: bytes | str) -> tuple[int, int]:
    """The two numbers of the id of a stream entry, as Redis returns it."""
    first, _, second = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return int(first), int(second or 0)


def following(entry_id: tuple[int, int]) -> str | None:
    """The smallest id after `entry_id`; None if there is none."""
    first, second = entry_id
    if second < _LARGEST:
        return f"{first}-{second + 1}"
    return f"{first + 1}-0" if first < _LARGEST else None


def class_names(text: str) -> tuple[str, ...]:
    """A JSON list of names, which are cut after 100 letters; empty for anything else."""
    try:
        names = json.loads(text) if text else ()
    except (ValueError, RecursionError):
        return ()
    return tuple(str(name)[:_LONGEST_CLASS] for name in names) if isinstance(names, list) else ()
