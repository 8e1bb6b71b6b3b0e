"""What the doctor found out about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.errors import redact


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  # it runs, but not as well as it should
    ERROR = "error"  # it does not run until this is fixed


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    area: str
    """`site file`, `machine`, `redis`, `clocks`, `models`, `sources`, `ports` or `running site`."""
    level: Severity
    what: str
    """What is so; without credentials."""
    do: str | None = None
    """What to do about it; None when nothing needs to be done."""


def ok(area: str, what: str) -> Finding:
    """All is well."""
    return Finding(area, Severity.OK, redact(what))


def warning(area: str, what: str, do: str) -> Finding:
    """It runs, but not as well as it should."""
    return Finding(area, Severity.WARNING, redact(what), redact(do))


def error(area: str, message: str) -> Finding:
    """It does not run; `message` is that of an error, whose last part says what to do."""
    what, _, do = redact(message).rpartition("; ")
    return Finding(area, Severity.ERROR, what or do, do if what else None)
