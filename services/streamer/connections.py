"""What waitress lacks: a time limit for a request to arrive, and room for new clients when many are silent."""

from __future__ import annotations

import time
from typing import Any

from waitress.channel import HTTPChannel

REQUEST_S = 5.0
"""A client whose request has not arrived completely this long after its start, or after the connection, is
disconnected."""
MAX_WAITING = 256
"""Maximum number of connections without a running request. For one more, the one that has waited longest is closed: a
client that means it sends its request at once."""


class Connection(HTTPChannel):
    """A connection of a client.

    Runs in the server's thread, except for the requests that waitress hands to its own threads.
    """

    def __init__(self, server: Any, *arguments: Any, **options: Any) -> None:
        self._waits_since = time.monotonic()
        self._is_idle = False
        """Whether it waits for the next request after a complete one; waitress limits that time."""
        super().__init__(server, *arguments, **options)
        waiting = [other for other in server.active_channels.values() if other.is_waiting]
        if len(waiting) > MAX_WAITING:
            min(waiting, key=lambda other: other._waits_since).handle_close()

    @property
    def is_waiting(self) -> bool:
        """Whether it has no request that runs, or whose answer is being sent."""
        return not self.requests and not self.total_outbufs_len

    def received(self, data: bytes) -> bool:
        before = self.request
        done = bool(super().received(data))
        if before is None or self.request is not before:  # a request began, or is complete
            self._waits_since = time.monotonic()
        self._is_idle = self.request is None
        return done

    def readable(self) -> bool:
        """Whether to read from it; the server asks at least once a second."""
        if self.is_waiting and not self._is_idle and time.monotonic() > self._waits_since + REQUEST_S:
            self.will_close = True
        return bool(super().readable())
