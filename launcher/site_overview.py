"""Reads the overview of a site that should be running, for `mtmc status`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from launcher.address import find_redis, site_name
from launcher.site_access import SiteChoice, server_answers
from launcher.site_file import load_site_leniently
from shared.errors import MtmcError, RedisUnusable, redact
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, check
from shared.site_state import Overview, read_overview


class NothingRuns(MtmcError):
    """No process of the site is alive; the message says which Redis was asked."""

    exit_code = 1


@contextlib.contextmanager
def overview_reader(choice: SiteChoice, environment: Mapping[str, str]) -> Iterator[Callable[[], Overview]]:
    """A function that reads the overview of the chosen site; it raises NothingRuns if the site does not run.

    Raises:
        MtmcError: the site or Redis cannot be used.
    """
    site = load_site_leniently(choice.site_file, environment)
    name = site_name(site, choice.site)
    address = find_redis(choice.redis_url, site, choice.site_file, choice.state, environment)
    shown_url = redact(address.url)
    client = address.connect()

    def look() -> Overview:
        try:
            check(client, address.url)
            overview = read_overview(client, Keys(name), shown_url)
        except RETRYABLE as error:
            raise NothingRuns(f"Redis at {shown_url} does not answer ({redact(str(error))})") from None
        except RedisUnusable:
            if server_answers(client):
                raise
            start = f"mtmc up {choice.site_file}" if choice.site_file else "mtmc up SITE.yaml"
            raise NothingRuns(
                f"nothing runs for site {name}: no Redis answers at {shown_url}; start it: {start}"
            ) from None
        if overview is None:
            raise NothingRuns(f"nothing runs for site {name}: nobody has published it in Redis at {shown_url}")
        if not overview.running:
            raise NothingRuns(
                f"nothing runs for site {name} now: no clock and no worker at {shown_url} (its last tick was "
                f"{overview.tick})"
            )
        return overview

    try:
        yield look
    finally:
        client.close()
