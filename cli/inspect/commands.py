"""The commands of `mtmc inspect`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli import completion
from cli.console import table_console
from cli.options import MaybeSiteFile, RedisUrl, SiteName, StateOption, site_and_words

app = typer.Typer(no_args_is_help=True)


@app.command()
def tracks(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[SITE.yaml] CAMERA",
            help="The site file, unless --site names the site; then the camera.",
            show_default=False,
            autocompletion=completion.site_file_or_cameras,
        ),
    ],
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="So many of the newest entries.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="And every new one, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines; one object a line for each entry.")] = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Show what a camera sees: the newest entry of its tracks, decoded.

    The fields of --json are stable: camera, entry, seq, tick, time_ns,
    time, width, height, embedder, tracks (track_id, gid, class_id, class,
    box_xyxy, score, quality, embedding) and ended; gids are those of now,
    null means unknown. An entry whose width and height are null had no
    picture: of tracks it tells only those that ended. An entry that cannot
    be decoded has camera, entry and error.

    Exit code 1: there is none yet.

    Examples:
      mtmc inspect tracks site.yaml gate --follow
      mtmc inspect tracks --site campus gate -n 100 --json
    """
    from cli.inspect.tracks import inspect_tracks
    from launcher.site_access import SiteChoice

    site_file, cameras = site_and_words(words, site, "mtmc inspect tracks site.yaml CAMERA")
    if len(cameras) != 1:
        raise typer.BadParameter("name one camera")
    choice = SiteChoice(site_file, site, redis_url, state)
    code = inspect_tracks(cameras[0], choice, os.environ, table_console(), count=count, follow=follow, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def keys(
    site_file: MaybeSiteFile = None,
    every: Annotated[bool, typer.Option("--all", help="Each key by itself.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines; each key by itself.")] = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """List what a site has in Redis: size, memory, expiry, and what it is.

    The fields of --json are stable: site, redis, frames_redis, keys (key,
    redis: main or frames, type, entries, bytes, expires_in_seconds, what)
    and bytes; null is what is not known or does not apply.

    Example:  mtmc inspect keys site.yaml
    """
    from cli.inspect.keys import inspect_keys
    from launcher.site_access import SiteChoice

    choice = SiteChoice(site_file, site, redis_url, state)
    inspect_keys(choice, os.environ, table_console(), every=every, as_json=as_json)
