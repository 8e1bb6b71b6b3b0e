"""What can be typed after `mtmc cameras`, and its help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import completion
from cli.console import table_console
from cli.options import MaybeSiteFile, RedisUrl, SiteName, StateOption, site_and_words

if TYPE_CHECKING:
    from launcher.site_access import SiteChoice

app = typer.Typer(no_args_is_help=True)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SITE.yaml] NAME",
        help="The site file, unless --site names the site; then cameras.",
        show_default=False,
        autocompletion=completion.site_file_or_cameras,
    ),
]
Every = Annotated[bool, typer.Option("--all", help="Every camera of the site.")]


@app.command("list")
def list_(
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the cameras of a site as they are set now.

    The fields of --json are stable: site, redis, revision, cameras
    (name, source, state, stalled, owner, error, paused, loop, labels,
    change: added, paused, resumed or changed since the site was
    published) and removed (names); null is what is not known.

    Example:  mtmc cameras list site.yaml
    """
    from cli.cameras import list_cameras

    list_cameras(_choice(site_file, site, redis_url, state), os.environ, table_console(), as_json=json)


@app.command()
def add(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[SITE.yaml] NAME SOURCE",
            help="The site file, unless --site names the site; the camera's name; the path of a video file, an rtsp:// "
            "or http:// URL, or /dev/videoN.",
            show_default=False,
            autocompletion=completion.site_file,
        ),
    ],
    loop: Annotated[bool, typer.Option("--loop", help="A file starts over at its end.")] = False,
    fps: Annotated[float | None, typer.Option(help="Of a file whose container does not tell.")] = None,
    mask: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Detections centred on its black parts are dropped.")
    ] = None,
    labels: Annotated[str, typer.Option(metavar="A,B", help="Only workers with all of them take the camera.")] = "",
    paused: Annotated[bool, typer.Option("--paused", help="It waits for `mtmc cameras resume`.")] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of a camera, as `mtmc config schema` has."),
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="A file begins now, not where the site's other files are.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not look for its files: they lie on the workers' hosts.")
    ] = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Add a camera to a running site; workers take it up within a second.

    Everything is checked as in a site file. Anybody can read a command
    line: give a password as '${VARIABLE}' or '${file:PATH}', in quotes.

    Examples:
      mtmc cameras add site.yaml lobby recordings/lobby.mp4 --loop
      mtmc cameras add site.yaml gate 'rtsp://${USER}:${PW}@192.0.2.10/1'
      mtmc cameras add --site campus roof /dev/video0 --labels roof
      mtmc cameras add site.yaml yard yard.mp4 --set detector.min_score=0.3
    """
    from cli.cameras import NewCamera
    from cli.cameras import add as add_camera

    site_file, rest = site_and_words(words, site, "mtmc cameras add site.yaml NAME SOURCE")
    if len(rest) != 2:
        raise typer.BadParameter("after the site, give the camera's name and its source")
    settings: dict[str, Any] = {
        "loop": loop or None,
        "fps": fps,
        "mask": str(mask) if mask else None,
        "labels": labels.replace(",", " ").split() or None,
        "paused": paused or None,
    }
    new = NewCamera(
        name=rest[0],
        source=rest[1],
        settings={key: value for key, value in settings.items() if value is not None},
        assignments=assignments or (),
        from_start=from_start,
        check=not no_check,
    )
    typer.echo(add_camera(new, _choice(site_file, site, redis_url, state), os.environ))


@app.command()
def pause(
    words: Names = None,
    every: Every = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Stop cameras until they are resumed; the others go on.

    Example:  mtmc cameras pause site.yaml gate yard
    """
    from cli.cameras import pause as pause_cameras

    site_file, names = _site_and_names(words, site, "pause", every=every)
    typer.echo(pause_cameras(names, _choice(site_file, site, redis_url, state), os.environ, every=every))


@app.command()
def resume(
    words: Names = None,
    every: Every = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Start paused cameras again.

    Example:  mtmc cameras resume site.yaml --all
    """
    from cli.cameras import resume as resume_cameras

    site_file, names = _site_and_names(words, site, "resume", every=every)
    typer.echo(resume_cameras(names, _choice(site_file, site, redis_url, state), os.environ, every=every))


@app.command()
def remove(words: Names = None, site: SiteName = None, redis_url: RedisUrl = None, state: StateOption = None) -> None:
    """Take cameras out of a running site.

    Who was seen there can still be recognised in other cameras.

    Example:  mtmc cameras remove site.yaml lobby
    """
    from cli.cameras import remove as remove_cameras

    site_file, names = _site_and_names(words, site, "remove", every=False)
    typer.echo(remove_cameras(names, _choice(site_file, site, redis_url, state), os.environ))


def _site_and_names(
    words: list[str] | None, site: str | None, command: str, *, every: bool
) -> tuple[Path | None, list[str]]:
    site_file, names = site_and_words(words or [], site, f"mtmc cameras {command} site.yaml NAME")
    if bool(names) == every:
        raise typer.BadParameter("give either names or --all" if every else "name the cameras")
    return site_file, names


def _choice(site_file: Path | None, site: str | None, redis_url: str | None, state: Path | None) -> SiteChoice:
    from launcher.site_access import SiteChoice

    return SiteChoice(site_file, site, redis_url, state)
