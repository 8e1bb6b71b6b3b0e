"""The state of the site for live pages, described once for all of them by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import RedisError

from services.streamer.api import wall_json_without_redis
from services.streamer.wall_format import wall_message

_log = structlog.get_logger()

EVERY_S = 0.4
"""A role is free 2 s after its owner hung, and the second reading that finds it so reports the problem: within 3 s."""


@dataclass(frozen=True)
class Described:
    """One description."""

    number: int
    message: bytes
    """For `/wall.stream`."""


class WallState:
    """Describes the site every `EVERY_S` while a page is open. Safe to use from any thread."""

    def __init__(self, describe: Callable[[], dict[str, Any]], on_change: Callable[[], None]) -> None:
        """`describe` may raise RedisError; `on_change` is called after each description."""
        self._describe, self._on_change = describe, on_change
        self._condition = threading.Condition()
        self._pages = self._number = 0
        self._closed = False
        self._latest: Described | None = None
        self._thread = threading.Thread(target=self._run, name="wall-state", daemon=True)

    def start(self) -> None:
        """Starts describing."""
        self._thread.start()

    def opened(self) -> None:
        """Counts a page that was opened."""
        with self._condition:
            self._pages += 1
            self._condition.notify_all()

    def left(self) -> None:
        """The reverse of `opened`."""
        with self._condition:
            self._pages -= 1
            if not self._pages:
                self._latest = None

    def latest(self) -> Described | None:
        """The newest description; None if there is none since the last page was closed."""
        return self._latest

    def close(self) -> None:
        """Stops describing; a description that hangs is not waited for."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._pages > 0)
                if self._latest is not None:
                    self._condition.wait_for(lambda: self._closed, EVERY_S)
                if self._closed:
                    return
            try:
                self._update()
            except Exception:  # noqa: BLE001 (the top of a loop; the thread must not end unseen)
                _log.exception("describing the site for pages failed, retrying", retry_in_s=EVERY_S)
                time.sleep(EVERY_S)

    def _update(self) -> None:
        try:
            described = self._describe()
        except RedisError:
            described = wall_json_without_redis()
        message = wall_message({"type": "state", **described})
        with self._condition:
            self._number += 1
            if self._pages:
                self._latest = Described(self._number, message)
        self._on_change()
