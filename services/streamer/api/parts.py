"""What the resources of the API read from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from flask import request
from werkzeug.exceptions import NotFound

from services.streamer.event_feed import EventFeed, Subscription
from services.streamer.metrics import StreamerMetrics
from services.streamer.site_reader import SiteReader
from shared.identity_list import IdentityList
from shared.keys import Keys
from shared.redis_connection import Client
from shared.site import PublishedSite
from shared.site_state.explanation import ChangeLog
from shared.site_state.states import CameraState

ASKERS_MOST = 4
"""Requests that may wait for an answer: each keeps one of the threads that answer all requests."""
_LOOK_S = 1.0
"""How often a waiting stream checks whether its client is still connected."""


class StreamClient(Protocol):
    """The client of an endless response, as its server sees it."""

    def has_left(self) -> bool:
        """Whether it has disconnected, as far as that is known."""

    def wait(self, subscription: Subscription, longest_s: float) -> None:
        """Waits until there may be news, `longest_s` at most; may return earlier."""


class ThreadClient:
    """A client whose response has a thread of its own, which may wait; to be made while its request is handled."""

    def __init__(self) -> None:
        self._has_left: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)

    def has_left(self) -> bool:
        """Whether it has disconnected."""
        return self._has_left()

    def wait(self, subscription: Subscription, longest_s: float) -> None:
        """Waits for news."""
        subscription.wait(min(_LOOK_S, longest_s))


@dataclass(frozen=True)
class ApiParts:
    """The parts of the streamer that the API uses."""

    published: PublishedSite
    site: SiteReader
    events: EventFeed
    metrics: StreamerMetrics
    places: threading.BoundedSemaphore
    """One for each open stream."""
    stream_client: Callable[[], StreamClient] = ThreadClient
    """Called for each endless response while its request is handled."""
    askers: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(ASKERS_MOST))
    """One for each request that waits for the answer of a worker or the aggregator."""

    @property
    def keys(self) -> Keys:
        """The key names of the site."""
        return self.published.keys

    @property
    def client(self) -> Client:
        """The client of the site's Redis."""
        return self.site.client

    @property
    def frames(self) -> Client:
        """The client of the Redis for pictures."""
        return self.site.frames

    @cached_property
    def identities(self) -> IdentityList:
        """Knows which gids have a record."""
        return IdentityList(self.client, self.keys)

    @cached_property
    def changes(self) -> ChangeLog:
        """Remembers merges and splits."""
        return ChangeLog(self.client, self.keys)

    def camera(self, name: str) -> CameraState:
        """The state of a camera.

        Raises:
            NotFound: the site has none of this name.
            RedisError: Redis is unreachable.
        """
        camera = self.site.current().camera(name)
        if camera is None:
            raise NotFound(f"this site has no camera '{name}'")
        return camera
