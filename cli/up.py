"""`mtmc up`: a whole site on one machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.address import RedisAddress, configured
from cli.foreground import Foreground
from cli.publishing import publish
from cli.site_checks import SiteChecks
from cli.site_file import as_written, load_site
from cli.state import Facts, StateFolder, state_folder
from cli.supervision import Program, Supervisor, stop_leftover
from shared.config import SiteConfig
from shared.errors import ConfigError, MtmcError
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, connect
from shared.redis_server import RedisServer, any_free_port, choose_port, find_binary, is_free
from shared.service import stop_on_signals
from shared.site import restart_recordings

REDIS = "redis"
PICTURES = "redis-pictures"
_REDIS_START_SECONDS = 60.0
_PATIENCE_SECONDS = 1.0
"""With a Redis that hangs: Ctrl-C is looked at no later than that."""
_ROOT = Path(__file__).resolve().parent.parent


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
        address, servers = redis_for(site, options, state, environment)
        check_files(options.site_file, site, environment)
        ports = {name: server.port for name, server in servers.items()}
        state.remember(Facts(ports.get(REDIS), str(state.supervisor_socket), ports.get(PICTURES)))
        services = site_programs(site, options, port, environment)
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


def check_files(site_file: Path, site: SiteConfig, environment: Mapping[str, str]) -> None:
    """Opens the models and masks, before any process has to fail with them. A bad recording stops only its camera.

    Raises:
        ConfigError: with every problem.
    """
    checks = SiteChecks(site_file, site, environment)
    problems = [*checks.models(), *checks.masks()]
    if problems:
        raise ConfigError(as_written(site_file, problems))


def page_port(site: SiteConfig, chosen: int | None) -> int:
    """The port of the page, known to be free; 0 becomes a free one.

    Raises:
        MtmcError: it is taken, or not ours to take.
    """
    port = site.streamer.port if chosen is None else chosen
    host = site.streamer.host
    try:
        if port == 0:
            return any_free_port(host)
        free = is_free(port, host)
    except PermissionError:
        raise MtmcError(
            f"port {port} may not be opened by this user; give one above 1023 with --port (0: any free one)"
        ) from None
    except OSError as error:
        raise MtmcError(f"streamer.host = {host}: this machine cannot listen there ({error.strerror})") from None
    if not free:
        raise MtmcError(f"port {port} is taken by another program; give another with --port (0: any free one)")
    return port


def redis_for(
    site: SiteConfig, options: UpOptions, state: StateFolder, environment: Mapping[str, str]
) -> tuple[RedisAddress, dict[str, RedisServer]]:
    """The Redis that somebody named, or servers of our own: one with a log, and one without for pictures.

    Raises:
        RedisUnusable: no server can be had, or the named one is not fit for use.
    """
    named = configured(options.redis_url, site, environment)
    if named is not None:
        named.open().close()
        return named, {}
    binary = find_binary()
    servers = {REDIS: RedisServer(binary, state.redis, choose_port(state.remembered().redis_port))}
    frames_url = site.redis.frames_url.get_secret_value() if site.redis.frames_url else None
    if frames_url is None:
        servers[PICTURES] = RedisServer(binary, state.pictures, any_free_port(), persistent=False)
        frames_url = servers[PICTURES].url
    for server in servers.values():
        server.write_settings()
    return RedisAddress(servers[REDIS].url, frames_url=frames_url, embedded=True), servers


def site_programs(site: SiteConfig, options: UpOptions, port: int, environment: Mapping[str, str]) -> list[Program]:
    """The services, in the order in which they are started."""
    gpus = site.worker.gpus
    count = options.workers or max(1, min(len(gpus), len(site.cameras)))
    threads = site.worker.threads or max(1, usable_cores() // count)
    run = (sys.executable, "-m", "cli", "run")
    common = ("--site", site.site, "--log-level", options.log_level)
    arguments: dict[str, tuple[str, ...]] = {
        "clock": ("clock",),
        "aggregator": ("aggregator",),
        "streamer": ("streamer", "--port", str(port)),
    }
    programs = [Program(name, (*run, *words, *common)) for name, words in arguments.items()]
    for i in range(count):
        words = ("camera-worker", "--threads", str(threads))
        sees = ("env", f"CUDA_VISIBLE_DEVICES={visible_gpu(gpus[i % len(gpus)], environment)}") if gpus else ()
        programs.append(Program(f"camera-worker-{i + 1}", (*sees, *run, *words, *common)))
    return programs


def visible_gpu(number: int, environment: Mapping[str, str]) -> str:
    """What a worker is to see of the GPUs that this process sees: the one with `number`, or none if it is not there."""
    ours = environment.get("CUDA_VISIBLE_DEVICES")
    if ours is None:
        return str(number)
    seen = [name.strip() for name in ours.split(",") if name.strip()]
    return seen[number] if number < len(seen) else ""


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def child_environment(address: RedisAddress, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process: ours, the addresses, and where the `cli` package lies."""
    inherited = {name: value for name, value in environment.items() if not name.startswith("MTMC_REDIS_")}
    inherited.pop("MTMC_SITE", None)
    inherited.pop("MTMC_FRAMES_URL", None)
    path = os.pathsep.join(filter(None, [str(_ROOT), environment.get("PYTHONPATH", "")]))
    return {**inherited, **address.environment(), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def wait_for_redis(address: RedisAddress, supervisor: Supervisor, state: StateFolder, stop: threading.Event) -> None:
    """Until the embedded server answers, and is the one that was started.

    Raises:
        MtmcError: it does not start; the message holds its last words.
    """
    client = address.connect()
    deadline = time.monotonic() + _REDIS_START_SECONDS
    try:
        while not stop.is_set():
            info = supervisor.processes().get(REDIS)
            try:
                if info and info.pid and info.pid == client.info("server")["process_id"]:
                    client.ping()  # refused while the log is still being read
                    return
            except RETRYABLE:
                pass
            if (info and info.state in ("EXITED", "FATAL")) or time.monotonic() > deadline:
                log = state.log(REDIS)
                words = log.read_text(errors="replace").strip().splitlines()[-3:] if log.is_file() else []
                raise MtmcError(f"the embedded Redis does not start: {' | '.join(words)} (log: {log})")
            stop.wait(0.05)
    finally:
        client.close()
