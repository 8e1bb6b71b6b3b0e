"""`mtmc run`: one service in this process."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from redis.exceptions import AuthenticationError

from cli.service_names import ServiceName
from launcher.address import RedisAddress, find_redis, site_name
from launcher.publishing import publish
from launcher.site_file import load_site
from shared.config import SiteConfig
from shared.logs import configure_logging
from shared.process import ServiceOptions
from shared.redis_connection import RETRYABLE, Client, check
from shared.service import stop_on_signals

_log = structlog.get_logger()
_RETRY_S = 0.5


@dataclass(frozen=True)
class RunOptions:
    """What the command line and its environment variables say."""

    service: ServiceName
    site_file: Path | None = None
    site: str | None = None
    redis_url: str | None = None
    log_level: str = "INFO"
    log_json: bool = False
    labels: str = ""
    """Separated by commas or blanks."""
    capacity: int | None = None
    threads: int = 0
    host: str | None = None
    port: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    root: Path | None = None
    publish: bool = True
    """Whether the site file is published; else only the site's name is read from it."""


def run(options: RunOptions, environment: Mapping[str, str]) -> None:
    """Runs the service until a signal comes.

    Raises:
        MtmcError: the user must mend something.
    """
    site = None
    if options.site_file:
        site = load_site(options.site_file, environment, root=options.root, check_files=False, tell=True)
    name = site_name(site, options.site)
    address = find_redis(options.redis_url, site, options.site_file, None, environment)
    if site is not None and options.publish and not _published(site, address, options):
        return
    importlib.import_module(options.service.module).main(service_options(options, name, address))


def service_options(options: RunOptions, site: str, address: RedisAddress) -> ServiceOptions:
    """What the service is told."""
    return ServiceOptions(
        site=site,
        redis_url=address.url,
        redis_password=address.password,
        frames_url=address.frames_url,
        log_level=options.log_level,
        log_json=options.log_json,
        worker_labels=tuple(options.labels.replace(",", " ").split()),
        worker_capacity=options.capacity,
        worker_threads=options.threads,
        port=options.port,
        host=options.host,
        metrics_port=options.metrics_port,
        metrics_host=options.metrics_host,
    )


def _published(site: SiteConfig, address: RedisAddress, options: RunOptions) -> bool:
    """Publishes the site as soon as Redis answers; False when a signal came first."""
    configure_logging(options.service.value, options.log_level, json=options.log_json)
    stop = stop_on_signals()
    client = address.connect()
    told = False
    try:
        while not stop.is_set():
            reason = _publish_once(client, site, address)
            if reason is None:
                return True
            if not told:
                _log.warning("waiting", site=site.site, reason=reason)
                told = True
            stop.wait(_RETRY_S)
        return False
    finally:
        client.close()


def _publish_once(client: Client, site: SiteConfig, address: RedisAddress) -> str | None:
    """None when it is done, else why Redis cannot be written yet."""
    try:
        with contextlib.suppress(AuthenticationError):  # `check` says it better
            client.ping()
        check(client, address.url)
        published = publish(client, site)
    except RETRYABLE as error:
        return f"no Redis yet: {error}"
    _log.info("the site is published", site=site.site, revision=published.revision)
    if published.note:
        _log.warning(published.note, site=site.site)
    return None
