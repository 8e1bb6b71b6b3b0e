"""What every service process does before its loop: options, logging, connection, the published site."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from redis.exceptions import AuthenticationError

from shared.errors import redact
from shared.logs import configure_logging
from shared.monitoring.http_server import OFF, serving
from shared.monitoring.monitor import Monitor
from shared.presence import Presence
from shared.redis_connection import RETRYABLE, Client, check, connect
from shared.service import Service, run, stop_on_signals
from shared.site import PublishedSite, read_revision, read_site

_log = structlog.get_logger()
_POLL_S = 0.5
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class ServiceOptions:
    """How one process finds its site, and what belongs to its host only."""

    site: str
    redis_url: str = field(repr=False)
    redis_password: str | None = field(default=None, repr=False)
    frames_url: str | None = field(default=None, repr=False)
    """A second Redis for pictures; None: the same."""
    log_level: str = "INFO"
    log_json: bool = False
    worker_labels: tuple[str, ...] = ()
    worker_capacity: int | None = None
    worker_threads: int = 0
    engine_cache: Path | None = None
    """The folder that keeps a worker's TensorRT engines; None: they are built at every start."""
    port: int | None = None
    """Of the streamer, in place of the site's."""
    host: str | None = None
    metrics_port: int = OFF
    """Of /metrics, /healthz and /readyz; 0: any free one."""
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
    """The site as it was read, against the one that stands in Redis now."""

    def __init__(self, connected: Connected) -> None:
        self._connected = connected
        self._replaced = False
        self._look_at = time.monotonic() + _LOOK_EVERY_S

    def is_replaced(self) -> bool:
        """Whether another revision was published, or everything deleted; Redis is asked once a second.

        Raises:
            RedisError: Redis is away.
        """
        if not self._replaced and time.monotonic() >= self._look_at:
            self._replaced = read_revision(self._connected.client, self._connected.site.keys) != (
                self._connected.site.revision
            )
            self._look_at = time.monotonic() + _LOOK_EVERY_S
        return self._replaced


def connect_site(options: ServiceOptions, stop: threading.Event, monitor: Monitor | None = None) -> Connected | None:
    """Connects and waits until the site is published; None when `stop` was set meanwhile.

    `monitor` reports what is waited for.

    Raises:
        RedisUnusable: Redis answers, but is not fit for use. One that does not answer yet is waited for.
        ConfigError: the published site is not understood.
    """
    client = connect(options.redis_url, options.redis_password)
    frames = connect(options.frames_url, options.redis_password) if options.frames_url else client
    monitor = monitor or Monitor()
    told = False
    while not stop.is_set():
        try:
            with contextlib.suppress(AuthenticationError):  # `check` says it better
                client.ping()
            check(client, options.redis_url)
            site = read_site(client, options.site)
        except RETRYABLE as error:
            site, reason = None, f"no Redis yet: {error}"
        else:
            reason = "nobody has published the site yet; `mtmc up` or `mtmc config publish` does"
        if site is not None:
            monitor.health.waiting("it is starting")
            return Connected(client, frames, site, monitor)
        monitor.health.waiting(f"it waits: {redact(reason)}")
        if not told:
            _log.warning("waiting", site=options.site, reason=reason)
            told = True
        stop.wait(_POLL_S)
    return None


def serve(name: str, options: ServiceOptions, make: Callable[[Connected, ServiceOptions], Service]) -> None:
    """Runs one service in this process until a signal stops it; starts over when the site is published anew.

    Raises:
        MtmcError: the user must mend something.
    """
    configure_logging(name, options.log_level, json=options.log_json)
    stop, monitor, started_at = stop_on_signals(), Monitor(name, options.site), time.monotonic()
    with serving(monitor, options.metrics_host, options.metrics_port) as address:
        while (connected := connect_site(options, stop, monitor)) is not None:
            with contextlib.closing(
                Presence(connected.client, connected.site.keys, name, monitor.health, address, started_at)
            ):
                service, published = make(connected, options), RevisionWatch(connected)
                if not run(service, stop, published.is_replaced, monitor):
                    break
            _log.info("the site was published anew, starting over with it", revision_before=connected.site.revision)
            connected.close()
            monitor.start_over()
    _log.info("stopped")
