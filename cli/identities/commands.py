"""The commands of `mtmc identities`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from cli.asking import By
from cli.console import table_console
from cli.explain import explain
from cli.identities.request import Request
from cli.options import JsonOption, MaybeSiteFile, RedisUrl, SiteName, StateOption, site_and_words
from shared.errors import MtmcError

app = typer.Typer(no_args_is_help=True)
app.command("explain")(explain)


def _words(metavar: str, what: str) -> typer.models.ArgumentInfo:
    argument: typer.models.ArgumentInfo = typer.Argument(
        metavar=f"[SITE.yaml] {metavar}",
        help=f"Site file (omit with --site), then {what}.",
        show_default=False,
        autocompletion=completion.site_file_or_identities,
    )
    return argument


Gid = Annotated[list[str], _words("GID", "the global id")]
Wait = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for the aggregator's answer.")
]


@app.command("list")
def list_(
    site_file: MaybeSiteFile = None,
    camera: Annotated[
        str | None, typer.Option("--camera", metavar="NAME", help="Only those that this camera has seen.")
    ] = None,
    class_name: Annotated[str | None, typer.Option("--class", metavar="NAME", help="Only those of this class.")] = None,
    named: Annotated[bool, typer.Option("--named", help="Only those with a name.")] = False,
    present: Annotated[bool, typer.Option("--present", help="Only those in view.")] = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the identities that are in view or may return.

    The fields of --json are stable: site and identities (gid, name,
    class_name, present, cameras, tracks, first_seen_ns, last_seen_ns); null
    means unknown or not applicable.

    Examples:
      mtmc identities list site.yaml --present
      mtmc identities list --site campus --camera gate --json
    """
    from cli.identities.listing import Wanted, list_identities
    from launcher.site_access import SiteChoice

    wanted = Wanted(camera, class_name, named=named, present=present)
    choice = SiteChoice(site_file, site, redis_url, state)
    list_identities(choice, os.environ, table_console(), wanted, as_json=as_json)


