"""The commands of `mtmc cameras`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import completion
from cli.asking import By, user_at_host
from cli.console import table_console
from cli.options import JsonOption, MaybeSiteFile, RedisUrl, SiteName, StateOption, site_and_words

if TYPE_CHECKING:
    from launcher.site_access import SiteChoice
    from shared.camera_record import Asked
    from shared.errors import Problem

app = typer.Typer(no_args_is_help=True)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SITE.yaml] NAME",
        help="Site file (omit with --site), then one or more cameras.",
        show_default=False,
        autocompletion=completion.site_file_or_cameras,
    ),
]
Every = Annotated[bool, typer.Option("--all", help="All cameras of the site.")]


@app.command("list")
def list_(
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the cameras of a site with their current settings and state.

    The fields of --json are stable: site, redis, revision, cameras
    (name, source, state, stalled, owner, error, paused, loop, labels,
    change: added, paused, resumed or changed since the site was
    published) and removed (names); null means unknown.

    Example:  mtmc cameras list site.yaml
    """
    from cli.cameras.listing import list_cameras

    list_cameras(_choice(site_file, site, redis_url, state), os.environ, table_console(), as_json=as_json)


@app.command()
def add(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[SITE.yaml] NAME SOURCE",
            help="Site file (omit with --site), name of the new camera, and its source: path of a video file, rtsp:// "
            "or http:// URL, or /dev/videoN.",
            show_default=False,
            autocompletion=completion.site_file,
        ),
    ],
    loop: Annotated[bool, typer.Option("--loop", help="Restart the video file when it ends.")] = False,
    fps: Annotated[
        float | None, typer.Option(help="Frame rate of a video file without time stamps, such as raw H.264.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Mask: detections centred on a black pixel are dropped.")
    ] = None,
    labels: Annotated[
        str, typer.Option(metavar="A,B", help="Only workers with all of these labels run the camera.")
    ] = "",
    paused: Annotated[
        bool, typer.Option("--paused", help="Add it paused; start it with `mtmc cameras resume`.")
    ] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other camera setting; see `mtmc config schema`."),
    ] = None,
    from_start: Annotated[
        bool,
        typer.Option(
            "--from-start",
            help="Play the video file from its beginning, instead of from the position of the site's other files.",
        ),
    ] = False,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check",
            help="Do not check that the video file, mask and model exist here; for files that only the workers' hosts "
            "have.",
        ),
    ] = False,
    by: By = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Add a camera to a running site; a worker starts it within a second.

    Settings are checked as in a site file. Other users can read a command
    line, so write passwords as '${VARIABLE}' or '${file:PATH}', in quotes.

    Examples:
      mtmc cameras add site.yaml lobby videos/lobby.mp4 --loop
      mtmc cameras add site.yaml gate 'rtsp://${USER}:${PW}@192.0.2.10/1'
      mtmc cameras add --site campus roof /dev/video0 --labels roof
      mtmc cameras add site.yaml yard yard.mp4 --set detector.min_score=0.3
    """
    from cli.cameras.messages import added_message
    from launcher.running_cameras import require_changeable
    from launcher.site_access import open_site
    from shared.camera_settings import add_camera
    from shared.errors import ConfigError
    from site_checks.new_camera import check_new_camera, name_taken

    site_file, rest = site_and_words(words, site, "mtmc cameras add site.yaml NAME SOURCE")
    if len(rest) != 2:
        raise typer.BadParameter("give the camera's name and its source after the site")
    name, source = rest
    settings: dict[str, Any] = {
        "name": name,
        "source": source,
        "loop": loop or None,
        "fps": fps,
        "mask": str(mask) if mask else None,
        "labels": labels.replace(",", " ").split() or None,
        "paused": paused or None,
    }
    written = {key: value for key, value in settings.items() if value is not None}
    problems = _add_assignments(written, assignments or ())
    with open_site(_choice(site_file, site, redis_url, state), os.environ) as opened:
        require_changeable(opened)
        camera = check_new_camera(
            name, written, opened, os.environ, known=problems, from_start=from_start, check_files=not no_check
        )
        added = add_camera(opened.client, opened.keys, camera.config, origin_tick=camera.origin_tick, asked=_asked(by))
        if not added:
            raise ConfigError([name_taken(name)])
        typer.echo(added_message(camera.config, written, opened))


@app.command()
def pause(
    words: Names = None,
    every: Every = False,
    by: By = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Pause cameras until `mtmc cameras resume`; the others keep running.

    Example:  mtmc cameras pause site.yaml gate yard
    """
    site_file, names = _site_and_names(words, site, "pause", every=every)
    _set_paused(_choice(site_file, site, redis_url, state), None if every else names, by, paused=True)


