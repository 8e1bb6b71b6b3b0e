"""Plays pictures at the speed of their time stamps."""

from __future__ import annotations

_LATE_S = 2.0
"""A picture that is later than this has missed its time: the pace starts over with it."""
_JUMP_S = 1.5
"""A longer step between two pictures of a live stream is a jump of its clock."""


class Pace:
    """When to show each picture of a source that arrives in bursts or as fast as it is read."""

    def __init__(self, *, is_file: bool) -> None:
        """`is_file`: a long step is a gap, which is waited for, and not a jump of the clock."""
        self._is_file = is_file
        self._start_s: float | None = None
        self._last_s = 0.0

    def wait_s(self, stamp_s: float, now_s: float) -> float:
        """How long to wait at `now_s` (monotonic seconds) before showing the picture with time stamp `stamp_s`."""
        step_s, self._last_s = stamp_s - self._last_s, stamp_s
        jumped = step_s < 0 or (step_s > _JUMP_S and not self._is_file)
        if self._start_s is None or jumped or now_s - self._start_s - stamp_s > _LATE_S:
            self._start_s = now_s - stamp_s
        return max(0.0, self._start_s + stamp_s - now_s)
