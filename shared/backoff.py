"""Waits between tries: exponential, with jitter, so that many who failed together do not try again together."""

from __future__ import annotations

import random


class Backoff:
    """Waits between two tries: random, in a window that doubles from twice `first_s` up to `cap_s`."""

    def __init__(self, first_s: float = 0.5, cap_s: float = 30.0) -> None:
        self._first_s, self._cap_s = first_s, cap_s
        self._window_s = first_s

    def next_s(self) -> float:
        """How long to wait before the next try, seconds; at least `first_s`."""
        self._window_s = min(self._cap_s, 2 * self._window_s)
        return random.uniform(self._first_s, self._window_s)  # noqa: S311 (jitter is no secret)

    def reset(self) -> None:
        """The last try succeeded: the next wait is short again."""
        self._window_s = self._first_s
