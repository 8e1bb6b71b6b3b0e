"""How commands write to the terminal."""

from __future__ import annotations

import os
from collections.abc import Container

import typer
from rich.console import Console
from rich.table import Table

_WIDTH_IN_A_FILE = 200


def table_console() -> Console:
    """A console for tables: as wide as the terminal, or 200 columns in a file or pipe, so that lines do not wrap."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_IN_A_FILE
    return console


def empty_table(*headings: str, left: Container[str] | None = None) -> Table:
    """A table without lines; the columns in `left` are aligned to the left, by default the first two."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        is_left = heading in (headings[:2] if left is None else left)
        table.add_column(heading, justify="left" if is_left else "right", overflow="fold")
    return table


def print_note(text: str) -> None:
    """Prints a note or warning on stderr."""
    typer.echo(f"mtmc: {text}", err=True)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 track`, `2 tracks`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
