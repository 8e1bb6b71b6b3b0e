"""`mtmc run`: one service in this process."""

from __future__ import annotations

import importlib
import os
from enum import StrEnum
from typing import Annotated

import typer

from cli.options import LogLevel, LogLevelOption, MaybeSiteFile, RedisUrl, RootOption, SiteName


class ServiceName(StrEnum):
    """A service, as named on the command line."""

    CLOCK = "clock"
    CAMERA_WORKER = "camera-worker"
    AGGREGATOR = "aggregator"
    STREAMER = "streamer"

    @property
    def module(self) -> str:
        """The module with the service's `main(options)`."""
        return f"services.{self.value.replace('-', '_')}.__main__"


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


def run(
    service: Annotated[ServiceName, typer.Argument(help="Which service.", show_default=False)],
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    labels: Annotated[
        str, typer.Option(envvar="MTMC_WORKER_LABELS", metavar="A,B", help="camera-worker: what it can reach.")
    ] = "",
    capacity: Annotated[int | None, typer.Option(min=1, max=1024, help="camera-worker: cameras at most.")] = None,
    threads: Annotated[int, typer.Option(min=0, max=256, help="camera-worker: of a network; 0: all cores.")] = 0,
    publish: Annotated[
        bool, typer.Option(help="Publish the site file; else only its site's name is used.", show_default=True)
    ] = True,
    root: RootOption = None,
    host: Annotated[str | None, typer.Option(help="streamer: address to listen at.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="streamer: port.")] = None,
    metrics_host: Annotated[
        str,
        typer.Option(
            envvar="MTMC_METRICS_HOST",
            metavar="HOST",
            help="Address of --metrics-port; 0.0.0.0: all of this machine's.",
        ),
    ] = "127.0.0.1",
    metrics_port: Annotated[
        int,
        typer.Option(
            min=-1,
            max=65535,
            envvar="MTMC_METRICS_PORT",
            help="Of /metrics, /healthz and /readyz; 0: any free port, which status shows; -1: none.",
        ),
    ] = 0,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: Annotated[LogFormat, typer.Option(envvar="MTMC_LOG_FORMAT", case_sensitive=False)] = LogFormat.TEXT,
) -> None:
    """Run one service in the foreground, as containers do.

    With a site file the site is published first, if its content changed; with --site it waits until somebody has
    published it. Any number of each service may run, on any host. Also read from the environment:
    MTMC_REDIS_PASSWORD, MTMC_FRAMES_URL (a second Redis for pictures), and MTMC_ENGINE_CACHE (the folder that keeps
    TensorRT's engines).

    Example:  MTMC_REDIS_URL=redis://redis:6379 mtmc run camera-worker --site campus --labels gpu
    """
    from cli.console import print_note
    from launcher.address import find_redis, site_name
    from launcher.publishing import publish_when_redis_answers
    from launcher.site_file import load_site
    from shared.cache_folders import engine_cache
    from shared.logs import configure_logging
    from shared.process import ServiceOptions
    from shared.service import stop_on_signals

    config = None
    if site_file:
        config = load_site(site_file, os.environ, root=root, check_files=False, note=print_note)
    name = site_name(config, site)
    address = find_redis(redis_url, config, site_file, None, os.environ)
    if config is not None and publish:
        configure_logging(service.value, log_level.value, json=log_format is LogFormat.JSON)
        if not publish_when_redis_answers(address, config, stop_on_signals()):
            return
    options = ServiceOptions(
        site=name,
        redis_url=address.url,
        redis_password=address.password,
        frames_url=address.frames_url,
        log_level=log_level.value,
        log_json=log_format is LogFormat.JSON,
        worker_labels=tuple(labels.replace(",", " ").split()),
        worker_capacity=capacity,
        worker_threads=threads,
        engine_cache=engine_cache(os.environ),
        port=port,
        host=host,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )
    importlib.import_module(service.module).main(options)
