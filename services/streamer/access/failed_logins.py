"""How often each client address has failed to log in; slows down those who try, and keeps the log short."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque

LIMIT = 10
"""Failures of one address within `WINDOW_S`; after that it has to wait."""
WINDOW_S = 60.0
MAX_ADDRESSES = 10_000
"""The address that has not failed for the longest time is forgotten first; all of them need about 10 MiB."""


class FailedLogins:
    """Counts failures by client address. Safe to use from any thread; times are monotonic, seconds."""

    def __init__(self, limit: int = LIMIT, window_s: float = WINDOW_S, max_addresses: int = MAX_ADDRESSES) -> None:
        self._limit, self._window_s, self._max = limit, window_s, max_addresses
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, address: str, now_s: float) -> int:
        """How long this address has to wait, whole seconds; 0: it may try."""
        with self._lock:
            times = self._failures.get(address)
            if times is None or len(times) < self._limit:
                return 0
            return max(0, math.ceil(times[0] + self._window_s - now_s))

    def add(self, address: str, now_s: float) -> bool:
        """Notes a failure; returns whether the address has to wait from now on."""
        with self._lock:
            times = self._failures.setdefault(address, deque(maxlen=self._limit))
            times.append(now_s)
            self._failures.move_to_end(address)
            if len(self._failures) > self._max:
                self._failures.popitem(last=False)
            return len(times) == self._limit and now_s - times[0] < self._window_s
