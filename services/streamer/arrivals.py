"""Wakes the greenlets of the HTTP server's event loop when another thread has something new for them.

A greenlet that waits costs no thread. The threads that read Redis, draw placeholders and scale pictures call
`announce`; the greenlets that serve viewers call `wait`.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from typing import Any

import gevent
from gevent.event import Event

WAIT_S = 1.0
"""How long a wait takes at most."""


class Arrivals:
    """Topics that threads announce and greenlets wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._announced: set[Hashable] = set()
        self._watcher: Any = None
        self._timer: Any = None
        self._rounds = 0
        """How often all waits have been ended."""
        self._events: dict[Hashable, Any] = {}
        """Topic → the event of those that wait for it now; used in the loop's thread only."""

    def attach(self) -> None:
        """Wakes the greenlets of the calling thread from now on."""
        watcher = gevent.get_hub().loop.async_()
        watcher.start(self._wake)
        # One timer for all is cheaper than one for each wait.
        self._timer = gevent.get_hub().loop.timer(WAIT_S, WAIT_S)
        self._timer.start(self._wake_all)
        with self._lock:
            self._watcher = watcher
            watcher.send()

    def detach(self) -> None:
        """The reverse of `attach`, in the same thread."""
        with self._lock:
            watcher, self._watcher = self._watcher, None
        for each in (watcher, self._timer):
            each.stop()
            each.close()

    def announce(self, *topics: Hashable) -> None:
        """Ends the waits for `topics`; to be called from any thread, after the change that they wait for."""
        with self._lock:
            self._announced.update(topics)
            if self._watcher is not None:
                self._watcher.send()

    def _wake(self) -> None:
        with self._lock:
            announced, self._announced = self._announced, set()
        self._end_waits(announced)

    def _wake_all(self) -> None:
        self._rounds += 1
        self._end_waits(tuple(self._events))

    def _end_waits(self, topics: Iterable[Hashable]) -> None:
        for topic in topics:
            event = self._events.pop(topic, None)
            if event is not None:
                event.set()

    def wait(self, topic: Hashable) -> bool:
        """Waits in a greenlet until `topic` is announced, or `WAIT_S` at most; False in the second case.

        What was announced before the call does not count: look first, then wait. Nothing is missed between the two,
        because waits end only in the loop, which does not run meanwhile.
        """
        event = self._events.get(topic)
        if event is None:
            event = self._events[topic] = Event()
        rounds = self._rounds
        event.wait()
        return self._rounds == rounds

    def sleep(self, seconds: float) -> None:
        """Pauses the calling greenlet."""
        gevent.sleep(seconds)
