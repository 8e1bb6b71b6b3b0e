"""What can be typed to record a site and to play it again, and its help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.console import table_console
from cli.options import MaybeSiteFile, RecordingFolder, RedisUrl, SiteName, StateOption


def record(
    out: RecordingFolder,
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, max=1e7, help="Of the site's ticks.")] = None,
    video: Annotated[
        bool, typer.Option("--video", help="Also DIR/video/CAMERA.mp4, annotated as on the page.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the tracks that Redis still holds.")
    ] = False,
) -> None:
    """Record what a running site tracks and publishes, until Ctrl-C or its end.

    Takes every entry of tracks:* and assignments from the tick on at which
    all cameras are; entries that were trimmed before they could be read are
    named. No credential is written. The format is docs/recordings.md.

    Exit code 1: nothing came.

    Examples:
      mtmc record site.yaml -o monday
      mtmc record --site campus --seconds 60 --video -o minute
    """
    from cli.record import RecordOptions
    from cli.record import record as run_record
    from launcher.site_access import SiteChoice

    options = RecordOptions(out, seconds, video, from_start)
    choice = SiteChoice(site_file, site, redis_url, state)
    raise typer.Exit(run_record(options, choice, os.environ, table_console()))


def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The recording.", show_default=False)],
    speed: Annotated[str, typer.Option(metavar="max|N", help="1.0: in real time.")] = "max",
    redis_url: Annotated[
        str | None,
        typer.Option(
            "--redis",
            metavar="URL|embedded",
            help="Where an aggregator runs; embedded: a Redis and an aggregator just for this.",
            show_default="embedded",
        ),
    ] = None,
    site: Annotated[
        str | None, typer.Option("--site", metavar="NAME", help="Under this name.", show_default="the recorded one")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Write tracks and new gids as a recording.")
    ] = None,
    layout: Annotated[Path | None, typer.Option(help="A layout text file, in place of the recorded layout.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="association.NAME=VALUE", help="A setting in place of the recorded one."),
    ] = None,
) -> None:
    """Play a recording into Redis, for the aggregator to associate anew.

    Time is virtual: each tick waits for the aggregator, so the result is the
    same every time. A site that runs, or holds data that no replay wrote, is
    left alone.

    Exit code 1: it was stopped before its end.

    Examples:
      mtmc replay monday -o monday-again --set association.min_similarity=0.6
      mtmc replay monday --redis redis://127.0.0.1 --site test --speed 1.0
    """
    from cli.replay import ReplayOptions
    from cli.replay import replay as run_replay

    options = ReplayOptions(folder, _speed(speed), redis_url, site, out, layout, tuple(settings or ()))
    raise typer.Exit(run_replay(options, os.environ, table_console()))


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.001 <= speed <= 1000:
        raise typer.BadParameter(f"--speed {text}: write max, or how many times real time, such as 1.0")
    return speed


def register(app: typer.Typer) -> None:
    """Makes them commands of `app`."""
    app.command("record")(record)
    app.command("replay")(replay)
