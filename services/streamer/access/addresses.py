"""From where a request comes."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from shared.addresses import Address, parse_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV6_SITE_BITS = 64
"""A client usually has a whole /64 of IPv6 addresses."""


@dataclass(frozen=True)
class Sender:
    """Where a request comes from."""

    client: str
    """The client's address, or its /64 network for IPv6; "unknown" if there is none."""
    secure: bool
    """Whether the client uses TLS, as a trusted proxy says."""


def sender_of(peer: str, forwarded_for: str, forwarded_proto: str, proxies: Sequence[Network]) -> Sender:
    """Where a request comes from whose connection is from `peer`; its headers count only if that is a trusted proxy.

    Each proxy appends the address that it saw to X-Forwarded-For, so the client is the last one that is no proxy.
    """
    address, secure = parse_address(peer), False
    if address is not None and _is_trusted(address, proxies):
        secure = forwarded_proto.rpartition(",")[2].strip().lower() == "https"
        for text in reversed(forwarded_for.split(",")):
            said = parse_address(text.strip())
            if said is None:
                break
            address = said
            if not _is_trusted(said, proxies):
                break
    if isinstance(address, ipaddress.IPv6Address):
        return Sender(str(ipaddress.ip_network((address, _IPV6_SITE_BITS), strict=False)), secure)
    return Sender("unknown" if address is None else str(address), secure)


def _is_trusted(address: Address, proxies: Sequence[Network]) -> bool:
    return any(address in network for network in proxies)
