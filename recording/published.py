"""Reads the aggregator's streams, `assignments` and `events`, while it publishes."""

from __future__ import annotations

from collections.abc import Callable

from recording.entry_log import EntryFields
from shared.keys import Keys
from shared.redis_connection import Client

_BATCH = 1000

TakeEntry = Callable[[str, EntryFields], None]
"""Callback with the id and the fields of an entry."""


class PublishedReader:
    """Reads both streams from the start, in order; call `read` before entries are trimmed (after about 10,000)."""

    def __init__(self, client: Client, keys: Keys, assignment: TakeEntry, event: TakeEntry) -> None:
        self._client = client
        self._streams: dict[bytes, TakeEntry] = {keys.assignments.encode(): assignment, keys.events.encode(): event}
        self._cursors = dict.fromkeys(self._streams, b"0-0")

    def read(self) -> None:
        """Pass all entries since the last call to the callbacks."""
        while answer := self._client.xread(self._cursors, count=_BATCH):
            for key, entries in answer:
                for entry_id, fields in entries:
                    self._streams[key](entry_id.decode(), fields)
                self._cursors[key] = entries[-1][0]
            if all(len(entries) < _BATCH for _, entries in answer):
                return
