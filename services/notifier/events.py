"""Events as they are sent: read from the stream without trust, filtered, and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.keys import Keys
from shared.lenient_reads import hash_at
from shared.lenient_values import decimal, text_fields, whole
from shared.names import read_names
from shared.notification_config import EventFilter
from shared.redis_connection import Client
from shared.site_state.explanation import class_name_of

_WHOLE = ("gid", "other_gid", "tick", "track_id", "runner_up", "after_seq", "next_seq", "tracks", "identities")
_DECIMAL = ("score", "margin")
_LEFT_OUT = ("time_ns",)


@dataclass(frozen=True)
class Event:
    """One entry of `events`."""

    entry_id: str
    fields: Mapping[str, str]
    object_class: str | None = None
    """Of the identity that it is about."""
    name: str | None = None
    """That people gave to this identity."""

    @property
    def kind(self) -> str:
        """Such as `appeared`."""
        return self.fields.get("kind", "")

    def passes(self, wanted: EventFilter) -> bool:
        """Whether a filter lets it through."""
        cameras = {self.fields.get("camera"), self.fields.get("from_camera")}
        return (
            (not wanted.kinds or self.kind in wanted.kinds)
            and (not wanted.classes or self.object_class in wanted.classes)
            and (not wanted.cameras or bool(cameras & set(wanted.cameras)))
            and (not wanted.names or self.name in wanted.names)
        )

    def as_json(self, site: str) -> str:
        """The event for programs; `docs/notifications.md` lists the fields."""
        content: dict[str, Any] = {"id": self.entry_id, "site": site}
        for key, text in self.fields.items():
            if key in _LEFT_OUT:
                continue
            value = whole(text) if key in _WHOLE else decimal(text) if key in _DECIMAL else text
            content[key] = text if value is None else value
        time_ns = whole(self.fields.get("time_ns"))
        if time_ns is not None:
            content["time"] = _iso(time_ns)
        content |= {key: value for key, value in (("class", self.object_class), ("name", self.name)) if value}
        return json.dumps(content, ensure_ascii=False, sort_keys=True)


def event_of(client: Client, keys: Keys, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Event:
    """The event with class and name of its identity, as far as they are known now.

    Raises:
        RedisError: Redis is unreachable.
    """
    found = text_fields(fields)
    gid = whole(found.get("gid"))
    if gid is None:
        return Event(entry_id.decode(), found)
    record = text_fields(hash_at(client, keys.identity(gid)))
    object_class = class_name_of(client, keys, record) or record.get("class")
    return Event(entry_id.decode(), found, object_class or None, read_names(client, keys, [gid]).get(gid))


def _iso(time_ns: int) -> str | None:
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
