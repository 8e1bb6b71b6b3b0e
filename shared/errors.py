"""Every error that a user can cause or fix. Anything else is a bug and keeps its traceback.

MtmcError
├── ConfigError            the site file, or a file that it names, is wrong (carries every problem)
├── LayoutError            a camera layout that cannot be read
├── MaskError              a mask that is not an image, or that hides everything
├── ModelError             a model that cannot be loaded or is of an unknown kind
│   └── InferenceFailed    a call of a loaded model failed; a retry may work
├── SourceUnavailable      a camera that cannot be opened or read
├── MessageError           a stream entry that cannot be decoded
├── RedisUnusable          Redis is unreachable, refuses the password, is too old, or evicts keys
└── LeaseLost              another process has taken over a role that this one owned
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

_SCHEME = r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,31}://)"
"""Of bounded length, so that the time to search a text is proportional to its length."""
_BEGINNING = re.compile(_SCHEME)
_WORD = re.compile(r"[^\s'\"<>]+")
_CREDENTIAL_KEY = (
    r"[?&;/](?:[\w.-]*[_.-])?(?:user|username|usr|login|loginuse|loginpas|pass|passwd|password|passphrase|pwd|psw|token"
    r"|accesstoken|key|apikey|auth|authorization|secret|sig|signature|session|sessionid)="
)
"""The parameter names that cameras and gateways use for credentials; some accept them in the path."""
_KEY = re.compile(_CREDENTIAL_KEY, re.IGNORECASE)
_SECRET_QUERY = re.compile(rf"(?P<key>{_CREDENTIAL_KEY})[^&\s'\"<>]*", re.IGNORECASE)
_SPACED_CREDENTIALS = re.compile(rf"{_SCHEME}[^\s:/@'\"<>\[\]]*:(?!\d{{1,5}}(?![^\s/?#,;.)'\"]))(?=\S)[^\n@/]*@")
"""A password with spaces or quotes in it: the colon is followed by neither a port nor a space."""
_TOKEN = re.compile(r"(?P<public>(?:mtmc|session)_[0-9a-f]{8}_)[0-9a-f]{64}")
"""A token of the page, or the key of a session; see `shared.tokens`."""


def redact(text: str) -> str:
    """`text` with the user and password of every URL, and the secret part of every token, replaced by `***`.

    A password may contain any character, so everything up to the last `@` of a URL is replaced.
    """
    text = _TOKEN.sub(r"\g<public>***", text)
    text = _WORD.sub(_without_login, text)
    text = _SPACED_CREDENTIALS.sub(r"\g<scheme>***@", text)
    return _SECRET_QUERY.sub(r"\g<key>***", text)


def _without_login(word: re.Match[str]) -> str:
    text = word[0]
    beginning = _BEGINNING.search(text)
    if beginning is None:
        return text
    scheme, rest = text[: beginning.end()], text[beginning.end() :]
    at = rest.rfind("@")
    if at < 0:
        return text
    key = _KEY.search(rest)
    # An `@` after such a name may end the login or be part of the secret, so the whole address is hidden.
    return f"{scheme}***" if key is not None and key.end() <= at else f"{scheme}***{rest[at:]}"


def shortened(text: str, most: int = 500) -> str:
    """`text`, cut after `most` characters. Redact it first: a part of a password cannot be recognised."""
    return text if len(text) <= most else f"{text[:most]}…"


def hide(text: str, secrets: Iterable[str]) -> str:
    """`text` with each of the `secrets` in it replaced by `***`, also if percent-encoded, and redacted."""
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), quote(secret), unquote(secret))}
    for form in sorted(forms - {""}, key=len, reverse=True):
        text = text.replace(form, "***")
    return redact(text)


class MtmcError(Exception):
    """An error the user can fix; `str()` is one line that says what is wrong and what to do."""

    exit_code = 2
    """Of a process that ends with this error. 2: it would fail again until the user fixes something. 1: a retry may
    work."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


@dataclass(frozen=True)
class Problem:
    """One error in a configuration."""

    where: str
    """File, or the environment variable that overrides it."""
    key: str
    """Dotted path of the setting, e.g. `cameras.2.source`; empty for the whole file."""
    value: str
    """The present value; empty if there is none."""
    message: str
    """What is allowed instead."""

    def __str__(self) -> str:
        key = f": {self.key}" if self.key else ""
        value = f" = {self.value}" if self.value else ""
        return redact(f"{self.where}{key}{value}: {self.message}")


class ConfigError(MtmcError):
    """Carries every problem of a configuration, so that all can be fixed in one go."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class LayoutError(MtmcError):
    """A layout text file that cannot be read; the message names file and line."""


class MaskError(MtmcError):
    """A camera mask that cannot be used; the message does not name it, so the caller adds the camera or the file."""


class ModelError(MtmcError):
    """A model file that cannot be loaded, or whose inputs or outputs have an unknown form."""


class InferenceFailed(ModelError):
    """A call of a loaded model failed, for example because the device ran out of memory. A retry may work."""

    exit_code = 1


class SourceUnavailable(MtmcError):
    """A camera that cannot be opened, or that stopped delivering pictures."""

    def __init__(self, camera: str, reason: str, retry_in_s: float | None = None) -> None:
        self.camera, self.reason, self.retry_in_s = camera, redact(reason), retry_in_s
        super().__init__(f"camera {camera}: {reason}")


class MessageError(MtmcError):
    """A stream entry that does not follow the wire format. The message is short, whatever the entry contains."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(redact(message)))


class RedisUnusable(MtmcError):
    """Redis cannot be reached, or cannot be used as it is set up; the message says what to do."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        """`transient`: Redis did not answer, so a retry may work."""
        self.transient = transient
        super().__init__(message)


class LeaseLost(MtmcError):
    """The lease of a role now belongs to another process, or has expired."""

    exit_code = 1

    def __init__(self, role: str) -> None:
        self.role = role
        super().__init__(f"the lease of {role} was lost to another process")
