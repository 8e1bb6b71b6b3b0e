"""Progress callbacks of long-running functions, so that libraries need no terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

ReportProgress: TypeAlias = Callable[[int, int], None]
"""Called with the steps done and their total."""
OpenProgress: TypeAlias = Callable[[str], AbstractContextManager[ReportProgress]]
"""Opens a progress bar with a description."""


def ignore_progress(done: int, total: int) -> None:
    """For callers that show no progress."""
