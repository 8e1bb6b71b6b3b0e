"""`mtmc up`: runs a whole site on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.options import LogLevel, LogLevelOption, RedisUrl, RootOption, SiteFile, StateOption
from shared.errors import redact
from shared.lasting_output import lasting

_REDIS_TIMEOUT_S = 1.0
"""Bounds how long Ctrl-C takes while Redis hangs."""


def up(
    site_file: SiteFile,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Camera workers on this machine.", show_default="1, or one for each GPU"),
    ] = None,
    redis_url: RedisUrl = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the page (0 picks a free port).", show_default="streamer.port"),
    ] = None,
    metrics_port: Annotated[
        int,
        typer.Option(
            min=-1,
            max=65000,
            help="Port of /metrics, /healthz and /readyz of the first process; the others count up from it (0 picks "
            "free ports, which `mtmc status` shows; -1: off).",
        ),
    ] = 0,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="MTMC_INSECURE",
            help="The page needs no login, even if streamer.host makes it reachable from elsewhere.",
        ),
    ] = False,
    state: StateOption = None,
    root: RootOption = None,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Run a whole site on this machine, until Ctrl-C.

    Starts its own Redis unless the site file or --redis names one. Restarts
    processes that die. Prints when the state of a camera or process changes.

    Example:  mtmc up site.yaml --workers 2 --port 8081
    """
    raise typer.Exit(
        run_until_stopped(
            site_file,
            os.environ,
            Console(file=lasting(sys.stdout), highlight=False),
            workers=workers,
            redis_url=redis_url,
            port=port,
            metrics_port=metrics_port,
            insecure=insecure,
            state_path=state,
            log_level=log_level.value,
            root=root,
        )
    )


def run_until_stopped(
    site_file: Path,
    environment: Mapping[str, str],
    console: Console,
    *,
    workers: int | None = None,
    redis_url: str | None = None,
    port: int | None = None,
    metrics_port: int = 0,
    insecure: bool = False,
    state_path: Path | None = None,
    log_level: str = "INFO",
    root: Path | None = None,
) -> int:
    """Runs the site until a signal arrives; returns the exit code.

    Raises:
        MtmcError: the site file, Redis, a port or the state folder is unusable.
    """
    from cli.console import print_note
    from cli.foreground import Foreground
    from launcher.programs import child_environment, page_port, site_programs
    from launcher.publishing import publish
    from launcher.redis_servers import PICTURES, REDIS, redis_for, wait_for_redis
    from launcher.site_file import load_site
    from launcher.state_folder import LastStart, state_folder
    from launcher.supervision import Program, Supervisor, stop_leftover
    from shared.addresses import is_local_page
    from shared.keys import Keys
    from shared.redis_connection import connect
    from shared.service import stop_on_signals
    from shared.site import read_site, restart_files
    from shared.site_copy import SiteCopy
    from shared.site_state.reading import StateReader
    from site_checks.files import require_usable_files

    stop = stop_on_signals()
    signal.signal(signal.SIGHUP, lambda *_: stop.set())
    site = load_site(site_file, environment, root=root, note=print_note)
    state = state_folder(site_file, site.site, state_path, environment)
    state.prepare()
    with state.reporting_full_disk(), state.lock():
        if leftover := state.last_start().supervisor_socket:
            stop_leftover(Path(leftover))
        port = page_port(site, port)
        address, servers = redis_for(site, redis_url, state, environment)
        require_usable_files(site_file, site, environment)
        ports = {name: server.port for name, server in servers.items()}
        state.save_last_start(LastStart(ports.get(REDIS), str(state.supervisor_socket), ports.get(PICTURES)))
        services = site_programs(
            site,
            port,
            environment,
            workers=workers,
            log_level=log_level,
            metrics_port=metrics_port,
            insecure=insecure,
        )
        redis = [Program(name, server.command, service=False) for name, server in servers.items()]
        supervisor = Supervisor(state, [*redis, *services], child_environment(address, environment))
        with supervisor.running():
            if servers:
                supervisor.start(list(servers))
                wait_for_redis(address, supervisor, state, stop)
            if stop.is_set():
                return 0
            with address.translating_errors(), contextlib.closing(address.open()) as client:
                note = publish(client, site).note
                restart_files(client, Keys(site.site))
                published = read_site(client, site.site)
                assert published is not None
            client = connect(address.url, address.password, timeout_s=_REDIS_TIMEOUT_S)
            try:
                if note:
                    console.print(note, style="yellow", markup=False, soft_wrap=True)
                supervisor.start([program.name for program in services])
                words = _site_words(site_file, redis_url, state_path, environment)
                with address.pictures(client, timeout_s=_REDIS_TIMEOUT_S) as frames:
                    reader, site_copy = StateReader(client, frames, published), SiteCopy(client, published)
                    foreground = Foreground(
                        console, site, address, state, supervisor, client, reader, site_copy, port, words
                    )
                    foreground.needs_login = not insecure and not is_local_page(
                        environment.get("MTMC_PUBLISHED") or site.streamer.host, site.streamer.hosts
                    )
                    return foreground.follow([program.name for program in (*redis, *services)], stop)
            finally:
                client.close()
                console.print("stopping …")


def _site_words(
    site_file: Path, redis_url: str | None, state_path: Path | None, environment: Mapping[str, str]
) -> list[str]:
    """The words with which another command finds this site, in a shell with the same environment."""
    words = ["--state", str(state_path)] if state_path and environment.get("MTMC_STATE") != str(state_path) else []
    if redis_url and environment.get("MTMC_REDIS_URL") != redis_url:
        words += ["--redis", redact(redis_url)]
    return [*words, str(site_file)]
