"""Opens the site that a command is about: its name, its Redis, and what is published there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redis.exceptions import AuthenticationError, ResponseError

from launcher.address import RedisAddress, find_redis, site_name
from launcher.site_file import load_site_leniently
from shared.errors import MtmcError, RedisUnusable, redact
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, Client, check
from shared.site import PublishedSite, read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import SiteState


@dataclass(frozen=True)
class SiteChoice:
    """Which site a command is about, as given on the command line."""

    site_file: Path | None = None
    site: str | None = None
    redis_url: str | None = None
    state: Path | None = None


@dataclass(frozen=True)
class SiteRedis:
    """The Redis of a site, fit for use."""

    keys: Keys
    client: Client
    address: RedisAddress

    @property
    def shown_url(self) -> str:
        """Without credentials."""
        return redact(self.address.url)


@dataclass(frozen=True)
class OpenSite(SiteRedis):
    """A site that is published."""

    published: PublishedSite

    def read_state(self) -> SiteState:
        """The site as it is now.

        Raises:
            RedisError: Redis is away or refuses.
        """
        with self.address.pictures(self.client) as frames:
            return StateReader(self.client, frames, self.published).read()


@contextlib.contextmanager
def open_redis_of(choice: SiteChoice, environment: Mapping[str, str]) -> Iterator[SiteRedis]:
    """The Redis of the chosen site, whether it is published there or not.

    Raises:
        MtmcError: Redis is not fit for use, or goes away meanwhile.
    """
    site = load_site_leniently(choice.site_file, environment)
    name = site_name(site, choice.site)
    address = find_redis(choice.redis_url, site, choice.site_file, choice.state, environment)
    client = address.connect()
    try:
        if address.embedded and not server_answers(client):
            raise MtmcError(f"site {name} does not run; start it: mtmc up {choice.site_file}")
        with address.translating_errors():
            check(client, address.url)
            yield SiteRedis(Keys(name), client, address)
    except ResponseError as error:
        raise RedisUnusable(f"Redis at {redact(address.url)} refused ({redact(str(error))})") from None
    finally:
        client.close()


@contextlib.contextmanager
def open_site(choice: SiteChoice, environment: Mapping[str, str]) -> Iterator[OpenSite]:
    """The chosen site, as it is published.

    Raises:
        MtmcError: it is not, or Redis is not fit for use.
    """
    with open_redis_of(choice, environment) as redis:
        published = read_site(redis.client, redis.keys.site)
        if published is None:
            start = f"mtmc up {choice.site_file}" if choice.site_file else "mtmc up SITE.yaml"
            raise MtmcError(
                f"nobody has published site {redis.keys.site} in Redis at {redis.shown_url}; start it: {start}"
            )
        yield OpenSite(redis.keys, redis.client, redis.address, published)


def unknown_cameras(site: str, unknown: Sequence[str], there: Sequence[str]) -> MtmcError:
    """What to say of cameras that a site does not have."""
    names = ", ".join(f"'{name}'" for name in unknown)
    return MtmcError(f"site {site} has no camera {names}; it has {', '.join(there)}")


def server_answers(client: Client) -> bool:
    """Whether a Redis server answers at all, even if it refuses us."""
    try:
        client.ping()
    except RETRYABLE as error:
        return isinstance(error, AuthenticationError)
    except ResponseError:
        pass
    return True
