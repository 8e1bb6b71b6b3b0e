"""Passes on new events to any number of clients: one reader of `events` for the whole process."""

from __future__ import annotations

import threading
from collections import deque
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
"""Newest events in memory. A client that is further behind reads Redis itself until it has caught up."""
_AT_ONCE = 100
_BLOCK_MS = 500
_RETRY_S = 1.0
_JOIN_S = 2.0
"""How long a new client waits for the reader to reach Redis."""

Entry = tuple[EventId, SiteEvent | None]
"""None: an entry that is no event; it only moves the position of a client on."""


@dataclass(frozen=True)
class Position:
    """How far a client has got."""

    last: EventId
    generation: int
    """How often the stream had begun anew."""


@dataclass(frozen=True)
class Batch:
    """What follows a position."""

    entries: list[Entry]
    position: Position
    """After the entries; at the beginning, if the stream has begun anew."""


class EventFeed:
    """Reads only while a client is subscribed; safe to use from any thread."""

    def __init__(self, client: Client, keys: Keys, kept: int = _KEPT) -> None:
        """`client`: it may block for half a second. `kept`: how many events to keep in memory."""
        self._client, self._keys = client, keys
        self._changed = threading.Condition()
        self._kept: deque[Entry] = deque(maxlen=kept)
        self._kept_after: EventId | None = None
        """`_kept` has everything after this id; None: nothing has been read since somebody subscribed."""
        self._read_to = _BEGINNING
        self._generation = 0
        self._clients = 0
        self.closed = False
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def join(self, last: EventId | None) -> Position:
        """The position of a new client whose last event was `last`; None: it wants only what comes from now on.

        The feed reads until each client that joined has left.

        Raises:
            RedisError: Redis is unreachable; the client has not joined.
        """
        with self._changed:
            self._clients += 1
            if self._thread.ident is None and not self.closed:
                self._thread.start()
            self._changed.notify_all()
        try:
            with self._changed:
                # Only then will the reader notice if the stream begins anew after `newest` was read.
                if not self._changed.wait_for(lambda: self.closed or self._kept_after is not None, _JOIN_S):
                    raise RedisTimeout("events cannot be read")
                generation = self._generation
            newest = self._newest()
        except BaseException:
            self.leave()
            raise
        if last is None:
            return Position(newest, generation)
        return Position(last if last <= newest else _BEGINNING, generation)  # a later one is from before it began anew

    def leave(self) -> None:
        """Ends what `join` began."""
        with self._changed:
            self._clients -= 1

    def after(self, position: Position, timeout_s: float) -> Batch:
        """The events after a position, oldest first, at most `_AT_ONCE`; waits up to `timeout_s` for the first.

        Raises:
            RedisError: Redis is unreachable; only for a client that is far behind.
        """
        last, generation = position.last, position.generation
        with self._changed:
            self._changed.wait_for(
                lambda: self.closed or self._generation != generation or self._has_after(last), timeout_s
            )
            if self._generation != generation:
                return Batch([], Position(_BEGINNING, self._generation))
            if self.closed or not self._has_after(last):
                return Batch([], position)
            if self._kept_after is not None and last >= self._kept_after:
                newer = list(takewhile(lambda entry: entry[0] > last, reversed(self._kept)))[::-1][:_AT_ONCE]
                return Batch(newer, Position(newer[-1][0], generation))
        first = following(last)
        found = [] if first is None else entries_at(self._client, self._keys.events, first=first, count=_AT_ONCE)
        entries: list[Entry] = [(stream_id(entry_id), site_event(entry_id, fields)) for entry_id, fields in found]
        if not entries:  # The stream was deleted just now: the reader finds it out, too.
            with self._changed:
                self._changed.wait_for(lambda: self.closed or self._generation != generation, timeout_s)
            return Batch([], position)
        return Batch(entries, Position(entries[-1][0], generation))

    def close(self) -> None:
        """Ends every wait, and the reader within the duration of one read."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout=2 * _BLOCK_MS / 1000)

    def _has_after(self, last: EventId) -> bool:
        return self._kept_after is not None and self._read_to > last

    def _newest(self) -> EventId:
        entries = newest_entries_at(self._client, self._keys.events, count=1)
        return stream_id(entries[0][0]) if entries else _BEGINNING

    def _run(self) -> None:
        failed = False
        while self._wait_for_clients():
            try:
                self._step()
                failed = False
            except RedisError as error:
                if not failed:
                    _log.warning("events cannot be read, retrying", reason=str(error))
                failed = True
                self._pause()
            except Exception:  # noqa: BLE001 (the top of a loop; the thread must not end unseen)
                _log.exception("reading events failed, retrying", retry_in_s=_RETRY_S)
                self._pause()

    def _wait_for_clients(self) -> bool:
        """Waits until somebody is subscribed; False once closed."""
        with self._changed:
            if not self._clients:
                self._kept_after = None
                self._changed.wait_for(lambda: self._clients or self.closed)
            return not self.closed

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.closed, _RETRY_S)

    def _step(self) -> None:
        """Reads once; waits up to `_BLOCK_MS` for an event.

        Raises:
            RedisError: Redis is unreachable, or the key is not a stream.
        """
        if self._kept_after is None:
            newest = self._newest()
            with self._changed:
                self._kept.clear()
                self._read_to = self._kept_after = newest
                self._changed.notify_all()
        answer = self._client.xread({self._keys.events: "{}-{}".format(*self._read_to)}, block=_BLOCK_MS)
        if answer:
            self._take([(stream_id(entry_id), site_event(entry_id, fields)) for entry_id, fields in answer[0][1]])
        elif self._newest() < self._read_to:
            with self._changed:
                self._kept.clear()
                self._read_to = self._kept_after = _BEGINNING
                self._generation += 1
                self._changed.notify_all()

    def _take(self, entries: list[Entry]) -> None:
        with self._changed:
            for entry in entries:
                if len(self._kept) == self._kept.maxlen:
                    self._kept_after = self._kept[0][0]
                self._kept.append(entry)
            self._read_to = entries[-1][0]
            self._changed.notify_all()
