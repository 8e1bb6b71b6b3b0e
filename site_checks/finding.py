"""One finding of `mtmc doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.errors import redact


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  # the site runs, but not as well as it should
    ERROR = "error"  # the site does not run until this is fixed


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    area: str
    """`site file`, `machine`, `redis`, `clocks`, `models`, `sources`, `detections`, `calibrations`, `ports` or
    `running site`."""
    level: Severity
    what: str
    """What was found; without credentials."""
    do: str | None = None
    """How to fix it; None if there is nothing to fix."""


def ok(area: str, what: str) -> Finding:
    """A finding without a problem."""
    return Finding(area, Severity.OK, redact(what))


def warning(area: str, what: str, do: str) -> Finding:
    """A problem that does not stop the site; `do` says how to fix it."""
    return Finding(area, Severity.WARNING, redact(what), redact(do))


def error(area: str, message: str) -> Finding:
    """A problem that stops the site. `message` is an error message; what follows its last `; ` says what to do."""
    what, _, do = redact(message).rpartition("; ")
    return Finding(area, Severity.ERROR, what or do, do if what else None)
