"""Every error that a user can cause or mend. Anything else is a bug and keeps its traceback.

MtmcError
├── ConfigError            the site file, or what it names, is wrong (carries every problem)
├── LayoutError            a camera layout that cannot be read
├── ModelError             a model that cannot be loaded or is of an unknown kind
├── SourceUnavailable      a camera that cannot be opened or read
├── MessageError           a stream entry that nobody could decode
├── RedisUnusable          no Redis, wrong password, too old, evicting
└── LeaseLost              somebody else owns what this process thought it owned
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CREDENTIALS = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s'\"<>]*@")
_SECRET_QUERY = re.compile(
    r"(?P<key>[?&](?:user|username|password|passwd|pwd|pass|token|key|auth|secret)=)[^&\s'\"]*", re.IGNORECASE
)


def redact(text: str) -> str:
    """`text` with the user and password of every URL in it replaced by `***`.

    A password may hold any character, so everything up to the last `@` of a URL goes.
    """
    return _SECRET_QUERY.sub(r"\g<key>***", _CREDENTIALS.sub(r"\g<scheme>***@", text))


class MtmcError(Exception):
    """An error the user can mend; `str()` is one line that says what is wrong and what to do."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration."""

    where: str
    """File, or the environment variable that overrides it."""
    key: str
    """Dotted path of the setting, e.g. `cameras.2.source`; empty for the whole file."""
    value: str
    """What stands there now; empty when nothing does."""
    message: str
    """What is allowed instead."""

    def __str__(self) -> str:
        key = f": {self.key}" if self.key else ""
        value = f" = {self.value}" if self.value else ""
        return redact(f"{self.where}{key}{value}: {self.message}")


class ConfigError(MtmcError):
    """Carries every problem of a configuration, so that all can be mended in one go."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class LayoutError(MtmcError):
    """A layout text file that cannot be read; the message names file and line."""


class ModelError(MtmcError):
    """A model file that cannot be loaded, or whose inputs or outputs nobody here understands."""


class SourceUnavailable(MtmcError):
    """A camera that cannot be opened or stopped giving pictures."""

    def __init__(self, camera: str, reason: str, retry_in_s: float | None = None) -> None:
        self.camera, self.reason, self.retry_in_s = camera, redact(reason), retry_in_s
        super().__init__(f"camera {camera}: {reason}")


class MessageError(MtmcError):
    """A stream entry that does not follow the wire format."""


class RedisUnusable(MtmcError):
    """Redis cannot be reached, or is not fit for use; the message says what to do."""


class LeaseLost(MtmcError):
    """The lease of a role now belongs to another process, or has expired."""

    exit_code = 1

    def __init__(self, role: str) -> None:
        self.role = role
        super().__init__(f"the lease of {role} was lost to another process")
