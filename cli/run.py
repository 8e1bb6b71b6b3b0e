"""`mtmc run`: runs one service in this process."""

from __future__ import annotations

import importlib
import os
from enum import StrEnum
from typing import Annotated

import typer

from cli.options import LogLevel, LogLevelOption, MaybeSiteFile, RedisUrl, RootOption, SiteName


class ServiceName(StrEnum):
    """Values of the argument SERVICE."""

    CLOCK = "clock"
    CAMERA_WORKER = "camera-worker"
    AGGREGATOR = "aggregator"
    STREAMER = "streamer"
    NOTIFIER = "notifier"

    @property
    def module(self) -> str:
        """The module that has the service's `main(options)`."""
        return f"services.{self.value.replace('-', '_')}.__main__"


class LogFormat(StrEnum):
    """Values of `--log-format`."""

    TEXT = "text"
    JSON = "json"


def run(
    service: Annotated[ServiceName, typer.Argument(help="Service to run.", show_default=False)],
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    labels: Annotated[
        str,
        typer.Option(
            envvar="MTMC_WORKER_LABELS",
            metavar="A,B",
            help="camera-worker: labels of this worker. It runs a camera only if it has all labels of that camera.",
        ),
    ] = "",
    capacity: Annotated[
        int | None, typer.Option(min=1, max=1024, help="camera-worker: maximum number of cameras.")
    ] = None,
    threads: Annotated[
        int, typer.Option(min=0, max=256, help="camera-worker: CPU threads per model (0: all cores).")
    ] = 0,
    publish: Annotated[
        bool,
        typer.Option(help="Publish the site file first; otherwise only its site name is used.", show_default=True),
    ] = True,
    root: RootOption = None,
    host: Annotated[
        str | None, typer.Option(help="streamer: address to listen on.", show_default="streamer.host")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="streamer: port (0 picks a free port).", show_default="streamer.port"),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            envvar="MTMC_PUBLISHED",
            metavar="HOST",
            help="streamer: address at which others reach the page, if a container or proxy passes it on. Anywhere but "
            "on 127.0.0.1, the page needs a login.",
            show_default="the address to listen on",
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="MTMC_INSECURE",
            help="streamer: the page needs no login, wherever it is published. All who reach it may see and change "
            "everything.",
        ),
    ] = False,
    metrics_host: Annotated[
        str,
        typer.Option(
            envvar="MTMC_METRICS_HOST",
            metavar="HOST",
            help="Address to serve metrics on (0.0.0.0: all interfaces).",
        ),
    ] = "127.0.0.1",
    metrics_port: Annotated[
        int,
        typer.Option(
            min=-1,
            max=65535,
            envvar="MTMC_METRICS_PORT",
            help="Port of /metrics, /healthz and /readyz (0 picks a free port, which `mtmc status` shows; -1: off).",
        ),
    ] = 0,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="MTMC_LOG_FORMAT", case_sensitive=False, help="Format of log lines.")
    ] = LogFormat.TEXT,
) -> None:
    """Run one service in the foreground, for containers and additional hosts.

    With a site file, the site is published first if its content changed.
    With --site, the service waits until the site is published. Any number
    of each service may run, on any host.

    Further environment variables: MTMC_REDIS_PASSWORD, MTMC_FRAMES_URL (a
    second Redis for pictures), and MTMC_ENGINE_CACHE (folder for built
    TensorRT engines).

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

    stop = stop_on_signals()  # from here on, so that no signal is lost while modules are imported
    config = None
    if site_file:
        config = load_site(site_file, os.environ, root=root, check_files=False, note=print_note)
    name = site_name(config, site)
    address = find_redis(redis_url, config, site_file, None, os.environ)
    if config is not None and publish:
        configure_logging(service.value, log_level.value, json=log_format is LogFormat.JSON)
        if not publish_when_redis_answers(address, config, stop):
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
        published=published,
        insecure=insecure,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )
    importlib.import_module(service.module).main(options, stop)
