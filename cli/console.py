"""Where tables are written to."""

from __future__ import annotations

import os

from rich.console import Console

_WIDTH_OF_A_FILE = 200


def table_console() -> Console:
    """The terminal, or a file or pipe, in which nobody wants lines to be broken."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_FILE
    return console


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 track`, `2 tracks`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
