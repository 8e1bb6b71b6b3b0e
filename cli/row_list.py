"""Rows of short values with notes below them, which can be read in narrow terminals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_GAP = 2
"""Columns between two values, or two parts."""
_INDENT = 4


@dataclass(frozen=True)
class Row:
    """Values for each heading, and longer texts."""

    cells: Sequence[Text]
    notes: Sequence[Text] = ()


def row_list(title: str, headings: Sequence[str], rows: Sequence[Row], numbers: Collection[str] = ()) -> Group:
    """A title, and aligned rows with their notes below them; the columns in `numbers` are aligned to the right."""
    lines = [[Text(heading, "bold") for heading in headings], *(row.cells for row in rows)]
    widths = [max(line[k].cell_len for line in lines) for k in range(len(headings))]
    parts: list[RenderableType] = [Text(title, "bold")]
    for cells, notes in zip(lines, [(), *(row.notes for row in rows)], strict=True):
        line = Text(overflow="fold")
        for heading, cell, width in zip(headings, cells, widths, strict=True):
            blanks = " " * (width - cell.cell_len)
            line.append(blanks if heading in numbers else "").append_text(cell)
            line.append("" if heading in numbers else blanks).append(" " * _GAP)
        line.rstrip()
        parts += [line, *(Padding(note, (0, 0, 0, _INDENT), expand=False) for note in notes)]
    return Group(*parts)


@dataclass(frozen=True)
class Parts:
    """Short texts beside each other; lines wrap only between them."""

    texts: Sequence[Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines."""
        line = Text(overflow="fold")
        for text in self.texts:
            if line and line.cell_len + _GAP + text.cell_len > options.max_width:
                yield line
                line = Text(overflow="fold")
            line.append(" " * _GAP if line else "").append_text(text)
        yield line


def marked(mark: str, text: str, style: str) -> Table:
    """A text whose lines are all right of a mark."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_row(Text(mark, style), Text(text, style))
    return grid
