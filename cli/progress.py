"""Progress bars, on stderr so that results can be piped. None if stderr is not a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from shared.progress import ReportProgress


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[ReportProgress]:
    """Shows a bar; yields the function that updates it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
