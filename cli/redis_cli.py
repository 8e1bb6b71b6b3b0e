"""`mtmc redis-cli`: opens the Redis of a site with redis-cli."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli import completion
from cli.options import RedisUrl, StateOption
from shared.errors import MtmcError


def redis_cli(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SITE.yaml ARGS",
            help="Site file (omit with --redis), then options and a command of redis-cli. Without a command it asks "
            "for commands.",
            show_default=False,
            autocompletion=completion.first_site_file,
        ),
    ] = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Open the Redis for pictures (frames:*), if there is a second one.")
    ] = False,
) -> None:
    """Open the Redis of a site with redis-cli.

    Finds the address and the password of the Redis that `mtmc up` started
    for the site file, or that the site file, --redis or MTMC_REDIS_URL
    names. The password never appears on a command line. Options of this
    command go before the site file.

    Exit code: that of redis-cli.

    Examples:
      mtmc redis-cli site.yaml HGETALL 'mtmc:{room}:clock:skew'
      mtmc redis-cli site.yaml --scan --pattern 'mtmc:{room}:camera:*'
      mtmc redis-cli --pictures site.yaml
    """
    from contextlib import closing

    from cli.options import leading_site_file
    from launcher.address import find_redis
    from launcher.redis_cli import cli_environment, connection_options
    from launcher.site_access import server_answers
    from launcher.site_file import load_site_leniently
    from shared.redis_server import find_cli

    site_file, arguments = leading_site_file(words or [], any_file=not redis_url)
    if site_file is None and not redis_url:
        raise MtmcError(
            "no site given; give its file first, as in 'mtmc redis-cli site.yaml', or --redis URL (or set "
            "MTMC_REDIS_URL)"
        )
    site = load_site_leniently(site_file, os.environ)
    address = find_redis(redis_url, site, site_file, state, os.environ)
    if address.embedded:
        with closing(address.connect()) as client:
            if not server_answers(client):
                raise MtmcError(f"site {site.site if site else ''} is not running; start it: mtmc up {site_file}")
    url = (pictures and address.frames_url) or address.url
    program = str(find_cli())
    command = [program, *connection_options(url), *arguments]
    os.execve(program, command, cli_environment(url, address.password, os.environ))  # noqa: S606
