"""Which addresses only this machine reaches."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """The IP address that `text` spells, with or without brackets; None if it is none."""
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. A name other than localhost may be anything, so it does not count."""
    address = parse_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_local_page(published: str, hosts: Collection[str]) -> bool:
    """Whether only this machine reaches a page that is published at `published`.

    `hosts` are its further names (`streamer.hosts`); one that is not of this machine means that a proxy makes the page
    reachable from elsewhere.
    """
    return is_loopback(published) and all(map(is_loopback, hosts))
