"""Which rules apply, as the site file and the command line say."""

from __future__ import annotations

from dataclasses import dataclass

from services.streamer.access.addresses import Network
from services.streamer.access.hosts import AllowedHosts
from shared.addresses import is_local_page
from shared.config import StreamerConfig
from shared.process import ServiceOptions


@dataclass(frozen=True)
class AccessRules:
    """The rules for one streamer."""

    published: str
    """The address at which others reach it."""
    is_local: bool
    """Whether only this machine reaches it."""
    needs_login: bool
    hosts: AllowedHosts
    proxies: tuple[Network, ...] = ()

    @classmethod
    def of(cls, config: StreamerConfig, options: ServiceOptions) -> AccessRules:
        """A page needs no login if only this machine reaches it, or if `options` say so."""
        listens = options.host if options.host is not None else config.host
        published = (options.published or listens).removeprefix("[").removesuffix("]")
        is_local = is_local_page(published, config.hosts)
        return cls(
            published,
            is_local,
            not is_local and not options.insecure,
            AllowedHosts.of(published, config.hosts),
            config.trusted_proxies,
        )
