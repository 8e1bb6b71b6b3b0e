"""`mtmc up`: a whole site on one machine."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.foreground import Foreground
from launcher.programs import child_environment, page_port, site_programs
from launcher.publishing import publish
from launcher.redis_servers import PICTURES, REDIS, redis_for, wait_for_redis
from launcher.site_file import load_site
from launcher.state_folder import Facts, StateFolder, state_folder
from launcher.supervision import Program, Supervisor, stop_leftover
from shared.keys import Keys
from shared.redis_connection import connect
from shared.service import stop_on_signals
from shared.site import restart_recordings
from site_checks.files import check_files

_PATIENCE_SECONDS = 1.0
"""With a Redis that hangs: Ctrl-C is looked at no later than that."""


@dataclass(frozen=True)
class UpOptions:
    """What the command line says; the site file says the rest."""

    site_file: Path
    workers: int | None = None
    """None: one, or one for each GPU that the site names."""
    redis_url: str | None = None
    port: int | None = None
    state: Path | None = None
    log_level: str = "INFO"
    root: Path | None = None
    metrics_port: int = 0
    """Of the first process, counting up from there; 0: any free ones, -1: none."""


def up(options: UpOptions, environment: Mapping[str, str], console: Console) -> int:
    """Runs the site until a signal comes; the exit code.

    Raises:
        MtmcError: the user must mend something.
    """
    stop = stop_on_signals()
    signal.signal(signal.SIGHUP, lambda *_: stop.set())
    site = load_site(options.site_file, environment, root=options.root, tell=True)
    state = state_folder(options.site_file, site.site, options.state, environment)
    state.prepare()
    with state.full_disk_in_words(), state.lock():
        leave_nothing_behind(state)
        port = page_port(site, options.port)
        address, servers = redis_for(site, options.redis_url, state, environment)
        check_files(options.site_file, site, environment)
        ports = {name: server.port for name, server in servers.items()}
        state.remember(Facts(ports.get(REDIS), str(state.supervisor_socket), ports.get(PICTURES)))
        services = site_programs(
            site,
            port,
            environment,
            workers=options.workers,
            log_level=options.log_level,
            metrics_port=options.metrics_port,
        )
        redis = [Program(name, server.command, service=False) for name, server in servers.items()]
        supervisor = Supervisor(state, [*redis, *services], child_environment(address, environment))
        with supervisor.running():
            if servers:
                supervisor.start(list(servers))
                wait_for_redis(address, supervisor, state, stop)
            if stop.is_set():
                return 0
            with address.in_words(), contextlib.closing(address.open()) as client:
                note = publish(client, site).note
                restart_recordings(client, Keys(site.site))
            client = connect(address.url, address.password, timeout_s=_PATIENCE_SECONDS)
            try:
                if note:
                    console.print(note, style="yellow", markup=False, soft_wrap=True)
                supervisor.start([program.name for program in services])
                chosen = ["--state", str(options.state)] if options.state else []
                look = shlex.join(["mtmc", "status", str(options.site_file), *chosen])
                foreground = Foreground(console, site, address, state, supervisor, client, port, look)
                return foreground.follow([program.name for program in (*redis, *services)], stop)
            finally:
                client.close()
                console.print("stopping …")


def leave_nothing_behind(state: StateFolder) -> None:
    """Stops what an earlier `mtmc up` of this folder may have left running."""
    remembered = state.remembered().supervisor_socket
    if remembered:
        stop_leftover(Path(remembered))
