"""Opens the site that a command works on: its name, its Redis, and what is published there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, ResponseError

from launcher.address import RedisAddress, find_redis, site_name
from launcher.site_file import load_site_leniently
from shared.errors import MtmcError, RedisUnusable, redact
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, Client, WritesRefused, check
from shared.site import PublishedSite, read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import SiteState


@dataclass(frozen=True)
class SiteChoice:
    """The site that a command works on, as given on the command line."""

    site_file: Path | None = None
    site: str | None = None
    redis_url: str | None = None
    state: Path | None = None


@dataclass(frozen=True)
class SiteRedis:
    """The Redis of a site, checked."""

    keys: Keys
    client: Client
    address: RedisAddress

    @property
    def shown_url(self) -> str:
        """The URL without credentials."""
        return redact(self.address.url)


@dataclass(frozen=True)
class OpenSite(SiteRedis):
    """A published site."""

    published: PublishedSite

    def read_state(self) -> SiteState:
        """The current state of the site.

        Raises:
            RedisError: Redis does not answer, or refuses.
        """
        with self.address.pictures(self.client) as frames:
            return StateReader(self.client, frames, self.published).read()


@contextlib.contextmanager
def open_redis_of(choice: SiteChoice, environment: Mapping[str, str]) -> Iterator[SiteRedis]:
    """Opens the Redis of the chosen site, whether or not the site is published there.

    Raises:
        MtmcError: Redis failed a check, or the connection was lost inside the `with` block.
    """
    site = load_site_leniently(choice.site_file, environment)
    name = site_name(site, choice.site)
    address = find_redis(choice.redis_url, site, choice.site_file, choice.state, environment)
    client = address.connect()
    try:
        if address.embedded and not server_answers(client):
            raise MtmcError(f"site {name} is not running; start it: mtmc up {choice.site_file}")
        with address.translating_errors():
            check(client, address.url)
            yield SiteRedis(Keys(name), client, address)
    except ResponseError as error:
        raise RedisUnusable(f"Redis at {redact(address.url)} refused a command ({redact(str(error))})") from None
    finally:
        client.close()


@contextlib.contextmanager
def open_site(choice: SiteChoice, environment: Mapping[str, str]) -> Iterator[OpenSite]:
    """Opens the chosen site as published.

    Raises:
        MtmcError: the site is not published, or Redis failed a check.
    """
    with open_redis_of(choice, environment) as redis:
        published = read_site(redis.client, redis.keys.site)
        if published is None:
            start = f"mtmc up {choice.site_file}" if choice.site_file else "mtmc up SITE.yaml"
            raise MtmcError(f"site {redis.keys.site} is not published in Redis at {redis.shown_url}; start it: {start}")
        yield OpenSite(redis.keys, redis.client, redis.address, published)


def unknown_cameras(site: str, unknown: Sequence[str], there: Sequence[str]) -> MtmcError:
    """The error for cameras that the site does not have; `there` are those it has."""
    names = ", ".join(f"'{name}'" for name in unknown)
    return MtmcError(f"site {site} has no camera {names}; it has {', '.join(there) or 'none'}")


def server_answers(client: Client) -> bool:
    """Whether a Redis server answers at all, even with an error."""
    try:
        client.ping()
    except RETRYABLE as error:
        # While Redis cannot write to its disk, it refuses even PING.
        return isinstance(error, AuthenticationError | NoPermissionError | WritesRefused | BusyLoadingError)
    except ResponseError:
        pass
    return True
