"""`/events`: what happened to the identities of the site, newest first."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from services.streamer.api.models import (
    CURSOR,
    LIMIT,
    NEXT,
    CameraName,
    Cursor,
    Gid,
    Limit,
    Model,
    Number64,
    Query,
    Text,
    Time,
    as_text,
    cursor_of,
    iso_time,
    nanoseconds,
    position_of,
)
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from shared.site_events import EventId, SiteEvent, read_newest_events
from shared.site_state.explanation import Reason

_TAG = "identities"
_EXAMINED = 2_000
"""Entries that one page reads at most, whatever the filters."""
_SEQUENCE = 2**64
"""An id of a stream has two numbers of 64 bits."""
Kind = Text


class Decision(Model):
    """What spoke for a decision."""

    score: float = Field(
        description="in the live mode, the natural logarithm of how much likelier one object is than two; for a new "
        "identity, that of the runner-up, which was too low or not clear. In the reference mode, a similarity from "
        "-1 to 1"
    )
    terms: dict[Text, float] = Field(description="the parts of the score; empty in the reference mode")
    runner_up: int | None = Field(
        description="gid of the second best choice; 0: a new identity; null: there was no other choice"
    )
    margin: float | None = Field(description="how far the score is above that of the runner-up")


class Event(Model):
    """Something that happened; null: it is not about that."""

    id: Text = Field(description="its id in the stream, for `Last-Event-ID`")
    kind: Text = Field(
        description="appeared, handover, merged, split, left, named, unnamed, forgotten, gap, recovered, restored, "
        "camera_added, camera_changed, camera_paused, camera_resumed, camera_removed; more may be added"
    )
    tick: int | None
    time_ns: Number64 | None = Field(description="site time, ns")
    time: Text | None = Field(description="the same time in ISO 8601, UTC")
    gid: int | None
    other_gid: int | None = Field(
        description="merged: the gid that ceased to exist; split: the gid that the track left"
    )
    camera: Text | None
    title: Text | None = Field(description="of the camera, if it has one")
    track_id: Number64 | None
    from_camera: Text | None = Field(description="handover: the camera in which the identity was last seen")
    from_title: Text | None
    reason: Text = Field(description="for people")
    by: Text | None = Field(description="the operator who asked for it")
    command: Text | None = Field(description="id of the operator's command")
    undoes: Text | None = Field(description="id of the command that was undone")
    decision: Decision | None
    counts: dict[Text, int] = Field(
        description="recovered: `tracks`; restored: `identities` and `tracks`; gap: `after_seq` and `next_seq`"
    )


class EventPage(Model):
    """Events."""

    events: list[Event] = Field(description="the newest first")
    next: Cursor | None = Field(description=NEXT)


class EventFilter(Query):
    """Which events are wanted."""

    kind: list[Kind] = Field([], description="only events of this kind; may be repeated")
    gid: Gid | None = Field(None, description="only events that name this gid, as `gid` or as `other_gid`")
    camera: CameraName | None = Field(None, description="only events in or from this camera")


class EventsQuery(EventFilter):
    """Parameters of `/events`."""

    since: Time | None = Field(None, description="only events at this time or later, as in RFC 3339")
    until: Time | None = Field(None, description="only events at this time or earlier")
    limit: Limit = Field(100, description=LIMIT)
    cursor: Cursor | None = Field(None, description=CURSOR)


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operation."""

    @api.get(
        "/events",
        "What happened to the identities, newest first",
        EventPage,
        tag=_TAG,
        query=EventsQuery,
        description="Redis keeps about the last 10,000 events.",
    )
    def _events(query: EventsQuery) -> EventPage:
        is_wanted = wanted(query)
        since_ns = nanoseconds(query.since) if query.since else None
        until_ns = nanoseconds(query.until) if query.until else None

        def in_time(event: SiteEvent) -> bool:
            if since_ns is None and until_ns is None:
                return True
            if event.time_ns is None:
                return False
            return (since_ns is None or event.time_ns >= since_ns) and (until_ns is None or event.time_ns <= until_ns)

        position = position_of(query.cursor)
        before = None if position is None else divmod(position, _SEQUENCE)
        found, rest = read_newest_events(
            parts.client, parts.keys, before, lambda event: is_wanted(event) and in_time(event), query.limit, _EXAMINED
        )
        following = None if rest is None else cursor_of(rest[0] * _SEQUENCE + rest[1])
        return EventPage(events=[event_of(event) for event in found], next=following)


def wanted(query: EventFilter) -> Callable[[SiteEvent], bool]:
    """Whether the filters let an event through."""
    kinds = frozenset(query.kind)

    def is_wanted(event: SiteEvent) -> bool:
        return (
            (not kinds or event.kind in kinds)
            and (query.gid is None or query.gid in (event.gid, event.other_gid))
            and (query.camera is None or query.camera in (event.camera, event.from_camera))
        )

    return is_wanted


def event_of(event: SiteEvent) -> Event:
    """One event."""
    return Event(
        id=id_text(event.id),
        kind=event.kind,
        tick=event.tick,
        time_ns=as_text(event.time_ns),
        time=iso_time(event.time_ns),
        gid=event.gid,
        other_gid=event.other_gid,
        camera=event.camera or None,
        title=event.title or None,
        track_id=as_text(event.track_id),
        from_camera=event.from_camera or None,
        from_title=event.from_title or None,
        reason=event.reason,
        by=event.by or None,
        command=event.command or None,
        undoes=event.undoes or None,
        decision=decision_of(event.decision),
        counts=dict(event.counts),
    )


def decision_of(reason: Reason | None) -> Decision | None:
    """What spoke for a decision, if that is known."""
    if reason is None:
        return None
    return Decision(score=reason.score, terms=dict(reason.terms), runner_up=reason.runner_up, margin=reason.margin)


def id_text(entry_id: EventId) -> str:
    """An id as Redis writes it."""
    return f"{entry_id[0]}-{entry_id[1]}"
