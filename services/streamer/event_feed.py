"""Passes on new events to any number of clients: one reader of `events` for the whole process.

Clients never call Redis. What they have missed is read for them by one more thread, so a generator that serves a client
may run in an event loop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

import structlog
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from shared.keys import Keys
from shared.lenient_reads import entries_at, newest_entries_at
from shared.lenient_values import following, stream_id
from shared.redis_connection import Client
from shared.site_events import EventId, SiteEvent, site_event

_log = structlog.get_logger()
_BEGINNING: EventId = (0, 0)
_KEPT = 1_000
"""Newest events in memory. For a client that is further behind, Redis is read again."""
_AT_ONCE = 100
_BLOCK_MS = 500
_RETRY_S = 1.0
_JOIN_S = 2.0
"""How long a new client waits for the reader to reach Redis."""


@dataclass(frozen=True)
class Entry:
    """One entry of `events`."""

    id: EventId
    event: SiteEvent | None
    """None: it is no event; it only moves the position of a client on."""
    encoded: bytes
    """The event as clients get it, encoded once for all of them."""


class Subscription:
    """The position of one client. Its methods return at once, except `wait`."""

    def __init__(self, feed: EventFeed, last: EventId, generation: int) -> None:
        self._feed, self._generation = feed, generation
        self.last = last
        """Id of the last entry that the client has taken."""
        self._missed: list[Entry] | None = None
        """What was read for it from Redis."""
        self._is_asking = False

    def take(self) -> list[Entry]:
        """The next entries, oldest first; none if there is nothing new, or if they are still being read."""
        entries = self._feed._take_for(self)
        if entries:
            self.last = entries[-1].id
        return entries

    def wait(self, timeout_s: float) -> None:
        """Waits in a thread until there may be something to take."""
        self._feed._wait_for(self, timeout_s)

    def leave(self) -> None:
        """Ends the subscription."""
        self._feed._leave()


class EventFeed:
    """Reads only while a client is subscribed; safe to use from any thread."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        encode: Callable[[SiteEvent], bytes],
        on_change: Callable[[], None] = lambda: None,
        kept: int = _KEPT,
    ) -> None:
        """`client` may block for half a second. `on_change` is called, in a thread of the feed, when subscriptions may
        have something to take, or the feed was closed. `kept`: how many events to keep in memory.
        """
        self._client, self._keys = client, keys
        self._encode, self._on_change = encode, on_change
        self._changed = threading.Condition()
        self._kept: deque[Entry] = deque(maxlen=kept)
        self._kept_after: EventId | None = None
        """`_kept` has everything after this id; None: nothing has been read since somebody subscribed."""
        self._read_to = _BEGINNING
        self._generation = 0
        """How often the stream has begun anew."""
        self._subscriptions = 0
        self._behind: deque[Subscription] = deque()
        """Those for which Redis has to be read again; each is listed once."""
        self.closed = False
        self._threads = [
            threading.Thread(target=self._run, args=(self._is_wanted, self._read), name="events", daemon=True),
            threading.Thread(target=self._run, args=(self._is_behind, self._catch_up), name="past-events", daemon=True),
        ]

    def join(self, last: EventId | None) -> Subscription:
        """A client whose last event was `last`; None: it wants only what comes from now on.

        Raises:
            RedisError: Redis is unreachable; the client has not joined.
        """
        with self._changed:
            self._subscriptions += 1
            if not self.closed:
                for thread in self._threads:
                    if thread.ident is None:
                        thread.start()
            self._changed.notify_all()
        try:
            with self._changed:
                # Only then will the reader notice if the stream begins anew after `newest` was read.
                if not self._changed.wait_for(lambda: self.closed or self._kept_after is not None, _JOIN_S):
                    raise RedisTimeout("events cannot be read")
                generation = self._generation
            newest = self._newest()
        except BaseException:
            self._leave()
            raise
        if last is None:
            return Subscription(self, newest, generation)
        # A later id is from before the stream began anew.
        return Subscription(self, last if last <= newest else _BEGINNING, generation)

    def close(self) -> None:
        """Ends every wait, and the threads within the duration of one read."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        self._on_change()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=2 * _BLOCK_MS / 1000)

    # -- for subscriptions ------------------------------------------------------------------------------

    def _take_for(self, one: Subscription) -> list[Entry]:
        with self._changed:
            if one._generation != self._generation:
                one._generation, one.last, one._missed = self._generation, _BEGINNING, None
            if not self._has_after(one.last):
                return []
            if self._kept_after is not None and one.last >= self._kept_after:
                newer = list(takewhile(lambda entry: entry.id > one.last, reversed(self._kept)))
                return newer[::-1][:_AT_ONCE]
            missed, one._missed = one._missed, None
            if not missed and not one._is_asking:
                one._is_asking = True
                self._behind.append(one)
                self._changed.notify_all()
            return missed or []

    def _wait_for(self, one: Subscription, timeout_s: float) -> None:
        def has_news() -> bool:
            if self.closed or one._generation != self._generation or one._missed:
                return True
            return self._has_after(one.last) and not one._is_asking

        with self._changed:
            self._changed.wait_for(has_news, timeout_s)

    def _leave(self) -> None:
        with self._changed:
            self._subscriptions -= 1

    def _has_after(self, last: EventId) -> bool:
        return self._kept_after is not None and self._read_to > last

    # -- threads ----------------------------------------------------------------------------------------

    def _run(self, is_due: Callable[[], bool], step: Callable[[], None]) -> None:
        failed = False
        while self._wait_until(is_due):
            try:
                step()
                failed = False
            except RedisError as error:
                if not failed:
                    _log.warning("events cannot be read, retrying", reason=str(error))
                failed = True
                self._pause()
            except Exception:  # noqa: BLE001 (the top of a loop; the thread must not end unseen)
                _log.exception("reading events failed, retrying", retry_in_s=_RETRY_S)
                self._pause()

    def _wait_until(self, is_due: Callable[[], bool]) -> bool:
        """Waits until there is something to do; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or is_due())
            return not self.closed

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.closed, _RETRY_S)

    def _is_wanted(self) -> bool:
        if not self._subscriptions:
            self._kept_after = None
        return self._subscriptions > 0

    def _is_behind(self) -> bool:
        return bool(self._behind)

    def _newest(self) -> EventId:
        entries = newest_entries_at(self._client, self._keys.events, count=1)
        return stream_id(entries[0][0]) if entries else _BEGINNING

    def _read(self) -> None:
        """Reads new events once; waits up to `_BLOCK_MS` for one.

        Raises:
            RedisError: Redis is unreachable, or the key is not a stream.
        """
        if self._kept_after is None:
            self._begin_at(self._newest())
        answer = self._client.xread({self._keys.events: "{}-{}".format(*self._read_to)}, block=_BLOCK_MS)
        if answer:
            entries = [self._entry(*found) for found in answer[0][1]]
            with self._changed:
                for entry in entries:
                    if len(self._kept) == self._kept.maxlen:
                        self._kept_after = self._kept[0].id
                    self._kept.append(entry)
                self._read_to = entries[-1].id
                self._changed.notify_all()
            self._on_change()
        elif self._newest() < self._read_to:
            with self._changed:
                self._generation += 1
            self._begin_at(_BEGINNING)
            self._on_change()

    def _begin_at(self, last: EventId) -> None:
        with self._changed:
            self._kept.clear()
            self._read_to = self._kept_after = last
            self._changed.notify_all()

    def _catch_up(self) -> None:
        """Reads what one client has missed.

        Raises:
            RedisError: Redis is unreachable; the client is tried again.
        """
        one = self._behind[0]
        with self._changed:
            last, generation = one.last, self._generation
        first = following(last)
        found = [] if first is None else entries_at(self._client, self._keys.events, first=first, count=_AT_ONCE)
        entries = [self._entry(*each) for each in found]
        if not entries:  # The stream was deleted just now; the reader finds it out, too.
            self._pause()
        with self._changed:
            self._behind.popleft()
            one._is_asking = False
            # Otherwise the stream began anew meanwhile.
            one._missed = entries if (one.last, self._generation) == (last, generation) else None
            self._changed.notify_all()
        self._on_change()

    def _entry(self, entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
        event = site_event(entry_id, fields)
        return Entry(stream_id(entry_id), event, self._encode(event) if event is not None else b"")
