"""Every error that a user can cause or mend. Anything else is a bug and keeps its traceback.

MtmcError
├── ConfigError            the site file, or what it names, is wrong (carries every problem)
├── LayoutError            a camera layout that cannot be read
├── MaskError              a mask that is no picture, or hides everything
├── ModelError             a model that cannot be loaded or is of an unknown kind
├── SourceUnavailable      a camera that cannot be opened or read
├── MessageError           a stream entry that nobody could decode
├── RedisUnusable          no Redis, wrong password, too old, evicting
└── LeaseLost              somebody else owns what this process thought it owned
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SCHEME = r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)"
_URL_CHARACTER = r"[^\s'\"<>]"
_CREDENTIAL_KEY = (
    r"[?&;/](?:[\w.-]*[_.-])?(?:user|username|usr|login|loginuse|loginpas|pass|passwd|password|passphrase|pwd|psw|token"
    r"|accesstoken|key|apikey|auth|authorization|secret|sig|signature|session|sessionid)="
)
"""What cameras and their gateways call a credential; some take it as a part of the path."""
_CREDENTIALS = re.compile(rf"{_SCHEME}{_URL_CHARACTER}*@")
_SECRET_QUERY = re.compile(rf"(?P<key>{_CREDENTIAL_KEY})[^&\s'\"<>]*", re.IGNORECASE)
_AMBIGUOUS = re.compile(
    rf"{_SCHEME}{_URL_CHARACTER}*{_CREDENTIAL_KEY}{_URL_CHARACTER}*@{_URL_CHARACTER}*", re.IGNORECASE
)
"""An `@` behind such a name: it may belong to either, so nothing can be shown."""
_SPACED_CREDENTIALS = re.compile(rf"{_SCHEME}[^\s:/@'\"<>\[\]]*:(?!\d{{1,5}}(?![^\s/?#,;.)'\"]))(?=\S)[^\n@/]*@")
"""A password with blanks or quotes in it: what follows the colon is neither a port nor a blank."""


def redact(text: str) -> str:
    """`text` with the user and password of every URL in it replaced by `***`.

    A password may hold any character, so everything up to the last `@` of a URL goes.
    """
    text = _AMBIGUOUS.sub(r"\g<scheme>***", text)
    for credentials in (_CREDENTIALS, _SPACED_CREDENTIALS):
        text = credentials.sub(r"\g<scheme>***@", text)
    return _SECRET_QUERY.sub(r"\g<key>***", text)


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


class MaskError(MtmcError):
    """The mask of a camera that cannot be used; the message does not name it."""


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
