"""Tracks which cameras are being watched and reports it to the workers, which publish only those at full rate."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable

from shared.keys import Keys
from shared.scripts import Scripts

TOUCH_SECONDS = 4.0
"""A single request for a picture counts as watching for this long; a refreshing page sends the next one earlier."""

_WRITE_EVERY_S = 1.0
_KEPT_MS = 60_000


class Watching:
    """The watched cameras of this process; safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._change = 0
        self._open: Counter[str] = Counter()
        self._until: dict[str, float] = {}
        self._written_at: dict[str, float] = {}

    def open(self, camera: str) -> None:
        """Counts a viewer that starts watching; `close` ends it."""
        with self._changed:
            self._open[camera] += 1
            self._notify()

    def close(self, camera: str) -> None:
        """The reverse of `open`."""
        with self._changed:
            self._open[camera] -= 1
            if self._open[camera] <= 0:
                del self._open[camera]

    def touch(self, cameras: Iterable[str]) -> None:
        """Counts these cameras as watched for the next `TOUCH_SECONDS`."""
        until = time.monotonic() + TOUCH_SECONDS
        with self._changed:
            for camera in cameras:
                if camera not in self._until:
                    self._notify()
                self._until[camera] = until

    def _notify(self) -> None:
        self._change += 1
        self._changed.notify_all()

    def opened(self) -> dict[str, int]:
        """Camera → how many viewers have it open."""
        with self._changed:
            return dict(self._open)

    def cameras(self) -> frozenset[str]:
        """The cameras that are watched now."""
        now = time.monotonic()
        with self._changed:
            self._until = {camera: until for camera, until in self._until.items() if until > now}
            return frozenset(self._open) | frozenset(self._until)

    def wait_for_change(self, timeout_s: float) -> None:
        """Waits until a camera becomes watched, up to `timeout_s`."""
        with self._changed:
            before = self._change
            self._changed.wait_for(lambda: self._change != before, timeout_s)

    def wake(self) -> None:
        """Ends every wait, so that a thread can check whether to stop."""
        with self._changed:
            self._notify()

    def write(self, scripts: Scripts, keys: Keys) -> None:
        """Writes the watched cameras to `viewers`, each at most once a second; entries older than a minute are removed.

        Raises:
            RedisError: Redis is unreachable; the next call retries.
        """
        now = time.monotonic()
        watched = self.cameras()
        self._written_at = {camera: at for camera, at in self._written_at.items() if camera in watched}
        due = sorted(camera for camera in watched if now - self._written_at.get(camera, -1e9) >= _WRITE_EVERY_S)
        if due:
            scripts.run("watched", [keys.viewers], [_KEPT_MS, *due])
            self._written_at |= dict.fromkeys(due, now)
