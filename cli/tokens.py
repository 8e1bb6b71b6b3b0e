"""`mtmc tokens`: the tokens with which people and programs log in to the page."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import completion
from cli.console import counted, empty_table, print_note, table_console
from cli.options import JsonOption, MaybeSiteFile, RedisUrl, SiteName, StateOption, site_and_words
from shared.terminal_tables import print_table

if TYPE_CHECKING:
    from launcher.site_access import SiteChoice

app = typer.Typer(no_args_is_help=True)

_DAY_MS = 24 * 3600 * 1000
_DAYS = 365


class RoleName(StrEnum):
    """Values of `--role`."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@app.command()
def add(
    site_file: MaybeSiteFile = None,
    role: Annotated[
        RoleName,
        typer.Option(case_sensitive=False, help="viewer: sees everything; operator: may also change things."),
    ] = RoleName.VIEWER,
    label: Annotated[
        str, typer.Option(metavar="TEXT", help="Who or what it is for; shown by `mtmc tokens list`.")
    ] = "",
    days: Annotated[int, typer.Option(min=0, max=36500, help="Days until it expires (0: never).")] = _DAYS,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """Make a token for the page of a site, and print it.

    It is shown only once: Redis has only its hash. A person types it into
    the login page; a program sends it as bearer token, or as password with
    any user name: http://any:TOKEN@HOST:8080/gate.mjpg

    Example:  mtmc tokens add site.yaml --role operator --label 'control room'
    """
    from launcher.site_access import open_site
    from shared.tokens import MAX_LABEL, add_token

    words = " ".join(label.split())
    if len(words) > MAX_LABEL or not words.isprintable():
        raise typer.BadParameter(f"use at most {MAX_LABEL} printable characters", param_hint="--label")
    with open_site(_choice(site_file, site, redis_url, state), os.environ) as opened:
        lifetime_ms = days * _DAY_MS or None
        credential, token = add_token(opened.client, opened.keys, role.value, words, lifetime_ms)
    typer.echo(credential.text)
    print_note(
        f"this token is shown only once; id {credential.id}, role {role.value}, expires {_time(token.expires_ms)}. "
        f"To end it: mtmc tokens revoke {site_file or f'--site {opened.keys.site}'} {credential.id}"
    )


@app.command("list")
def list_(
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tokens of a site; the tokens themselves cannot be shown.

    The fields of --json are stable: tokens (id, role, label, created,
    expires: null means never, expired; all null if the token cannot be
    read). Times are UTC.

    Example:  mtmc tokens list site.yaml
    """
    from rich.text import Text

    from launcher.site_access import open_redis_of
    from shared.redis_connection import server_time_ns
    from shared.tokens import read_tokens

    with open_redis_of(_choice(site_file, site, redis_url, state), os.environ) as redis:
        tokens = read_tokens(redis.client, redis.keys)
        now_ms = server_time_ns(redis.client) // 1_000_000
    if as_json:
        listed = [
            {
                "id": name,
                "role": token and token.role,
                "label": token and token.label,
                "created": token and _time(token.created_ms),
                "expires": token and token.expires_ms and _time(token.expires_ms),
                "expired": token and token.is_expired(now_ms),
            }
            for name, token in tokens.items()
        ]
        typer.echo(json.dumps({"tokens": listed}))
        return
    table = empty_table("id", "role", "label", "created", "expires", left=("id", "role", "label", "created", "expires"))
    for name, token in tokens.items():
        if token is None:
            table.add_row(name, Text("cannot be read, so nobody can log in with it", style="red"))
            continue
        expires = Text(_time(token.expires_ms))
        if token.is_expired(now_ms):
            expires = Text(f"{expires} (expired)", style="yellow")
        table.add_row(name, token.role, Text(token.label), _time(token.created_ms), expires)
    if tokens:
        print_table(table_console(), table)
    else:
        typer.echo(f"site {redis.keys.site} has no tokens; make one: mtmc tokens add")


@app.command()
def revoke(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[SITE.yaml] ID",
            help="Site file (omit with --site), then one or more ids, as `mtmc tokens list` shows them.",
            show_default=False,
            autocompletion=completion.first_site_file,
        ),
    ],
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
) -> None:
    """End tokens. Within about a second, who used them is logged out and streams end.

    Example:  mtmc tokens revoke site.yaml 3f2a91bc
    """
    from launcher.site_access import open_redis_of
    from shared.errors import MtmcError
    from shared.tokens import Credential, revoke_tokens

    site_file, ids = site_and_words(words, site, "mtmc tokens revoke site.yaml ID")
    # The whole token, given by mistake, counts as its id; an error must not show it.
    ids = [found.id if (found := Credential.parse(word)) is not None else word for word in ids]
    if not ids:
        raise typer.BadParameter("give at least one id; `mtmc tokens list` shows them")
    with open_redis_of(_choice(site_file, site, redis_url, state), os.environ) as redis:
        unknown = revoke_tokens(redis.client, redis.keys, ids)
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)
        raise MtmcError(f"site {redis.keys.site} has no token {names}; see: mtmc tokens list. Nothing was revoked")
    typer.echo(f"revoked {counted(len(set(ids)), 'token')}")


def _time(time_ms: int | None) -> str:
    return "never" if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _choice(site_file: Path | None, site: str | None, redis_url: str | None, state: Path | None) -> SiteChoice:
    from launcher.site_access import SiteChoice

    return SiteChoice(site_file, site, redis_url, state)
