"""What can be typed after `mtmc config`, and its help."""

from __future__ import annotations

import os

import typer
from rich.console import Console

from cli.options import RedisUrl, SiteFile, StateOption

app = typer.Typer(no_args_is_help=True)


@app.command()
def check(site_file: SiteFile) -> None:
    """Name every problem of a site file at once, and what is allowed instead.

    Example:  mtmc config check site.yaml
    """
    from cli.config import check as check_file

    Console(highlight=False).print(check_file(site_file, os.environ), markup=False, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of site files, for editors.

    Example:  mtmc config schema > site.schema.json
    """
    from cli.config import schema as schema_text

    typer.echo(schema_text())


@app.command()
def publish(site_file: SiteFile, redis_url: RedisUrl = None, state: StateOption = None) -> None:
    """Write a site into Redis, where every service reads it.

    Example:  mtmc config publish site.yaml --redis redis://redis:6379
    """
    from cli.config import publish as publish_file

    typer.echo(publish_file(site_file, redis_url, state, os.environ))
