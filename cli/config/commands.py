"""The commands of `mtmc config`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.options import JsonOption, MaybeSiteFile, RedisUrl, RootOption, SiteFile, SiteName, StateOption

app = typer.Typer(no_args_is_help=True)


@app.command()
def check(site_file: SiteFile, root: RootOption = None) -> None:
    """Check a site file and the files it names, and report every problem at once.

    Example:  mtmc config check site.yaml
    """
    from cli.config.check import check_site_file

    Console(highlight=False).print(check_site_file(site_file, os.environ, root), markup=False, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of site files, for validation in editors.

    Example:  mtmc config schema > site.schema.json
    """
    import json

    from shared.config import SiteConfig

    described = SiteConfig.model_json_schema(by_alias=True)
    described["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    typer.echo(json.dumps(described, indent=2))


@app.command()
def publish(
    site_file: SiteFile, redis_url: RedisUrl = None, state: StateOption = None, root: RootOption = None
) -> None:
    """Publish a site: write it to Redis, where the services read it.

    A site with an unusable model or mask, or with an address for its page
    that this machine does not have although its streamer runs here, is
    refused. A service that cannot use the new revision keeps the one before.

    Example:  mtmc config publish site.yaml --redis redis://redis:6379
    """
    from cli.console import print_note
    from launcher.address import find_redis
    from launcher.publishing import publish as publish_checked_site
    from launcher.publishing import require_usable_address
    from launcher.site_file import load_site
    from shared.errors import redact
    from site_checks.files import require_usable_files

    site = load_site(site_file, os.environ, root=root, note=print_note)
    address = find_redis(redis_url, site, site_file, state, os.environ)
    require_usable_files(site_file, site, os.environ)
    with contextlib.closing(address.open()) as client, address.translating_errors():
        require_usable_address(client, site)
        result = publish_checked_site(client, site)
    typer.echo(f"published site {site.site}, revision {result.revision}, in Redis at {redact(address.url)}")
    if result.note:
        typer.echo(result.note)


@app.command()
def show(
    site_file: MaybeSiteFile = None,
    defaults: Annotated[
        bool, typer.Option("--defaults/--no-defaults", help="Include settings that are at their default.")
    ] = True,
    as_json: JsonOption = False,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    root: RootOption = None,
) -> None:
    """Print the effective settings: of a site file, with overrides from the
    environment applied, or of a site as it is published in Redis.

    Secrets are masked. A comment names the environment variable that
    overrides a setting.

    The fields of --json are stable: settings; for a file also overridden
    (setting: variable); for a published site also revision and changes
    (camera: change since publishing).

    Examples:
      mtmc config show site.yaml --no-defaults
      mtmc config show --site campus --redis redis://redis:6379
    """
    from cli.config.show import show_file, show_published
    from launcher.site_access import SiteChoice

    choice = SiteChoice(site_file, site, redis_url, state)
    if site_file is not None:
        typer.echo(show_file(choice, os.environ, root, defaults=defaults, as_json=as_json))
    else:
        typer.echo(show_published(choice, os.environ, defaults=defaults, as_json=as_json))


@app.command("import")
def import_(
    live_file: Annotated[
        Path, typer.Argument(metavar="LIVE.yaml", help="Configuration of run_live_mtmc.py.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--out", "--output", "-o", metavar="SITE.yaml", help="Site file to write.", show_default="stdout"),
    ] = None,
    root: RootOption = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Convert a configuration of run_live_mtmc.py to a site file.

    This is optional: `mtmc up LIVE.yaml` runs such a file directly.

    Example:  mtmc config import config/examples/live.yaml -o site.yaml
    """
    from cli.config.import_file import import_file

    typer.echo(import_file(live_file, output, root, os.environ, force=force))
