"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from shared.errors import MtmcError


class LogLevel(StrEnum):
    """Values of `--log-level`."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


# Not `readable`: reading the file raises a better error than Click's.
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
        help="Name of the site, instead of a site file.",
        autocompletion=completion.site_names,
    ),
]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        envvar="MTMC_REDIS_URL",
        help="URL of Redis (redis://, rediss:// or unix://); overrides the site file. Pass a password in "
        "MTMC_REDIS_PASSWORD: other users can read a command line.",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        envvar="MTMC_STATE",
        help="State folder of `mtmc up`: data, logs, lock.",
        show_default=".mtmc/SITE beside the site file",
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="For a run_live_mtmc.py file: the folder that its relative paths start from.",
        show_default="its own folder, or the parent of its config folder",
    ),
]
RecordingFolder = Annotated[
    Path,
    typer.Option("--out", "--output", "-o", metavar="DIR", help="Folder for the recording; must not contain one yet."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LogLevelOption = Annotated[
    LogLevel,
    typer.Option(
        "--log-level", envvar="MTMC_LOG_LEVEL", case_sensitive=False, help="Minimum level of messages to log."
    ),
]


def site_and_words(words: Sequence[str], site: str | None, example: str) -> tuple[Path | None, list[str]]:
    """Splits `words` into the site file, if the first word is one, and the rest.

    Raises:
        MtmcError: there is neither a site file nor a `site`; the message shows the `example`.
    """
    first, rest = leading_site_file(words, any_file=site is None)
    if first is not None:
        return first, rest
    if site is None:
        raise MtmcError(f"no site given; give its file first, as in '{example}', or --site NAME (or set MTMC_SITE)")
    return None, rest


def leading_site_file(words: Sequence[str], *, any_file: bool) -> tuple[Path | None, list[str]]:
    """The first of the `words` if it is a site file, and the rest; with `any_file`, every existing file is one."""
    first = Path(words[0]) if words else None
    if first is not None and (first.suffix in completion.SITE_FILE_ENDINGS or (any_file and first.is_file())):
        return first, list(words[1:])
    return None, list(words)
