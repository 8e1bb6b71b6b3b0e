"""Exponential backoff with jitter, so that processes that failed together do not retry together."""

from __future__ import annotations

import random


class Backoff:
    """Random waits between retries, in a window that doubles from twice `first_s` up to `cap_s`, both in seconds."""

    def __init__(self, first_s: float = 0.5, cap_s: float = 30.0) -> None:
        self._first_s, self._cap_s = first_s, cap_s
        self._window_s = first_s

    def next_s(self) -> float:
        """How long to wait before the next retry, seconds; at least `first_s`."""
        self._window_s = min(self._cap_s, 2 * self._window_s)
        return random.uniform(self._first_s, self._window_s)  # noqa: S311 (jitter is no secret)

    def reset(self) -> None:
        """Makes the next wait short again, after a success."""
        self._window_s = self._first_s
