"""The processes of a site on this machine: their command lines, environment and ports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from launcher.address import RedisAddress
from launcher.supervision import Program
from shared.config import SiteConfig
from shared.errors import MtmcError
from shared.monitoring.http_server import OFF
from shared.redis_server import any_free_port, is_free

_ROOT = Path(__file__).resolve().parent.parent


def page_port(site: SiteConfig, chosen: int | None) -> int:
    """The port of the page, checked to be free: `chosen`, else that of the site; 0 picks a free port.

    Raises:
        MtmcError: the port is in use or not permitted, or the address is not one of this machine.
    """
    port = site.streamer.port if chosen is None else chosen
    host = site.streamer.host
    try:
        if port == 0:
            return any_free_port(host)
        free = is_free(port, host)
    except PermissionError:
        raise MtmcError(
            f"this user may not open port {port}; use one above 1023 with --port (0 picks a free port)"
        ) from None
    except OSError as error:
        raise MtmcError(
            f"streamer.host = {host}: cannot listen on this address ({error.strerror}); use an address of this machine"
        ) from None
    if not free:
        raise MtmcError(f"port {port} is in use by another program; choose one with --port (0 picks a free port)")
    return port


def site_programs(
    site: SiteConfig,
    port: int,
    environment: Mapping[str, str],
    *,
    workers: int | None = None,
    log_level: str = "INFO",
    metrics_port: int = OFF,
    insecure: bool = False,
) -> list[Program]:
    """The services, in start order.

    `port` is that of the page. `workers` is the number of camera workers; None: one, or one for each GPU that the
    site names. `metrics_port` is that of the first service, and the others count up from it; with 0 each service picks
    a free port, `OFF` serves no metrics. `insecure`: the page needs no login, wherever it is published.
    """
    gpus = site.worker.gpus
    count = workers or max(1, min(len(gpus), len(site.cameras) or len(gpus)))
    threads = site.worker.threads or max(1, usable_cores() // count)
    run = (sys.executable, "-m", "cli", "run")
    common = ("--site", site.site, "--log-level", log_level)
    arguments: dict[str, tuple[str, ...]] = {
        "clock": ("clock",),
        "aggregator": ("aggregator",),
        "streamer": ("streamer", "--port", str(port), *(("--insecure",) if insecure else ())),
    }
    if site.notifications.wanted:
        arguments["notifier"] = ("notifier",)
    commands = {name: (*run, *words) for name, words in arguments.items()}
    for i in range(count):
        words = ("camera-worker", "--threads", str(threads))
        sees = ("env", f"CUDA_VISIBLE_DEVICES={visible_gpu(gpus[i % len(gpus)], environment)}") if gpus else ()
        commands[f"camera-worker-{i + 1}"] = (*sees, *run, *words)
    return [
        Program(
            name, (*command, "--metrics-port", str(metrics_port + i if metrics_port > 0 else metrics_port), *common)
        )
        for i, (name, command) in enumerate(commands.items())
    ]


def visible_gpu(number: int, environment: Mapping[str, str]) -> str:
    """CUDA_VISIBLE_DEVICES for a worker: the GPU with `number` among those this process sees, or "" if none has it."""
    ours = environment.get("CUDA_VISIBLE_DEVICES")
    if ours is None:
        return str(number)
    seen = [name.strip() for name in ours.split(",") if name.strip()]
    return seen[number] if number < len(seen) else ""


def usable_cores() -> int:
    """The number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def child_environment(address: RedisAddress, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process: ours, the addresses of Redis, and the path of the `cli` package."""
    inherited = {name: value for name, value in environment.items() if not name.startswith("MTMC_REDIS_")}
    inherited.pop("MTMC_SITE", None)
    inherited.pop("MTMC_FRAMES_URL", None)
    path = os.pathsep.join(filter(None, [str(_ROOT), environment.get("PYTHONPATH", "")]))
    return {**inherited, **address.environment(), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