@app.command()
def search(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[SITE.yaml] FILE.jpg",
            help="Site file (omit with --site), then a JPEG of one object, cut out closely.",
            show_default=False,
            autocompletion=completion.site_file,
        ),
    ],
    crop_camera: Annotated[
        str | None, typer.Option("--crop-camera", metavar="NAME", help="The camera that the picture is from.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="At most this many.")] = 10,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the identities that look like a picture, the nearest first.

    A score above 0 says: rather this identity than another object. In the
    reference mode, the score is the similarity, from -1 to 1.

    The fields of --json are stable: site, mode and matches (gid, name,
    class_name, score, similarity); null means unknown.

    Examples:
      mtmc identities search site.yaml van.jpg
      mtmc identities search --site campus van.jpg --crop-camera gate --json
    """
    from cli.identities.search import search_identities
    from launcher.site_access import SiteChoice

    site_file, rest = site_and_words(words, site, "mtmc identities search site.yaml FILE.jpg")
    if len(rest) != 1:
        raise typer.BadParameter("give one JPEG after the site")
    choice = SiteChoice(site_file, site, redis_url, state)
    raise typer.Exit(
        search_identities(Path(rest[0]), crop_camera, limit, choice, os.environ, table_console(), as_json=as_json)
    )


@app.command()
def show(
    words: Gid,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an identity: where it is, and all its tracks.

    The fields of --json are stable: gid, asked, name, class_name, record
    (the hash identity:GID) and tracks (camera, track_id, first_ns, last_ns,
    ended, moved_to); null means unknown or not applicable.

    Exit code 1: there is no such identity.

    Example:  mtmc identities show site.yaml 7
    """
    from cli.identities.listing import show_identity
    from launcher.site_access import SiteChoice

    site_file, rest = site_and_words(words, site, "mtmc identities show site.yaml GID")
    (gid,) = _gids(rest, 1, "give one global id, a whole number")
    choice = SiteChoice(site_file, site, redis_url, state)
    raise typer.Exit(show_identity(gid, choice, os.environ, table_console(), as_json=as_json))


@app.command()
def merge(
    words: Annotated[list[str], _words("GID GID", "the global ids of the two")],
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of the result.",
            show_default="that of the older one, or else of the other",
        ),
    ] = "",
    by: By = None,
    wait: Wait = 10.0,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one identity of two that are one object; the older id stays.

    No automatic decision takes them apart again. The fields of --json are
    stable: id, kind, outcome (done, refused or waiting), reason, gid,
    other_gid, undoes, tick and time_ns.

    Exit code 1: refused, or no answer yet.

    Example:  mtmc identities merge site.yaml 7 3
    """
    site_file, rest = site_and_words(words, site, "mtmc identities merge site.yaml GID GID")
    one, other = _gids(rest, 2, "give two global ids, whole numbers")
    request = _request(site_file, site, redis_url, state, by=by, wait=wait, as_json=as_json)
    raise typer.Exit(request.send("merge", gid=one, other_gid=other, name=name))


@app.command()
def split(
    words: Annotated[list[str], _words("GID CAMERA/TRACK_ID", "the global id and the tracks that are another object")],
    by: By = None,
    wait: Wait = 10.0,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give tracks of an identity a new id, because they are another object.

    `mtmc identities show` lists the tracks. No automatic decision merges the
    two again. The fields of --json are those of `mtmc identities merge`; gid
    is the new id.

    Exit code 1: refused, or no answer yet.

    Example:  mtmc identities split site.yaml 7 gate/1790000000000001
    """
    from shared.errors import MessageError
    from shared.operator_commands import parsed_track

    site_file, rest = site_and_words(words, site, "mtmc identities split site.yaml GID CAMERA/TRACK_ID")
    (gid,) = _gids(rest[:1], 1, "give the global id, then its tracks")
    try:
        tracks = tuple(parsed_track(word) for word in rest[1:])
    except MessageError as error:
        raise typer.BadParameter(str(error)) from None
    if not tracks:
        raise typer.BadParameter("give at least one track, as CAMERA/TRACK_ID")
    request = _request(site_file, site, redis_url, state, by=by, wait=wait, as_json=as_json)
    raise typer.Exit(request.send("split", gid=gid, tracks=tracks))


@app.command()
def name(
    words: Annotated[list[str], _words("GID NAME", "the global id and the name")],
    by: By = None,
    wait: Wait = 10.0,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an identity a name, which it keeps in every camera.

    The fields of --json are those of `mtmc identities merge`.

    Exit code 1: refused, or no answer yet.

    Example:  mtmc identities name site.yaml 7 'the red van'
    """
    site_file, rest = site_and_words(words, site, "mtmc identities name site.yaml GID NAME")
    (gid,) = _gids(rest[:1], 1, "give the global id, then the name")
    request = _request(site_file, site, redis_url, state, by=by, wait=wait, as_json=as_json)
    raise typer.Exit(request.send("name", gid=gid, name=" ".join(rest[1:])))


@app.command()
def unname(
    words: Gid,
    by: By = None,
    wait: Wait = 10.0,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the name of an identity away.

    The fields of --json are those of `mtmc identities merge`.

    Exit code 1: refused, or no answer yet.

    Example:  mtmc identities unname site.yaml 7
    """
    site_file, rest = site_and_words(words, site, "mtmc identities unname site.yaml GID")
    (gid,) = _gids(rest, 1, "give one global id, a whole number")
    request = _request(site_file, site, redis_url, state, by=by, wait=wait, as_json=as_json)
    raise typer.Exit(request.send("unname", gid=gid))


@app.command()
def forget(
    words: Gid,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    by: By = None,
    wait: Wait = 10.0,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete an identity, its name, journey and crops; cannot be undone.

    Its id is never used again. If the object is in view, it gets a new id.
    docs/identities.md lists what goes later. The fields of --json are those
    of `mtmc identities merge`.

    Exit code 1: refused, or no answer yet.

    Example:  mtmc identities forget site.yaml 7 --yes
    """
    site_file, rest = site_and_words(words, site, "mtmc identities forget site.yaml GID")
    (gid,) = _gids(rest, 1, "give one global id, a whole number")
    if not yes and not sys.stdin.isatty():
        raise MtmcError(f"id {gid} was not forgotten, which cannot be undone: add --yes if you are sure")
    if not yes:
        typer.confirm(f"Forget id {gid}? This cannot be undone.", abort=True, err=True)
    request = _request(site_file, site, redis_url, state, by=by, wait=wait, as_json=as_json)
    raise typer.Exit(request.send("forget", gid=gid))


@app.command()
def undo(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SITE.yaml] [COMMAND]",
            help="Site file (omit with --site), then the id of the command to undo; without it, the last correction.",
            show_default=False,
            autocompletion=completion.site_file,
        ),
    ] = None,
    by: By = None,
    wait: Wait = 10.0,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo the last correction, or that of a given command.

    Each correction prints the id of its command, and `mtmc identities
    explain` shows those of merges and splits. The last 100 can be undone, but not `forget`. The fields of
    --json are those of `mtmc identities merge`.

    Exit code 1: refused, or no answer yet.

    Example:  mtmc identities undo site.yaml
    """
    site_file, rest = site_and_words(words or [], site, "mtmc identities undo site.yaml [COMMAND]")
    if len(rest) > 1:
        raise typer.BadParameter("give at most one id of a command")
    request = _request(site_file, site, redis_url, state, by=by, wait=wait, as_json=as_json)
    raise typer.Exit(request.send("undo", undoes="".join(rest)))


def _gids(words: list[str], count: int, what: str) -> list[int]:
    if len(words) != count or not all(word.isascii() and word.isdigit() for word in words):
        raise typer.BadParameter(what)
    return [int(word) for word in words]


def _request(
    site_file: Path | None,
    site: str | None,
    redis_url: str | None,
    state: Path | None,
    *,
    by: str | None,
    wait: float,
    as_json: bool,
) -> Request:
    from launcher.site_access import SiteChoice

    return Request(SiteChoice(site_file, site, redis_url, state), by, wait, as_json=as_json)
