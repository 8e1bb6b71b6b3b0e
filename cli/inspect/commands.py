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
            help="Site file (omit with --site), then the camera.",
            show_default=False,
            autocompletion=completion.site_file_or_cameras,
        ),
    ],
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=10_000, help="Number of entries to show, newest last.")
    ] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Also show new entries, until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line, one line per entry.")
    ] = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Show the newest entries of a camera's tracks stream, decoded.

    The fields of --json are stable: camera, entry, seq, tick, time_ns,
    time, width, height, embedder, tracks (track_id, gid, class_id, class,
    box_xyxy, score, quality, embedding) and ended. Gids are the current
    ones; null means unknown. An entry whose width and height are null had
    no picture and lists only the tracks that ended. An entry that cannot be
    decoded has the fields camera, entry and error.

    Exit code 1: the camera has no entry yet.

    Examples:
      mtmc inspect tracks site.yaml gate --follow
      mtmc inspect tracks --site campus gate -n 100 --json
    """
    from cli.inspect.tracks import inspect_tracks
    from launcher.site_access import SiteChoice

    site_file, cameras = site_and_words(words, site, "mtmc inspect tracks site.yaml CAMERA")
    if len(cameras) != 1:
        raise typer.BadParameter("give one camera")
    choice = SiteChoice(site_file, site, redis_url, state)
    code = inspect_tracks(cameras[0], choice, os.environ, table_console(), count=count, follow=follow, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def keys(
    site_file: MaybeSiteFile = None,
    every: Annotated[bool, typer.Option("--all", help="List every key, without grouping.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every key.")] = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """List a site's keys in Redis with size, memory, expiry and purpose.

    The fields of --json are stable: site, redis, frames_redis, keys (key,
    redis: main or frames, type, entries, bytes, expires_in_seconds, what)
    and bytes; null means unknown or not applicable.

    Example:  mtmc inspect keys site.yaml
    """
    from cli.inspect.keys import inspect_keys
    from launcher.site_access import SiteChoice

    choice = SiteChoice(site_file, site, redis_url, state)
    inspect_keys(choice, os.environ, table_console(), every=every, as_json=as_json)


@app.command()
def layout(
    site_file: MaybeSiteFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Show which views overlap, travel times, and cameras with late pictures.

    The aggregator learns all this in association.mode 'live'. Without a
    layout, two views count as overlapping only once that is certain. The
    output ends with a layout to paste into the site file.

    The fields of --json are stable: tick, overlaps (cameras, source: layout,
    calibration, learned or unknown, probability, tracks, found, is_mapped),
    steps (from, to, handovers, seconds: 10 %, 50 % and 90 % quantile) and
    time_offsets (camera, seconds, deviation, corrected).

    Exit code 1: nothing has been learned yet.

    Example:  mtmc inspect layout site.yaml
    """
    from cli.inspect.layout import inspect_layout
    from launcher.site_access import SiteChoice

    choice = SiteChoice(site_file, site, redis_url, state)
    raise typer.Exit(inspect_layout(choice, os.environ, table_console(), as_json=as_json))


@app.command()
def association(
    site_file: MaybeSiteFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Show what has been learned of the appearance of objects.

    For each embedder: how similar two tracks must be to be one object, from
    how many pairs of different objects that is known, and from how many
    crops the mean of each camera is. See also 'mtmc inspect layout', and
    'mtmc explain' for single identities.

    The fields of --json are stable: tick and appearance (embedder: checksum,
    dimensions, pairs, similarities: crops, different, even, same; cameras:
    camera, crops).

    Exit code 1: nothing has been learned yet.

    Example:  mtmc inspect association site.yaml
    """
    from cli.inspect.association import inspect_association
    from launcher.site_access import SiteChoice

    choice = SiteChoice(site_file, site, redis_url, state)
    raise typer.Exit(inspect_association(choice, os.environ, table_console(), as_json=as_json))
