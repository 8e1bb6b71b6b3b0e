"""The state of the site, read from Redis once for all who ask within a moment."""

from __future__ import annotations

import threading
import time

from redis.exceptions import RedisError

from shared.process import Connected
from shared.site_state.reading import StateReader
from shared.site_state.states import SiteState

MAX_AGE_S = 0.4
"""An answer may be this old; also an error, so that many requests do not each wait for a Redis that is away."""


class SiteReader:
    """Safe to use from any thread; only one of them asks Redis at a time."""

    def __init__(self, connected: Connected) -> None:
        self._configured = connected.site.config.camera_names
        self.reader = StateReader(connected.client, connected.frames, connected.site)
        self._lock = threading.Lock()
        self._error: RedisError | None = None
        self._asked_at = -1e9
        self.last: SiteState | None = None
        """What was read last, however old."""

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The cameras as far as they are known: in the site's order, added ones after those."""
        last = self.last
        return self._configured if last is None else tuple(camera.name for camera in last.cameras)

    def current(self) -> SiteState:
        """The state of the site, at most `MAX_AGE_S` old.

        Raises:
            RedisError: Redis is away or refuses.
        """
        with self._lock:
            if time.monotonic() - self._asked_at > MAX_AGE_S:
                try:
                    self.last, self._error = self.reader.read(), None
                except RedisError as error:
                    self._error = error
                self._asked_at = time.monotonic()
            if self._error is not None:
                raise self._error
            assert self.last is not None
            return self.last
