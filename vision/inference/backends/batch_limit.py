"""How many pictures to give a model per call, after a call has failed."""

from __future__ import annotations

import time
from collections.abc import Callable

RETRY_S = 60.0
"""After this long, the full size is tried again: another process may have used the device's memory."""


class BatchLimit:
    """Halved when a call fails; lifted `RETRY_S` after the last failure. Not thread-safe; a race only costs a retry."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: monotonic seconds."""
        self._now = now
        self._pictures: int | None = None
        self._lifted_at = 0.0

    def size(self, largest: int) -> int:
        """Pictures per call, at most `largest`."""
        if self._pictures is not None and self._now() >= self._lifted_at:
            self._pictures = None
        return largest if self._pictures is None else min(largest, self._pictures)

    def failed(self, pictures: int) -> bool:
        """Records that a call with `pictures` failed; returns whether fewer may work."""
        self._pictures, self._lifted_at = max(1, pictures // 2), self._now() + RETRY_S
        return pictures > 1
