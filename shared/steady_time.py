"""Site time without the steps of Redis's clock.

Site time is Redis time, and somebody may set Redis's clock. Ticks go on at the site's rate, so the time between two of
them is known. Whatever their time stamps differ from that is a step. Tracking and association count in steady time, so
that a step is neither an hour lived through nor a way back; what people read is in site time.
"""

from __future__ import annotations

from typing import Any

STEP_NS = 500_000_000
"""A smaller difference is jitter or drift."""
_FAR_NS = 24 * 3600 * 10**9
_BACK_TICKS = 1000
_MOST_TICKS = 10**9
"""A tick that is further ahead is damage: it would be years later."""


class SteadyTime:
    """Translates between site time and steady time, which are equal until the first step."""

    def __init__(self, tick_ns: float) -> None:
        """`tick_ns`: length of a tick."""
        self._tick_ns = tick_ns
        self.shift_ns = 0
        """Site time minus steady time, now."""
        self._shift_before_ns = 0
        self._newest: tuple[int, int] | None = None

    def note_tick(self, tick: int, time_ns: int) -> int:
        """Takes note of a tick and its site time; returns the step since the last one noted, ns; 0: none."""
        before, step_ns = self._newest, 0
        if before is not None:
            if tick < before[0] - _BACK_TICKS:  # The clock counts anew.
                self._newest = tick, time_ns
            if not 0 < tick - before[0] < _MOST_TICKS:
                return 0
            step_ns = time_ns - before[1] - round((tick - before[0]) * self._tick_ns)
        self._newest = tick, time_ns
        if abs(step_ns) < STEP_NS:
            return 0
        self._shift_before_ns, self.shift_ns = self.shift_ns, self.shift_ns + step_ns
        return step_ns

    def steady_ns(self, time_ns: int, tick: int | None = None) -> int:
        """The steady time of the site time `time_ns`.

        Around a step, `tick`, the tick that the time belongs to, tells whether it is from before or after. A time that
        is days away from its tick is damage; it is replaced by that of the tick.
        """
        after = time_ns - self.shift_ns
        if tick is None or self._newest is None:
            return after
        expected = self._newest[1] - self.shift_ns + round((tick - self._newest[0]) * self._tick_ns)
        nearest = min(after, time_ns - self._shift_before_ns, key=lambda one: abs(one - expected))
        return nearest if abs(nearest - expected) < _FAR_NS else expected

    def to_dict(self) -> dict[str, Any]:
        """The state, for a checkpoint."""
        return {"shift": self.shift_ns, "before": self._shift_before_ns, "newest": list(self._newest or ())}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores the state of `to_dict`; an empty one is that of a site without steps."""
        self.shift_ns, self._shift_before_ns = state.get("shift", 0), state.get("before", 0)
        newest = state.get("newest")
        self._newest = (newest[0], newest[1]) if newest else None
