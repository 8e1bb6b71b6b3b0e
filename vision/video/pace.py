"""Plays pictures at the speed of their time stamps."""

from __future__ import annotations

_LATE_S = 2.0
"""A picture that is later than this has missed its time: the pace starts over with it."""
_AHEAD_S = 15.0
"""A picture that is due later than this belongs to a clock that jumped; HLS segments are shorter."""


class Pace:
    """When to show each picture of a source that arrives in bursts or as fast as it is read."""

    def __init__(self) -> None:
        self._start_s: float | None = None

    def wait_s(self, stamp_s: float, now_s: float) -> float:
        """How long to wait at `now_s` (monotonic seconds) before showing the picture with time stamp `stamp_s`."""
        if self._start_s is None or not -_LATE_S <= self._start_s + stamp_s - now_s <= _AHEAD_S:
            self._start_s = now_s - stamp_s
        return max(0.0, self._start_s + stamp_s - now_s)
