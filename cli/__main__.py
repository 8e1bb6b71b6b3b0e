"""The `mtmc` command line: what can be typed, and its help. Groups of commands have modules of their own.

What is done stands in other modules, which are imported only when their command runs, so that help comes at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import (
    camera_commands,
    config_commands,
    evaluate_command,
    inspect_commands,
    model_commands,
    mot_commands,
    recording_commands,
)
from cli.options import Level, MaybeSiteFile, RedisUrl, RootOption, SiteFile, SiteName, StateOption
from cli.service_names import LogFormat, LogLevel, ServiceName

app = typer.Typer(
    name="mtmc",
    epilog="Start with:  mtmc demo  or, with cameras of your own,  mtmc doctor site.yaml  and  mtmc up site.yaml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(camera_commands.app, name="cameras", help="Change the cameras of a running site.")
app.add_typer(inspect_commands.app, name="inspect", help="Look at what stands in Redis.")
app.add_typer(
    model_commands.app, name="models", help="Fetch, check and time the networks that find and describe objects."
)
app.add_typer(config_commands.app, name="config", help="Check, describe and publish site files.")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("mtmc")
        except PackageNotFoundError:
            number = "0 (run from a checkout that is not installed)"
        typer.echo(f"mtmc {number}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Live multi-camera tracking: one global id for every vehicle or person, across all cameras.

    Exit codes: 0 all is well, 1 it failed while running, 2 something must be mended (the message says what).
    """


@app.command()
def up(
    site_file: SiteFile,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Camera workers on this machine.", show_default="1, or one for each GPU"),
    ] = None,
    redis_url: RedisUrl = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of the page; 0: any free one.", show_default="streamer.port")
    ] = None,
    metrics_port: Annotated[
        int,
        typer.Option(
            min=-1,
            max=65000,
            help="Of /metrics, /healthz and /readyz of the processes, counting up from this one; 0: any free ports, "
            "which status shows; -1: none.",
        ),
    ] = 0,
    state: StateOption = None,
    root: RootOption = None,
    log_level: Level = LogLevel.INFO,
) -> None:
    """Run a whole site on this machine, until Ctrl-C.

    Starts a Redis of its own when none is named, keeps every process running, and says what happens.

    Example:  mtmc up site.yaml --workers 2 --port 8081
    """
    from cli.up import UpOptions
    from cli.up import up as run_up

    chosen = UpOptions(site_file, workers, redis_url, port, state, log_level.value, root, metrics_port)
    raise typer.Exit(run_up(chosen, os.environ, Console(highlight=False)))


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Another number gives another site.")] = 1,
    seconds: Annotated[float, typer.Option(help="Length of the recordings, which start over at their end.")] = 120.0,
    cameras: Annotated[
        str | None, typer.Option(metavar="A,B", help="Names of some of the cameras.", show_default="all six")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Camera workers on this machine.", show_default="1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of the page; 0: any free one.", show_default="8080")
    ] = None,
    cache: Annotated[Path, typer.Option(metavar="DIR", help="Where rendered sites are kept.")] = Path(".mtmc"),
    models: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Holds demo_detector.onnx and demo_embedder.onnx.", show_default="the shipped"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Render into this folder, and run nothing. A site rendered there before is replaced.",
            show_default=False,
        ),
    ] = None,
    log_level: Level = LogLevel.INFO,
) -> None:
    """Run a synthetic site: six cameras on a junction and what lies around it, with nothing to download.

    It is rendered once, as video files with exact truth beside them, and then runs as `mtmc up` runs any site, until
    Ctrl-C. The cameras: crossing-southwest, crossing-northwest, crossing-northeast, crossing-southeast, roundabout,
    north-street.

    Examples:
      mtmc demo --seed 7 --cameras crossing-southwest,roundabout
      mtmc demo --seconds 60 -o my-demo
    """
    from cli.demo import DemoOptions
    from cli.demo import demo as run_demo
    from demo.site import MODELS, DemoSite

    names = tuple(name.strip() for name in cameras.split(",")) if cameras is not None else None
    site = DemoSite(seed, seconds, names, models=models or MODELS)
    chosen = DemoOptions(site, output, workers, port, cache, log_level.value)
    raise typer.Exit(run_demo(chosen, os.environ, Console(highlight=False)))


@app.command()
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
    log_level: Level = LogLevel.INFO,
    log_format: Annotated[LogFormat, typer.Option(envvar="MTMC_LOG_FORMAT", case_sensitive=False)] = LogFormat.TEXT,
) -> None:
    """Run one service in the foreground, as containers do.

    With a site file the site is published first, if its content changed; with --site it waits until somebody has
    published it. Any number of each service may run, on any host. Also read from the environment:
    MTMC_REDIS_PASSWORD, and MTMC_FRAMES_URL (a second Redis for pictures).

    Example:  MTMC_REDIS_URL=redis://redis:6379 mtmc run camera-worker --site campus --labels gpu
    """
    from cli.run import RunOptions
    from cli.run import run as run_service

    run_service(
        RunOptions(
            service=service,
            site_file=site_file,
            site=site,
            redis_url=redis_url,
            log_level=log_level.value,
            log_json=log_format is LogFormat.JSON,
            labels=labels,
            capacity=capacity,
            threads=threads,
            host=host,
            port=port,
            metrics_host=metrics_host,
            metrics_port=metrics_port,
            root=root,
            publish=publish,
        ),
        os.environ,
    )


@app.command()
def status(
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For machines; with --watch one object a line.")] = False,
) -> None:
    """Show clock, workers, cameras and processes of a site at a glance.

    The fields of --json are stable: site, redis, revision, running, tick, gate, skew_ticks, slowest, fastest, stalled,
    skipped_ticks, clock, aggregator, workers (id, host, pid, labels, device, backend, cameras, fps,
    heartbeat_age_seconds), cameras (name, state, stalled, owner, error, seen_tick, lag_ticks, fps, tracks, gids) and
    services (id, role, host, pid, metrics_url, ready, problem, uptime_seconds, heartbeat_age_seconds); null is what is
    not known.

    Exit code 1: nothing runs.

    Example:  mtmc status site.yaml --watch
    """
    from cli.status import StatusOptions
    from cli.status import status as show_status

    chosen = StatusOptions(site_file, site, redis_url, state, watch, json)
    raise typer.Exit(show_status(chosen, os.environ, Console(highlight=False)))


@app.command()
def doctor(
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    root: RootOption = None,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Examine everything that a site needs, and say what to do.

    Looks at this machine, the site file, Redis and its memory policy, the hosts' clocks, models, every camera, the port
    of the page, and the site itself if it runs. Changes nothing. With --site it examines what is published, as on a
    further host for workers.

    The fields of --json are stable: well, findings (area, level: ok, warning or error, what, do).

    Exit code 2: something must be mended.

    Example:  mtmc doctor site.yaml
    """
    from cli.console import table_console
    from cli.doctor import doctor as examine
    from site_checks.examination import DoctorOptions

    options = DoctorOptions(site_file, site, redis_url, state, root)
    raise typer.Exit(examine(options, os.environ, table_console(), as_json=json))


evaluate_command.register(app)
recording_commands.register(app)
mot_commands.register(app)


def main() -> None:
    """The entry point: errors that a user can mend become lines on stderr."""
    from shared.errors import MtmcError

    try:
        app(prog_name="mtmc")
    except MtmcError as error:
        if "--debug" in sys.argv[1:]:
            traceback.print_exception(error)
        for line in str(error).splitlines():
            typer.echo(f"mtmc: {line}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
