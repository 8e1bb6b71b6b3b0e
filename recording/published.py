"""What an aggregator publishes, read as it comes: `assignments` and `events`."""

from __future__ import annotations

from collections.abc import Callable

from recording.entry_log import EntryFields
from shared.keys import Keys
from shared.redis_connection import Client

_AT_ONCE = 1000

TakeEntry = Callable[[str, EntryFields], None]
"""Called with the id and the fields of an entry."""


class PublishedReader:
    """Reads both streams from their beginning on, in order; read it before they are trimmed (about 10,000 events)."""

    def __init__(self, client: Client, keys: Keys, assignment: TakeEntry, event: TakeEntry) -> None:
        self._client = client
        self._streams: dict[bytes, TakeEntry] = {keys.assignments.encode(): assignment, keys.events.encode(): event}
        self._cursors = dict.fromkeys(self._streams, b"0-0")

    def read(self) -> None:
        """Hands out what has come since the last call."""
        while answer := self._client.xread(self._cursors, count=_AT_ONCE):
            for key, entries in answer:
                for entry_id, fields in entries:
                    self._streams[key](entry_id.decode(), fields)
                self._cursors[key] = entries[-1][0]
            if all(len(entries) < _AT_ONCE for _, entries in answer):
                return
