"""The health of a process: written by its loop, read by probes on any thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.errors import redact

READY_SECONDS = 3.0
"""After this long without a finished step a service is not ready: Redis may hang, or it may be overloaded."""
HUNG_SECONDS = 10.0
"""After this long without progress a loop counts as hung. Longer than the timeout of a Redis command, 5 s."""
_LONGEST_REASON = 300


class Health:
    """The health of one process.

    `hung` and `not_ready` return the reason as one line without credentials, or None if there is no problem. A process
    whose loop has not started yet is not ready, but not hung either.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: monotonic seconds."""
        self._now = now
        self._problem: str | None = "it is starting"
        self._warning: str | None = None
        self._check: Callable[[], str | None] = lambda: None
        self._in_loop = False
        self._progressed_at = self._stepped_at = now()

    # -- for the process's own thread --------------------------------------------------------------

    def waiting(self, reason: str) -> None:
        """Records why the loop does not run: the process starts, stops, or waits for something."""
        self._problem, self._in_loop = reason, False

    def warn(self, reason: str | None) -> None:
        """Records a problem that lasts although the loop runs; None: it is over."""
        self._warning = reason

    def enter_loop(self, check: Callable[[], str | None]) -> None:
        """Records that the loop starts.

        `check` returns why the service is not ready, or None. Probes call it from any thread; it must not block for
        longer than a Redis command.
        """
        self._problem, self._check = "its first step is not done yet", check
        self._progressed_at = self._stepped_at = self._now()
        self._in_loop = True

    def progressed(self) -> None:
        """Records progress; a long step calls this while it works."""
        self._progressed_at = self._now()

    def stepped(self) -> None:
        """Records that the loop finished a step."""
        self._progressed_at = self._stepped_at = self._now()
        self._problem = None

    def failed(self, reason: str) -> None:
        """Records that a step failed and will be retried."""
        self._progressed_at, self._problem = self._now(), reason

    # -- for probes --------------------------------------------------------------------------------

    def seconds_since_step(self) -> float:
        """How long ago the loop finished a step, or started."""
        return self._now() - self._stepped_at

    def hung(self) -> str | None:
        """Why the process should be restarted."""
        idle_s = self._now() - self._progressed_at
        if self._in_loop and idle_s > HUNG_SECONDS:
            return f"its loop has made no progress for {idle_s:.0f} s"
        return None

    def not_ready(self) -> str | None:
        """Why the service is not ready."""
        if (hung := self.hung()) is not None:
            return hung
        if self._problem is not None:
            return _one_line(self._problem)
        idle_s = self.seconds_since_step()
        if self._in_loop and idle_s > READY_SECONDS:
            return f"its loop has finished no step for {idle_s:.1f} s"
        reason = self._check() or self._warning
        return None if reason is None else _one_line(reason)


def _one_line(text: str) -> str:
    return redact(" ".join(text.split()))[:_LONGEST_REASON]
