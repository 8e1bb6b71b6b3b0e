"""Reads the state of a running site, for `mtmc status`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from redis.exceptions import NoPermissionError

from launcher.address import configured, find_redis, site_name
from launcher.site_access import SiteChoice, server_answers
from launcher.site_file import load_site_leniently
from shared.errors import MtmcError, RedisUnusable, redact
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, Client, check, unreachable
from shared.site import read_revision, read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import SiteState


class SiteNotRunning(MtmcError):
    """No process of the site is alive; the message names the Redis that was queried."""

    exit_code = 1


class RunningSite:
    """Reads the state of one site, also across new revisions of it."""

    def __init__(
        self, client: Client, frames: Client, keys: Keys, url: str, start_command: str, redis_advice: str
    ) -> None:
        """`redis_advice`: what to do if Redis does not answer."""
        self._client, self._frames, self._keys, self._url = client, frames, keys, url
        self._start_command, self._redis_advice = start_command, redis_advice
        self.redis = redact(url)
        """The address without credentials."""
        self._revision: int | None = None
        self._reader: StateReader | None = None

    def read(self) -> SiteState:
        """The state of the site.

        Raises:
            SiteNotRunning: no process of the site is alive.
            MtmcError: Redis answers, but failed a check.
        """
        site = self._keys.site
        try:
            check(self._client, self._url)
            state = self._read()
        except NoPermissionError as error:
            raise unreachable(self._url, error) from None
        except RETRYABLE as error:
            raise SiteNotRunning(f"Redis at {self.redis} does not answer ({redact(str(error))})") from None
        except RedisUnusable:
            if server_answers(self._client):
                raise
            raise SiteNotRunning(
                f"site {site} is not running: Redis does not answer at {self.redis}; {self._redis_advice}"
            ) from None
        if state is None:
            raise SiteNotRunning(
                f"site {site} is not running: it is not published in Redis at {self.redis}; start it: "
                f"{self._start_command}"
            )
        # While Redis refuses writes, nobody can say that it is alive.
        if not state.running and not state.health.refusal:
            raise SiteNotRunning(
                f"site {site} is not running: no clock and no worker in Redis at {self.redis} (its last tick was "
                f"{state.tick}); start it: {self._start_command}"
            )
        return state

    def _read(self) -> SiteState | None:
        revision = read_revision(self._client, self._keys)
        if self._reader is None or revision != self._revision:
            published = read_site(self._client, self._keys.site)
            if published is None:
                return None
            self._reader, self._revision = StateReader(self._client, self._frames, published), revision
        return self._reader.read()


@contextlib.contextmanager
def running_site(choice: SiteChoice, environment: Mapping[str, str]) -> Iterator[RunningSite]:
    """Opens the chosen site, which may not be running.

    Raises:
        MtmcError: the site file is invalid, or no site is given.
    """
    site = load_site_leniently(choice.site_file, environment)
    address = find_redis(choice.redis_url, site, choice.site_file, choice.state, environment)
    with contextlib.closing(address.connect()) as client, address.pictures(client) as frames:
        start = f"mtmc up {choice.site_file}" if choice.site_file else "mtmc up SITE.yaml"
        if configured(choice.redis_url, site, environment):  # `mtmc up` does not start this server
            advice = "start this Redis, or correct the address (--redis, MTMC_REDIS_URL or redis.url)"
        elif choice.site_file is None:
            advice = "give its site file, or the address of its Redis (--redis or MTMC_REDIS_URL)"
        else:
            advice = f"start it: {start}"
        yield RunningSite(client, frames, Keys(site_name(site, choice.site)), address.url, start, advice)
