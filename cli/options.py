"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.service_names import LogLevel

SiteFile = Annotated[Path, typer.Argument(metavar="SITE.yaml", help="The site file.", show_default=False)]
MaybeSiteFile = Annotated[Path | None, typer.Argument(metavar="[SITE.yaml]", help="The site file.", show_default=False)]
SiteName = Annotated[
    str | None, typer.Option("--site", metavar="NAME", envvar="MTMC_SITE", help="The site, when no file is given.")
]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        envvar="MTMC_REDIS_URL",
        help="redis://, rediss:// or unix:// URL; before that of the site file. Anybody can read a command line: give "
        "a password as MTMC_REDIS_PASSWORD.",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        envvar="MTMC_STATE",
        help="Data, logs and locks of `mtmc up`.",
        show_default=".mtmc/NAME beside the site file",
    ),
]
Level = Annotated[LogLevel, typer.Option("--log-level", envvar="MTMC_LOG_LEVEL", case_sensitive=False)]
