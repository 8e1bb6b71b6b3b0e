"""The state of the site, read from Redis and cached briefly for all requests."""

from __future__ import annotations

import threading
import time

from redis.exceptions import RedisError

from shared.process import Connected, ServiceOptions
from shared.redis_connection import connect
from shared.site_state.problems import ProblemWatch
from shared.site_state.reading import StateReader
from shared.site_state.states import SiteState

MAX_AGE_S = 0.3
"""How long a state is cached; an error too, so that requests do not all wait for an unreachable Redis. Live pages read
less often (`wall_state.EVERY_S`)."""
_TIMEOUT_S = 1.0
"""A Redis that takes longer to answer counts as silent, so that the page says so within 3 s."""


class SiteReader:
    """Caches the state of the site. Safe to use from any thread; only one at a time reads Redis.

    Its problems are settled: none comes and goes with every reading.
    """

    def __init__(self, connected: Connected, options: ServiceOptions) -> None:
        self._configured = connected.site.config.camera_names
        client = frames = connect(options.redis_url, options.redis_password, timeout_s=_TIMEOUT_S)
        if options.frames_url:
            frames = connect(options.frames_url, options.redis_password, timeout_s=_TIMEOUT_S)
        self.clients = {"Redis": client}
        """Name of each server in messages → a client that does not wait long for an answer."""
        if frames is not client:
            self.clients["the Redis for pictures"] = frames
        self.client, self.frames = client, frames
        self.reader = StateReader(client, frames, connected.site)
        self._watch = ProblemWatch()
        self._lock = threading.Lock()
        self._error: RedisError | None = None
        self._asked_at = -1e9
        self.last: SiteState | None = None
        """The last state that was read, however old."""

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The cameras in the last state, otherwise those of the site file; added ones come last."""
        last = self.last
        return self._configured if last is None else tuple(camera.name for camera in last.cameras)

    def current(self) -> SiteState:
        """The state of the site, at most `MAX_AGE_S` old.

        Raises:
            RedisError: Redis is unreachable or refuses.
        """
        with self._lock:
            if time.monotonic() - self._asked_at > MAX_AGE_S:
                try:
                    state = self.reader.read()
                    settled = self._watch.settled(state.problems, time.monotonic())
                    self.last, self._error = state.with_problems(settled), None
                except RedisError as error:
                    self._error = error
                    self._watch.interrupted()
                self._asked_at = time.monotonic()
            if self._error is not None:
                raise self._error
            assert self.last is not None
            return self.last

    def expire(self) -> None:
        """Makes the next request read the state anew, because this process has changed it."""
        with self._lock:
            self._asked_at = -1e9

    def close(self) -> None:
        """Closes its connections."""
        for client in self.clients.values():
            client.close()
