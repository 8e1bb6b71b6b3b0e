"""Arguments and options that several commands take."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from shared.errors import MtmcError


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


# Not `readable`: the error comes from reading the file, and says more than Click would.
SiteFile = Annotated[
    Path, typer.Argument(metavar="SITE.yaml", help="The site file.", show_default=False, readable=False)
]
MaybeSiteFile = Annotated[
    Path | None, typer.Argument(metavar="[SITE.yaml]", help="The site file.", show_default=False, readable=False)
]
SiteName = Annotated[
    str | None,
    typer.Option(
        "--site",
        metavar="NAME",
        envvar="MTMC_SITE",
        help="The site, when no file is given.",
        autocompletion=completion.site_names,
    ),
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
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Of a run_live_mtmc.py file: the folder that its paths start from.",
        show_default="the file's, or that of the config folder around it",
    ),
]
RecordingFolder = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="The folder of the recording; must not hold one yet.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines.")]
LogLevelOption = Annotated[LogLevel, typer.Option("--log-level", envvar="MTMC_LOG_LEVEL", case_sensitive=False)]


def site_and_words(words: Sequence[str], site: str | None, example: str) -> tuple[Path | None, list[str]]:
    """The site file, if one stands first, and the other words.

    Raises:
        MtmcError: there is none, and no `site` is named; the message shows the `example`.
    """
    first = Path(words[0]) if words else None
    if first is not None and (first.suffix in completion.SITE_FILE_ENDINGS or (site is None and first.is_file())):
        return first, list(words[1:])
    if site is None:
        raise MtmcError(f"which site? Give its file first, as in '{example}', or --site NAME (or set MTMC_SITE)")
    return None, list(words)
