"""The age of the current tick. Pure: times are parameters."""

from __future__ import annotations

from collections.abc import Sequence


class TickAge:
    """Follows the tick of one site over several readings.

    The first reading goes by the time at which Redis stored the tick. Later ones go by the monotonic clock of the
    reader, so that the age stays right when the clock of the Redis host is set.
    """

    def __init__(self) -> None:
        self._tick: int | None = None
        self._age_s: float | None = None
        """Its age when it was first seen; None if unknown."""
        self._seen_at_s = self._read_at_s = 0.0

    def observe(self, tick: int, stored_ms: int | None, now_ms: int, at_s: float) -> float | None:
        """The age of `tick` in seconds; None if it cannot be known from this reading.

        `stored_ms` is when Redis stored the tick and `now_ms` is the present, both ms of Redis time; `at_s` is the
        present in monotonic seconds.
        """
        if tick != self._tick:
            age_s = None if stored_ms is None or stored_ms > now_ms else (now_ms - stored_ms) / 1000
            if self._tick is not None and stored_ms is not None:
                # It is younger than the last reading, whatever the clock of the Redis host says.
                age_s = min(age_s or 0.0, at_s - self._read_at_s)
            self._tick, self._age_s, self._seen_at_s = tick, age_s, at_s
        self._read_at_s = at_s
        elapsed_s = at_s - self._seen_at_s
        if self._age_s is None:
            return elapsed_s or None
        return self._age_s + elapsed_s


def stored_ms(entries: Sequence[tuple[int, int | None]], tick: int) -> int | None:
    """When `tick` was stored, given (ms, tick) of the newest entries of `clock:ticks`, newest first.

    One tick has several entries if workers raised the gate; the first one counts. None if no entry has the tick.
    """
    found = None
    for ms, of_entry in entries:
        if of_entry != tick:
            break
        found = ms
    return found
