"""How wide the pictures of a live page may be, so that its connection keeps up. Pure: the caller passes the times.

A connection that is too slow gets fewer pictures anyway, because each is the newest when there is room for it. Smaller
pictures keep them from becoming very few.
"""

from __future__ import annotations

import math

from services.streamer.scaling import WIDTHS

ROUND_S = 0.3
"""One picture of each camera may take this long to send."""
_MIN_PICTURES = 4
_BLOCKED_S = 1.0
"""After pictures took this long in all, there need not be `_MIN_PICTURES` of them to decide."""
_HOLD_S, _LONGEST_HOLD_S = 5.0, 60.0
"""How long a width is kept before a wider one is tried; twice as long after each try that failed."""
_RESERVE = 0.8
_MOST_WIDER = 2.0


class LinkFit:
    """The width for one connection: it follows how long pictures take to send."""

    def __init__(self, wanted: int | None, now: float, first: int | None = None) -> None:
        """`wanted`: the width that the page asked for (None: as the pictures are); `first`: where to begin."""
        self._wanted = wanted
        self.width = wanted if first is None or (wanted is not None and first >= wanted) else first
        """What to scale pictures to now; None: not at all."""
        self._took_s: list[float] = []
        self._changed_at, self._hold_s = now, _HOLD_S
        self._has_grown = False

    def sent(self, took_s: float, sent_width: int, cameras: int, now: float) -> bool:
        """Counts a picture of `sent_width` pixels, one of so many cameras; whether `width` has changed.

        `took_s`: how long it took until there was room for the next one; `now` in monotonic seconds.
        """
        self._took_s.append(took_s)
        enough = max(_MIN_PICTURES, cameras)
        del self._took_s[:-enough]
        total_s = sum(self._took_s)
        if len(self._took_s) < enough and total_s < _BLOCKED_S:
            return False
        round_s = total_s / len(self._took_s) * cameras
        if round_s > ROUND_S:
            return self._shrink(sent_width, round_s, now)
        return now - self._changed_at >= self._hold_s and self._grow(round_s, now)

    def _shrink(self, sent_width: int, round_s: float, now: float) -> bool:
        """The size of a JPEG is about proportional to its area."""
        fitting = sent_width * math.sqrt(ROUND_S / round_s)
        smaller = [each for each in WIDTHS if each < sent_width]
        if not smaller:
            return False
        if self._has_grown:
            self._hold_s = min(_LONGEST_HOLD_S, 2 * self._hold_s)
        return self._change(max((each for each in smaller if each <= fitting), default=WIDTHS[0]), now, has_grown=False)

    def _grow(self, round_s: float, now: float) -> bool:
        if self.width is None or self.width == self._wanted:
            return False
        most = self.width * min(_MOST_WIDER, math.sqrt(_RESERVE * ROUND_S / max(round_s, 1e-6)))
        wider = [each for each in WIDTHS if self.width < each <= most]
        if not wider:
            return False
        if self._has_grown:
            self._hold_s = max(_HOLD_S, self._hold_s / 2)
        width = wider[-1]
        if self._wanted is not None and width >= self._wanted:
            return self._change(self._wanted, now, has_grown=True)
        return self._change(None if width == WIDTHS[-1] else width, now, has_grown=True)

    def _change(self, width: int | None, now: float, *, has_grown: bool) -> bool:
        self.width, self._changed_at, self._has_grown = width, now, has_grown
        self._took_s.clear()
        return True
