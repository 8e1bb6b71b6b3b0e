"""Who asks for a change, for the record."""

from __future__ import annotations

import getpass
import socket
from typing import Annotated

import typer

By = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", envvar="MTMC_BY", help="Who asks.", show_default="the user and the host"),
]


def user_at_host() -> str:
    """`USER@HOST`, as far as they are known."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"[:64]
