"""The start of every service process: options, logging, connection, the published site."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from redis.exceptions import AuthenticationError, NoPermissionError

from shared.errors import ConfigError, MtmcError, RedisUnusable, redact
from shared.key_repair import KeyRepair
from shared.logs import configure_logging
from shared.monitoring.http_server import OFF, serving
from shared.monitoring.monitor import Monitor
from shared.presence import Presence
from shared.redis_connection import RETRYABLE, Client, WritesRefused, check, connect
from shared.redis_permissions import require_permissions
from shared.service import Service, run
from shared.site import PublishedSite, read_revision, read_site

_log = structlog.get_logger()
_POLL_S = 0.5
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class ServiceOptions:
    """How one process finds its site, and the settings that belong to its host."""

    site: str
    redis_url: str = field(repr=False)
    redis_password: str | None = field(default=None, repr=False)
    frames_url: str | None = field(default=None, repr=False)
    """A second Redis for pictures; None: the same one."""
    log_level: str = "INFO"
    log_json: bool = False
    worker_labels: tuple[str, ...] = ()
    worker_capacity: int | None = None
    worker_threads: int = 0
    engine_cache: Path | None = None
    """The folder in which a worker caches TensorRT engines; None: they are built at every start."""
    port: int | None = None
    """Port of the streamer; None: as the site says."""
    host: str | None = None
    published: str | None = None
    """The address at which others reach the streamer; None: the one that it listens on."""
    insecure: bool = False
    """Whether the page needs no login wherever it is published."""
    metrics_port: int = OFF
    """Port of /metrics, /healthz and /readyz; 0 picks a free port."""
    metrics_host: str = "127.0.0.1"


@dataclass(frozen=True)
class Connected:
    """A process that has found its site."""

    client: Client
    frames: Client
    site: PublishedSite
    monitor: Monitor = field(default_factory=Monitor)

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()
        self.frames.close()


class RevisionWatch:
    """Notices that another usable revision of the site was published."""

    def __init__(self, connected: Connected) -> None:
        self._connected = connected
        self._replaced = False
        self._look_at = time.monotonic() + _LOOK_EVERY_S
        self._refused_revision: int | None = None

    def refuse(self, revision: int, reason: str) -> None:
        """Keeps the present revision, because this process cannot use `revision`; says so in `/readyz` and the log."""
        self._refused_revision = revision
        present = self._connected.site.revision
        _log.error("kept the present revision of the site", revision=present, refused=revision, reason=reason)
        self._connected.monitor.health.warn(
            f"it cannot use revision {revision} of the site, and keeps revision {present}: {reason}"
        )

    def is_replaced(self) -> bool:
        """Whether another revision was published that this version can read; checks Redis once a second at most.

        A site that was deleted or damaged is not replaced: the last good revision stays in force.

        Raises:
            RedisError: Redis is unreachable.
        """
        if not self._replaced and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY_S
            self._look()
        return self._replaced

    def _look(self) -> None:
        site, client = self._connected.site, self._connected.client
        revision = read_revision(client, site.keys)
        if revision == site.revision:
            if self._refused_revision is not None:
                self._refused_revision = None
                self._connected.monitor.health.warn(None)
            return
        if revision in (0, self._refused_revision):
            return
        try:
            newer = read_site(client, site.config.site)
        except ConfigError as error:
            self.refuse(revision, str(error))
            return
        self._replaced = newer is not None and newer.revision != site.revision


def connect_site(
    options: ServiceOptions, stop: threading.Event, monitor: Monitor | None = None, *, has_run: bool = False
) -> Connected | None:
    """Connects and waits until the site is published; None if `stop` was set meanwhile.

    A Redis that does not answer yet is waited for, and so is a published site that this version can read. `monitor`
    reports the reason for waiting. `has_run`: the service ran with this Redis before, so it also waits until Redis can
    be used again, for example with the password that it had.

    Raises:
        RedisUnusable: Redis answers, but cannot be used as it is set up.
    """
    client = connect(options.redis_url, options.redis_password)
    frames = connect(options.frames_url, options.redis_password) if options.frames_url else client
    monitor = monitor or Monitor()
    logged = ""
    while not stop.is_set():
        try:
            # `check` raises the first two with a better message; while Redis refuses writes, it can be read.
            with contextlib.suppress(AuthenticationError, NoPermissionError, WritesRefused):
                client.ping()
            check(client, options.redis_url)
            require_permissions(client, options.redis_url)
            site = read_site(client, options.site)
        except RETRYABLE as error:
            site, reason = None, f"Redis does not answer yet: {error}"
        except RedisUnusable as error:
            if not error.transient and not has_run:
                raise
            site, reason = None, str(error)
        except ConfigError as error:
            site, reason = None, str(error)
        else:
            reason = "the site is not published yet; run `mtmc up` or `mtmc config publish`"
        if site is not None:
            monitor.health.waiting("it is starting")
            return Connected(client, frames, site, monitor)
        monitor.health.waiting(f"it waits: {redact(reason)}")
        if reason != logged:
            _log.warning("waiting", site=options.site, reason=reason)
            logged = reason
        stop.wait(_POLL_S)
    return None


def serve(
    name: str,
    options: ServiceOptions,
    make: Callable[[Connected, ServiceOptions], Service],
    stop: threading.Event,
) -> None:
    """Runs one service in this process until `stop` is set; restarts it when the site is published again.

    If the service cannot start with a later revision, it goes on with the one before, and says so.

    Raises:
        MtmcError: something that the user must fix, before the service has started for the first time.
    """
    configure_logging(name, options.log_level, json=options.log_json)
    monitor, started_at = Monitor(name, options.site), time.monotonic()
    with serving(monitor, options.metrics_host, options.metrics_port) as address:
        good: PublishedSite | None = None
        while (connected := connect_site(options, stop, monitor, has_run=good is not None)) is not None:
            with contextlib.closing(
                Presence(connected.client, connected.site.keys, name, monitor.health, address, started_at)
            ):
                monitor.health.warn(None)
                made = _make(make, connected, options, good)
                if made is None:
                    connected.close()
                    monitor.forget_service_metrics()
                    monitor.health.waiting("it waits: Redis does not answer")
                    stop.wait(_POLL_S)
                    continue
                service, connected, published = made
                good = connected.site
                repair = KeyRepair(connected.client, connected.site.keys).look
                if not run(service, stop, published.is_replaced, monitor, repair):
                    break
            _log.info("the site was published again, restarting with it", revision_before=connected.site.revision)
            connected.close()
            monitor.start_over()
    _log.info("stopped")


def _make(
    make: Callable[[Connected, ServiceOptions], Service],
    connected: Connected,
    options: ServiceOptions,
    good: PublishedSite | None,
) -> tuple[Service, Connected, RevisionWatch] | None:
    """The service, with the revision `good` if it cannot start with the published one; None: Redis does not answer.

    Raises:
        MtmcError: it cannot start, and there is no `good` revision.
    """
    try:
        return make(connected, options), connected, RevisionWatch(connected)
    except RETRYABLE as error:
        _log.warning("Redis is unreachable, retrying until it is back", reason=str(error))
        return None
    except MtmcError as error:
        if good is None or good.revision == connected.site.revision:
            raise
        connected.monitor.forget_service_metrics()
        before = replace(connected, site=good)
        published = RevisionWatch(before)
        published.refuse(connected.site.revision, str(error))
        try:
            return make(before, options), before, published
        except RETRYABLE as problem:
            _log.warning("Redis is unreachable, retrying until it is back", reason=str(problem))
            return None
