"""The checks of the headers Host and Origin: requests of other web sites, in a browser that reaches this page.

A page of another web site can send requests to any address that the browser reaches, but it cannot choose these
headers. If its own name resolves to our address (DNS rebinding), Host is that name. If it sends a form, Origin is its
own address.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from dataclasses import dataclass

from shared.addresses import is_loopback, parse_address

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class AllowedHosts:
    """The names under which the page is served."""

    local_only: bool
    """Whether it is published on this machine only."""
    names: frozenset[str] = frozenset()
    """Further names, in lower case."""

    @classmethod
    def of(cls, published: str, configured: Collection[str]) -> AllowedHosts:
        """Those of a page that is published at the address or name `published`."""
        local = is_loopback(published)
        own = set() if local else {published.lower(), socket.gethostname().lower()}
        return cls(local, frozenset(own | set(configured)))

    def allows(self, host: str | None) -> bool:
        """Whether a request with this header Host is for us; None: without the header, as no browser sends it.

        An address is never rebound, because the browser asked no name server for it.
        """
        if host is None:
            return True
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].lower().removesuffix(".")
        if is_loopback(name) or name in self.names:
            return True
        return not self.local_only and parse_address(name) is not None


def is_same_origin(origin: str | None, fetch_site: str | None, host: str | None, *, required: bool) -> bool:
    """Whether a request comes from our own page, or from a program that is no browser.

    `origin` and `fetch_site` are the headers Origin and Sec-Fetch-Site, which every browser sends with a request that
    changes something; no program needs to. `required`: the request is certainly of a browser. The scheme is not
    compared, because a proxy may end TLS.
    """
    if origin is None:
        return not required and fetch_site in (None, "same-origin", "none")
    scheme, separator, rest = origin.partition("://")
    if not separator or host is None or scheme not in _DEFAULT_PORTS:
        return False
    ours = _without_port(host, tuple(_DEFAULT_PORTS.values()))
    return ours is not None and ours == _without_port(rest, (_DEFAULT_PORTS[scheme],))


def _without_port(host: str, default_ports: tuple[str, ...]) -> tuple[str, str | None] | None:
    """Name and port in a form that can be compared; a default port is left out. None if `host` has another form."""
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    return found["name"].lower(), None if found["port"] in default_ports else found["port"]
