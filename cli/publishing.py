"""Puts a site file into Redis, for the services to read."""

from __future__ import annotations

from shared.config import SiteConfig
from shared.errors import MtmcError
from shared.redis_connection import Client
from shared.site import publish_site


def publish(client: Client, site: SiteConfig) -> int:
    """The revision of the site, which grew if the content changed.

    Raises:
        MtmcError: a mask or the layout cannot be read.
    """
    try:
        return publish_site(client, site)
    except OSError as error:
        raise MtmcError(f"{error.filename}: cannot be read ({error.strerror})") from None
