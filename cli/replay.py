"""`mtmc replay`: plays a recording back through an aggregator."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import table_console
from shared.errors import MtmcError, redact

_EMBEDDED = "embedded"
_SECTION = "association."


def replay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The recording.", show_default=False)],
    speed: Annotated[
        str, typer.Option(metavar="max|N", help="Multiple of real time (1.0: real time; max: as fast as possible).")
    ] = "max",
    redis_url: Annotated[
        str | None,
        typer.Option(
            "--redis",
            metavar="URL|embedded",
            help="Redis of a running aggregator, or embedded: a temporary Redis and aggregator.",
            show_default="embedded",
        ),
    ] = None,
    site: Annotated[
        str | None,
        typer.Option("--site", metavar="NAME", help="Name of the replayed site.", show_default="as recorded"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "--output", "-o", metavar="DIR", help="Write tracks and new gids to a new recording."),
    ] = None,
    layout: Annotated[
        Path | None, typer.Option(help="Layout text file to use.", show_default="the recorded layout")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="association.NAME=VALUE", help="Override a recorded association setting."),
    ] = None,
) -> None:
    """Play a recording into Redis, so that the aggregator assigns new gids.

    Time is virtual: each tick waits for the aggregator, so every replay has
    the same result. A replay refuses to overwrite a site that is running, or
    that has data not written by a replay.

    Exit code 1: stopped before the end of the recording.

    Examples:
      mtmc replay monday -o monday-again --set association.min_track_frames=5
      mtmc replay monday --redis redis://127.0.0.1 --site test --speed 1.0
    """
    from cli.progress import progress_bar
    from recording.playing import Pace, Player
    from recording.published import PublishedReader
    from recording.publishing import ReplaySettings, publish_recording
    from recording.reading import Recording
    from recording.replay import InProcess, Watcher, play
    from recording.replay_output import ReplayOutput, replayed_copy
    from services.aggregator.service import Aggregator
    from shared.embedded_redis import embedded_redis
    from shared.layout import read_layout
    from shared.logs import logs_of_command
    from shared.redis_connection import RETRYABLE, open_redis, unreachable
    from shared.service import stop_on_signals

    times_real_time = _speed(speed)
    recording = Recording.open(folder)
    changes = ReplaySettings(
        site, _changed_settings(settings or ()), read_layout(layout, recording.cameras) if layout else None
    )
    console = table_console()
    with contextlib.ExitStack() as stack:
        stack.enter_context(logs_of_command("replay"))
        if redis_url is None or redis_url == _EMBEDDED:
            url, password, is_embedded = stack.enter_context(embedded_redis()), None, True
        else:
            url, password, is_embedded = redis_url, os.environ.get("MTMC_REDIS_PASSWORD") or None, False
        client = stack.enter_context(contextlib.closing(open_redis(url, password)))
        stop = stop_on_signals()
        try:
            published = publish_recording(client, recording, changes)
            copy = stack.enter_context(replayed_copy(out, recording, published)) if out else None
            output = ReplayOutput(copy)
            progress = stack.enter_context(progress_bar("replaying"))
            start = f"mtmc run aggregator --site {published.config.site} --redis {redact(url)}"
            done = play(
                Player(client, published, recording, with_commands=not (settings or layout)),
                recording,
                PublishedReader(client, published.keys, output.add_assignment, output.add_event),
                aggregator=InProcess(Aggregator(client, published)) if is_embedded else None,
                pace=Pace(times_real_time, recording.fps) if times_real_time else None,
                stop=stop,
                copy=copy,
                watcher=Watcher(progress, lambda: console.print(f"waiting for an aggregator; start one: {start}")),
            )
        except RETRYABLE as error:
            raise unreachable(url, error) from None
        if copy is not None:
            copy.finish(recording.first_tick + done - 1)
    total = recording.last_tick - recording.first_tick + 1
    console.print(
        f"{folder}: {done} of {total} ticks, {output.assignments} assignments, {output.identities} identities"
        + (f"; written to {out}" if out else ""),
        markup=False,
        soft_wrap=True,
    )
    raise typer.Exit(0 if done == total else 1)


def _speed(text: str) -> float | None:
    """Parses `--speed` into a multiple of real time; None means as fast as possible."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.001 <= speed <= 1000:
        raise typer.BadParameter(
            f"--speed {text}: give max, or a multiple of real time from 0.001 to 1000, for example 1.0"
        )
    return speed


def _changed_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Parses each `association.NAME=VALUE`; raises MtmcError for anything else."""
    from shared.config_file import setting_value

    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.startswith(_SECTION):
            raise MtmcError(f"--set {assignment}: write association.NAME=VALUE, as in association.min_track_frames=5")
        found[name.removeprefix(_SECTION)] = setting_value(value)
    return found
