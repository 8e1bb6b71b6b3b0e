"""How commands write to the terminal."""

from __future__ import annotations

import os

import typer
from rich.console import Console

_WIDTH_IN_A_FILE = 200


def table_console() -> Console:
    """A console for tables: as wide as the terminal, or 200 columns in a file or pipe, so that lines do not wrap."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_IN_A_FILE
    return console


def print_note(text: str) -> None:
    """Prints a note or warning on stderr."""
    typer.echo(f"mtmc: {text}", err=True)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 track`, `2 tracks`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
