"""URLs of streams as people write them, with passwords that are not escaped."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote

_ENDS_AUTHORITY = re.compile(r"[/?#]")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@\[\]]{1,253})(:\d{1,5})?")
_LOOKS_LIKE_A_HOST = re.compile(r"(localhost|\[[0-9a-fA-F:.]+\]|[\w-]+(\.[\w-]+)+)(:\d{1,5})?")
_STRAY_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOW_TO_ESCAPE = "write / as %2F, # as %23, ? as %3F and @ as %40 in the user and password"


@dataclass(frozen=True, repr=False)
class StreamUrl:
    """The parts of a URL; user and password are escaped."""

    scheme: str
    login: str
    """`user:password`, `user`, or empty."""
    host: str
    """Host and, if given, port."""
    path: str
    """Path, query and fragment, with the character that begins it."""

    @classmethod
    def parse(cls, text: str) -> StreamUrl:
        """The parts of `text`. A raw `@`, `:` or `%` in the password is understood.

        Raises:
            ValueError: it is not clear where the password ends; the message says what to escape, without the password.
        """
        scheme, _, rest = text.strip().partition("://")
        end = match.start() if (match := _ENDS_AUTHORITY.search(rest)) else len(rest)
        authority, path = rest[:end], rest[end:]
        login, at, host = authority.rpartition("@")
        if not host:
            raise ValueError("the address has no host; write it as rtsp://USER:PASSWORD@HOST/PATH")
        plain = unicodedata.normalize("NFKC", host)
        looks_like_another = any(plain.count(mark) != host.count(mark) for mark in ":/?#@.")
        if _HOST.fullmatch(host) is None or looks_like_another or ".." in host:
            if "@" in path:
                raise ValueError(f"the password contains a character with a meaning of its own; {_HOW_TO_ESCAPE}")
            raise ValueError("host or port of the address are not valid; write it as rtsp://HOST:PORT/PATH")
        after_last_at = _ENDS_AUTHORITY.split(path.rpartition("@")[2], maxsplit=1)[0]
        rather_a_host = _LOOKS_LIKE_A_HOST.fullmatch(after_last_at) and not _LOOKS_LIKE_A_HOST.fullmatch(host)
        if "@" in path and (path.startswith("#") or rather_a_host):
            raise ValueError(
                f"it is not clear where the password ends; {_HOW_TO_ESCAPE}, or @ as %40 if it belongs to the path"
            )
        return cls(scheme.lower(), _escaped(login) if at else "", host, path)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.login}{'@' if self.login else ''}{self.host}{self.path}"


def _escaped(login: str) -> str:
    user, colon, password = login.partition(":")
    return quote(_STRAY_PERCENT.sub("%25", user), safe="%!$&'()*+,;=") + (
        colon + quote(_STRAY_PERCENT.sub("%25", password), safe="%!$&'()*+,;=:")
    )
