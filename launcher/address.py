"""Finds the site's name and Redis from the command line, the environment, the site file or a running `mtmc up`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.state_folder import state_folder
from shared.config import SiteConfig
from shared.errors import MtmcError
from shared.redis_connection import RETRYABLE, Client, connect, open_redis, unreachable
from shared.redis_server import RedisServer

DEFAULT_URL = "redis://127.0.0.1:6379/0"


@dataclass(frozen=True)
class RedisAddress:
    """How to reach Redis."""

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    frames_url: str | None = field(default=None, repr=False)
    embedded: bool = False
    """Whether `mtmc up` started this server (it may have stopped since)."""

    def connect(self) -> Client:
        """A client; connects on first use.

        Raises:
            RedisUnusable: the URL is invalid.
        """
        return connect(self.url, self.password)

    def open(self) -> Client:
        """A client of a Redis that was checked: reachable, new enough, no eviction.

        Raises:
            RedisUnusable: Redis failed a check; the message says what to do.
        """
        return open_redis(self.url, self.password)

    @contextlib.contextmanager
    def pictures(self, client: Client, *, timeout_s: float = 1.0) -> Iterator[Client]:
        """A client of the Redis that holds the pictures: `client` itself unless there is a second Redis.

        Raises:
            RedisUnusable: the URL is invalid.
        """
        if self.frames_url is None:
            yield client
            return
        with contextlib.closing(connect(self.frames_url, self.password, timeout_s=timeout_s)) as frames:
            yield frames

    @contextlib.contextmanager
    def translating_errors(self) -> Iterator[None]:
        """Turns connection errors into a message for the user. For commands that do not retry.

        Raises:
            RedisUnusable: the connection was lost, or Redis refuses writes.
        """
        try:
            yield
        except RETRYABLE as error:
            raise unreachable(self.url, error) from None

    def environment(self) -> dict[str, str]:
        """The address as environment variables of a service, because other users can read a command line."""
        values = {
            "MTMC_REDIS_URL": self.url,
            "MTMC_REDIS_PASSWORD": self.password,
            "MTMC_FRAMES_URL": self.frames_url,
        }
        return {name: value for name, value in values.items() if value}


def configured(url: str | None, site: SiteConfig | None, environment: Mapping[str, str]) -> RedisAddress | None:
    """The configured Redis: `url` (from --redis or MTMC_REDIS_URL), else that of the site file; None if neither."""
    secret = site.redis if site else None
    chosen = url or (secret.url.get_secret_value() if secret and secret.url else None)
    if chosen is None:
        return None
    return RedisAddress(chosen, _configured_password(site, environment), frames_address(site, environment))


def _configured_password(site: SiteConfig | None, environment: Mapping[str, str]) -> str | None:
    secret = site.redis.password if site else None
    return environment.get("MTMC_REDIS_PASSWORD") or (secret.get_secret_value() if secret else None)


def frames_address(site: SiteConfig | None, environment: Mapping[str, str]) -> str | None:
    """The URL of the second Redis, for pictures; None if none is configured."""
    configured = site.redis.frames_url if site else None
    return environment.get("MTMC_FRAMES_URL") or (configured.get_secret_value() if configured else None)


def find_redis(
    url: str | None, site: SiteConfig | None, site_file: Path | None, state: Path | None, environment: Mapping[str, str]
) -> RedisAddress:
    """The configured Redis, else the one that `mtmc up` started for this site file, else `DEFAULT_URL`."""
    named = configured(url, site, environment)
    if named is not None:
        return named
    if site is not None and site_file is not None:
        folder = state_folder(site_file, site.site, state, environment)
        last = folder.last_start()
        if last.redis_port is not None:
            password = folder.redis_password()
            redis = RedisServer(Path(), folder.redis, last.redis_port, password=password)
            pictures = None
            if last.pictures_port is not None:
                pictures = RedisServer(Path(), folder.pictures, last.pictures_port, password=password)
            return embedded_address(redis, pictures, site, environment)
    password = environment.get("MTMC_REDIS_PASSWORD") or None
    return RedisAddress(DEFAULT_URL, password, frames_address(site, environment))


def embedded_address(
    redis: RedisServer,
    pictures: RedisServer | None = None,
    site: SiteConfig | None = None,
    environment: Mapping[str, str] | None = None,
) -> RedisAddress:
    """How to reach the servers that `mtmc up` starts; `pictures` is not used if the site names another one."""
    frames = frames_address(site, environment or {})
    if frames is None or redis.password is None:
        own = pictures.url if pictures else None
        return RedisAddress(redis.url, redis.password, frames or own, embedded=True)
    # The server for pictures has its own password, or none.
    return RedisAddress(redis.url_with_password, _configured_password(site, environment or {}), frames, embedded=True)


def site_name(site: SiteConfig | None, name: str | None) -> str:
    """The name of the site.

    Raises:
        MtmcError: neither a file nor a name is given, or they disagree.
    """
    if site is not None:
        if name is not None and name != site.site:
            raise MtmcError(f"the site file is for '{site.site}', but --site (or MTMC_SITE) is '{name}'; omit one")
        return site.site
    if not name:
        raise MtmcError("no site given; give a site file, or --site NAME (or set MTMC_SITE)")
    return name
