"""How tables without lines are printed on narrow terminals."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table

_WIDEST = 1000
"""Columns of the widest table."""


def print_table(console: Console, table: Table) -> None:
    """Prints a table so that no word is broken.

    If it is wider than the terminal, it wraps the texts of its cells between words. If that is not enough, it is as
    wide as it is: the terminal wraps its lines, which can be read; narrow columns cannot.
    """
    wide = console.options.update(width=_WIDEST)
    cells = [[column.header, *column.cells] for column in table.columns]
    sizes = [[Measurement.get(console, wide, cell) for cell in column] for column in cells]
    natural = [max(size.maximum for size in column) for column in sizes]
    least = [
        most if column.no_wrap else max(size.minimum for size in sizes)
        for column, sizes, most in zip(table.columns, sizes, natural, strict=True)
    ]
    space = console.width - sum(table.padding[1] + table.padding[3] for _ in natural)
    if sum(natural) > space >= sum(least):
        while sum(natural) > space:
            reducible = [k for k, width in enumerate(natural) if width > least[k]]
            natural[max(reducible, key=natural.__getitem__)] -= 1
    for column, width in zip(table.columns, natural, strict=True):
        column.width = width
    for line in console.render_lines(table, wide, pad=False):
        console.print(Segments([*_without_blanks_at_its_end(line), Segment.line()]), end="", crop=False)


def _without_blanks_at_its_end(line: list[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    return [*kept[:-1], Segment(kept[-1].text.rstrip(), kept[-1].style)] if kept else []
