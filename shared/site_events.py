"""Reads the stream `events`: what happened to the identities of a site, numbered without gaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.keys import Keys
from shared.lenient_reads import newest_entries_at
from shared.lenient_values import stream_id, text_fields, whole
from shared.redis_connection import Client
from shared.site_state.explanation import Reason, reason_of

EventId = tuple[int, int]
"""Id of a stream entry: its two numbers."""
_AT_ONCE = 500
_LONGEST = 1000
"""Bytes of one field."""


@dataclass(frozen=True)
class SiteEvent:
    """One entry of `events`; None and the empty text mean that it does not say so."""

    id: EventId
    kind: str
    tick: int | None
    time_ns: int | None
    gid: int | None
    other_gid: int | None
    """`merged`: the gid that ceased to exist. `split`: the gid that the track left."""
    camera: str
    title: str
    """Of the camera, if it has one."""
    track_id: int | None
    from_camera: str
    """`handover`: the camera in which the identity was last seen."""
    from_title: str
    reason: str
    by: str
    """Who asked for it, if an operator did."""
    command: str
    """Id of the operator's command."""
    undoes: str
    """Id of the command that was undone."""
    decision: Reason | None
    counts: Mapping[str, int]
    """`tracks` and `identities` of `recovered` and `restored`, `after_seq` and `next_seq` of `gap`."""


def site_event(entry_id: bytes, fields: Mapping[bytes, bytes]) -> SiteEvent | None:
    """The event in an entry; None if it has no kind."""
    text = text_fields(fields, _LONGEST)
    if not text.get("kind"):
        return None
    counts = {name: whole(text.get(name)) for name in ("tracks", "identities", "after_seq", "next_seq")}
    return SiteEvent(
        stream_id(entry_id),
        text["kind"],
        tick=whole(text.get("tick")),
        time_ns=whole(text.get("time_ns")),
        gid=whole(text.get("gid")),
        other_gid=whole(text.get("other_gid")),
        camera=text.get("camera", ""),
        title=text.get("title", ""),
        track_id=whole(text.get("track_id")),
        from_camera=text.get("from_camera", ""),
        from_title=text.get("from_title", ""),
        reason=text.get("reason", ""),
        by=text.get("by", ""),
        command=text.get("command", ""),
        undoes=text.get("undoes", ""),
        decision=reason_of(text),
        counts={name: count for name, count in counts.items() if count is not None},
    )


def read_newest_events(
    client: Client, keys: Keys, before: EventId | None, wanted: Callable[[SiteEvent], bool], limit: int, examine: int
) -> tuple[list[SiteEvent], EventId | None]:
    """At most `limit` wanted events with an id below `before` (None: from the newest on), newest first.

    Returns:
        The events, and `before` for the rest; None if nothing is left. Reads about `examine` entries at most, so there
        may be fewer events than `limit` although more follow.

    Raises:
        RedisError: Redis is unreachable.
    """
    found: list[SiteEvent] = []
    last, examined = _preceding(before) if before is not None else "+", 0
    while last is not None:
        entries = newest_entries_at(client, keys.events, last=last, count=_AT_ONCE)
        for entry_id, fields in entries:
            before = stream_id(entry_id)
            event = site_event(entry_id, fields)
            if event is not None and wanted(event):
                found.append(event)
                if len(found) == limit:
                    return found, before if _preceding(before) else None
        examined += len(entries)
        if before is None or len(entries) < _AT_ONCE:
            return found, None
        if examined >= examine:
            return found, before
        last = _preceding(before)
    return found, None


def _preceding(entry_id: EventId) -> str | None:
    """The largest id before `entry_id`; None if there is none. 0-0 is the id of no entry."""
    first, second = entry_id
    if second > 0:
        return f"{first}-{second - 1}" if (first, second) > (0, 1) else None
    return f"{first - 1}-{2**64 - 1}" if first > 0 else None