@app.command()
def resume(
    words: Names = None,
    every: Every = False,
    by: By = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Resume paused cameras.

    Example:  mtmc cameras resume site.yaml --all
    """
    site_file, names = _site_and_names(words, site, "resume", every=every)
    _set_paused(_choice(site_file, site, redis_url, state), None if every else names, by, paused=False)


@app.command()
def remove(
    words: Names = None,
    by: By = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Remove cameras from a running site.

    Objects seen there can still be recognised in other cameras.

    Example:  mtmc cameras remove site.yaml lobby
    """
    from cli.cameras.messages import removed_message
    from launcher.running_cameras import remove_from_site
    from launcher.site_access import open_site

    site_file, names = _site_and_names(words, site, "remove", every=False)
    with open_site(_choice(site_file, site, redis_url, state), os.environ) as opened:
        typer.echo(removed_message(remove_from_site(opened, names, _asked(by)), opened))


def _asked(by: str | None) -> Asked:
    from shared.camera_record import Asked

    return Asked(by or user_at_host())


def _set_paused(choice: SiteChoice, names: list[str] | None, by: str | None, *, paused: bool) -> None:
    from cli.cameras.messages import paused_message
    from launcher.running_cameras import pause_cameras
    from launcher.site_access import open_site

    with open_site(choice, os.environ) as opened:
        typer.echo(paused_message(pause_cameras(opened, names, paused=paused, asked=_asked(by))))


def _add_assignments(written: dict[str, Any], assignments: Sequence[str]) -> list[Problem]:
    """Adds each `KEY=VALUE` (keys may be dotted) to the settings `written`; returns the problems."""
    from shared.config_file import masked, setting_value
    from shared.errors import Problem
    from site_checks.new_camera import WHERE

    problems = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        *sections, last = key.split(".")
        target: Any = written
        for section in sections:
            target = target.setdefault(section, {}) if isinstance(target, dict) else None
        if not equals or not last or not isinstance(target, dict):
            problems.append(Problem(WHERE, "--set", masked(assignment), "write KEY=VALUE, for example time_scale=2"))
        else:
            target[last] = setting_value(text)
    return problems


def _site_and_names(
    words: list[str] | None, site: str | None, command: str, *, every: bool
) -> tuple[Path | None, list[str]]:
    site_file, names = site_and_words(words or [], site, f"mtmc cameras {command} site.yaml NAME")
    if bool(names) == every:
        raise typer.BadParameter("give either camera names or --all" if every else "give at least one camera")
    return site_file, names


@app.command("test")
def try_stream(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[SITE.yaml] SOURCE",
            help="Site file (omit with --site), then the URL of a stream: rtsp(s):// or http(s)://.",
            show_default=False,
            autocompletion=completion.site_file,
        ),
    ],
    transport: Annotated[str, typer.Option(help="Transport of an RTSP stream: auto, tcp or udp.")] = "auto",
    labels: Annotated[str, typer.Option(metavar="A,B", help="Only a worker with all of these labels tries it.")] = "",
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.jpg", help="Save the first picture in this file.")
    ] = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a worker of a running site try a stream, without adding it.

    Takes 3 to 20 seconds; exits with 1 if no pictures arrive. Other users
    can read a command line, so write passwords as '${VARIABLE}' or
    '${file:PATH}', in quotes.

    The fields of --json are stable: works, reason, warning, kind, codec,
    width, height, fps, first_picture_s, worker and host; null means
    unknown or not applicable.

    Examples:
      mtmc cameras test site.yaml 'rtsp://${USER}:${PW}@192.0.2.10/1'
      mtmc cameras test --site campus http://192.0.2.11/video --picture a.jpg
    """
    from cli.cameras.trial import try_source

    site_file, rest = site_and_words(words, site, "mtmc cameras test site.yaml SOURCE")
    if len(rest) != 1:
        raise typer.BadParameter("give the address of one stream after the site")
    wanted = [label for label in labels.split(",") if label]
    written = {"name": "trial", "source": rest[0], "transport": transport, "labels": wanted}
    raise typer.Exit(
        try_source(_choice(site_file, site, redis_url, state), os.environ, written, picture, as_json=as_json)
    )


def _choice(site_file: Path | None, site: str | None, redis_url: str | None, state: Path | None) -> SiteChoice:
    from launcher.site_access import SiteChoice

    return SiteChoice(site_file, site, redis_url, state)
