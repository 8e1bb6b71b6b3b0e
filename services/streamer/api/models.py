"""What the models of responses and of queries have in common."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from shared.config_fields import NAME_PATTERN

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_CURSOR_PATTERN = "^[0-9a-f]{32}$"


class Model(BaseModel):
    """A part of a response. The OpenAPI document is generated from these classes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Query(BaseModel):
    """The query parameters of an operation; others are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _encodable(value: Any) -> Any:
    """Text without lone surrogates, which JSON in Redis may contain and UTF-8 cannot express."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_encodable)]
Number64 = Annotated[str, Field(pattern="^-?[0-9]+$", description="an integer, as text: JSON readers round large ones")]


def whole_number(value: Any) -> Any:
    """Stricter than pydantic, which also reads `1.0`, `1_0` and ` 1`."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,20}", value, re.ASCII):
        raise ValueError("must be a whole number")
    return value


def _flag(value: Any) -> Any:
    """Stricter than pydantic, which also reads `yes` and `on`."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value


def _time(value: Any) -> Any:
    """Stricter than pydantic, which also reads numbers."""
    if isinstance(value, str) and not _TIME.fullmatch(value):
        raise ValueError("must be a time as in RFC 3339, for example 2026-01-31T12:00:00Z")
    return value


Gid = Annotated[int, Field(ge=0, le=2**63 - 1), BeforeValidator(whole_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Time = Annotated[datetime, BeforeValidator(_time)]
CameraName = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
Limit = Annotated[int, Field(ge=1, le=1000), BeforeValidator(whole_number)]
Cursor = Annotated[str, Field(pattern=_CURSOR_PATTERN)]
NEXT = "cursor of the next page; null: this was the last one"
CURSOR = "`next` of the page before; the first page has none. Repeat the other parameters with it"
LIMIT = "at most this many; a page may hold fewer, even none, although there is a next one"


def cursor_of(position: int) -> str:
    """A cursor; `position` is from 0 to 2¹²⁸ − 1."""
    return f"{position:032x}"


def position_of(cursor: str | None) -> int | None:
    """The reverse of `cursor_of`: every text that matches the pattern of a cursor is one."""
    return None if cursor is None else int(cursor, 16)


def nanoseconds(moment: datetime) -> int:
    """Site time in ns."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def iso_time(time_ns: int | None) -> str | None:
    """ISO 8601 in UTC with microseconds; None if the time is unknown or out of range."""
    if time_ns is None:
        return None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        return moment.replace(microsecond=time_ns // 1000 % 1_000_000).isoformat(timespec="microseconds")
    return None


def as_text(number: int | None) -> str | None:
    """A number that may exceed 2⁵³, as text."""
    return None if number is None else str(number)


def rounded(number: float | None, digits: int = 3) -> float | None:
    """A rounded number; None stays None."""
    return None if number is None else round(number, digits)
