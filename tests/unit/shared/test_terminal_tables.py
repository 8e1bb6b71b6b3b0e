"""Tables in narrow terminals: words stay whole, and nothing is cut off."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from shared.terminal_tables import print_table

NAMES = "crossing-northeast and crossing-southwest"


def printed(width: int, *cells: str) -> list[str]:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("views", "seen in both", "known")[: len(cells)]:
        table.add_column(heading, overflow="fold")
    table.add_row(*cells)
    shown = io.StringIO()
    console = Console(width=width, file=shown)
    print_table(console, table)
    assert console.width == width
    return shown.getvalue().splitlines()


def test_a_table_that_fits_is_as_wide_as_its_content() -> None:
    heading, row = printed(100, NAMES, "1,234", "yes")
    assert heading.split("  ")[0] == "views"
    assert row == f"{NAMES}  1,234         yes"


@pytest.mark.parametrize("width", [36, 45, 60])
def test_cells_wrap_between_words(width: int) -> None:
    lines = printed(width, NAMES, "1,234", "yes")
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert {"crossing-northeast", "crossing-southwest", "1,234", "yes", "known"} <= set(words)


def test_a_table_whose_words_do_not_fit_is_as_wide_as_it_is_and_its_lines_have_no_blanks_at_the_end() -> None:
    _, row = printed(30, f"/a/folder/{NAMES.replace(' ', '/')}.mp4", NAMES, "")
    assert row == f"/a/folder/{NAMES.replace(' ', '/')}.mp4  {NAMES}"
