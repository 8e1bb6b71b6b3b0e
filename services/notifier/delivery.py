"""Brings every event to one receiver, at least once and in order; its position is kept in Redis."""

from __future__ import annotations

import threading
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from services.notifier.events import Event, event_of
from services.notifier.metrics import NotifierMetrics
from shared.backoff import Backoff
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import Lease
from shared.notification_config import EventFilter
from shared.redis_connection import Client

_log = structlog.get_logger()
_READ_AT_ONCE = 100
_BLOCK_MS = 500
_BEGINNING = "0-0"


class Receiver(Protocol):
    """Where events go. Only its own thread calls it."""

    name: str
    wanted: EventFilter

    def open(self) -> None:
        """Begins to connect, if it keeps a connection."""

    def send(self, event: Event, stop: threading.Event) -> bool:
        """Sends one event, and tries again until it has arrived; False: `stop` was set before.

        Raises:
            Refused: the receiver will never take this event.
        """

    def close(self) -> None:
        """Ends its connection."""


class Refused(Exception):
    """A receiver does not take an event, and will not take it later either."""


class Delivery:
    """The thread of one receiver. Another receiver that hangs or fails does not concern it."""

    def __init__(self, client: Client, keys: Keys, lease: Lease, receiver: Receiver, metrics: NotifierMetrics) -> None:
        self._client, self._keys, self._lease = client, keys, lease
        self._receiver, self._metrics = receiver, metrics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"to-{receiver.name}", daemon=True)

    def start(self) -> None:
        """Begins where the last owner stopped, or with the next event if there was none."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the present attempt."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Waits for the thread."""
        self._thread.join(seconds)

    @property
    def is_alive(self) -> bool:
        """Whether it works; False once another process owns the role."""
        return self._thread.is_alive()

    def _run(self) -> None:
        backoff, cursor = Backoff(0.1, 5.0), None
        self._receiver.open()
        try:
            while not self._stop.is_set():
                try:
                    cursor = self._position() if cursor is None else self._deliver_next(cursor)
                    backoff.reset()
                except LeaseLost:
                    return  # The service notices, and becomes a standby.
                except RedisError as error:
                    _log.warning("Redis is unreachable, retrying", receiver=self._receiver.name, reason=str(error))
                    cursor = None
                    self._stop.wait(backoff.next_s())
        except Exception:  # noqa: BLE001 (the top of a thread; the service begins again)
            _log.exception("sending events failed unexpectedly; it begins again", receiver=self._receiver.name)
        finally:
            self._receiver.close()

    def _position(self) -> str:
        """The last handled entry. For a new receiver, the newest one; after Redis lost its data, the beginning."""
        newest = _newest_id(self._client, self._keys.events)
        kept = self._client.hget(self._keys.notified, self._receiver.name)
        if kept is None:
            self._keep(newest)
            return newest
        cursor = kept.decode(errors="replace")
        if not _is_id(cursor) or _parts(cursor) > _parts(newest):
            self._keep(_BEGINNING)
            return _BEGINNING
        return cursor

    def _deliver_next(self, cursor: str) -> str:
        answer = self._client.xread({self._keys.events: cursor}, count=_READ_AT_ONCE, block=_BLOCK_MS)
        if not answer:
            return self._position()
        for entry_id, fields in answer[0][1]:
            event = event_of(self._client, self._keys, entry_id, fields)
            self._note_lost(cursor, event.entry_id)
            if event.passes(self._receiver.wanted) and not self._send(event):
                return cursor
            cursor = event.entry_id
            self._keep(cursor)
        return cursor

    def _send(self, event: Event) -> bool:
        try:
            if not self._receiver.send(event, self._stop):
                return False
        except Refused as error:
            self._metrics.refused.labels(self._receiver.name).inc()
            _log.warning(
                "a receiver refuses an event, which is left out",
                receiver=self._receiver.name,
                event_id=event.entry_id,
                reason=str(error),
            )
            return True
        self._metrics.sent.labels(self._receiver.name).inc()
        return True

    def _note_lost(self, cursor: str, entry_id: str) -> None:
        """Events have the ids `N-0` without gaps; a gap means that they were trimmed before they were sent."""
        lost = _parts(entry_id)[0] - _parts(cursor)[0] - 1
        if cursor == _BEGINNING or lost <= 0:
            return
        self._metrics.lost.labels(self._receiver.name).inc(lost)
        _log.error(
            "events were deleted before they could be sent, because the receiver was away for too long",
            receiver=self._receiver.name,
            events=lost,
        )

    def _keep(self, cursor: str) -> None:
        key = self._keys.notified
        self._lease.commit([["HSET", key, self._receiver.name, cursor]], [key], renew=False)


def _newest_id(client: Client, key: str) -> str:
    newest = client.xrevrange(key, count=1)
    return newest[0][0].decode() if newest else _BEGINNING


def _is_id(text: str) -> bool:
    first, dash, second = text.partition("-")
    return bool(dash) and first.isdecimal() and second.isdecimal() and len(text) < 42


def _parts(entry_id: str) -> tuple[int, int]:
    first, _, second = entry_id.partition("-")
    return int(first), int(second)
