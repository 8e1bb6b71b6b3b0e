"""`/events/stream`: new events as server-sent events, which resume after the last one that a client got."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from flask import Response, request
from pydantic import Field
from werkzeug.exceptions import ServiceUnavailable

from services.streamer.api.events import EventFilter, event_of, id_text, wanted
from services.streamer.api.operations import Header, Operations
from services.streamer.api.parts import ApiParts, StreamClient
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest
from services.streamer.event_feed import EventFeed, Subscription
from shared.lenient_values import stream_id
from shared.site_events import EventId, SiteEvent

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE_S = 15.0
"""A stream without events sends a comment this often, so that each side notices when the other is gone."""
_ID_PATTERN = "^[0-9]{1,19}-[0-9]{1,19}$"
_RECONNECT_MS = 1_000
_HEADER = Header(
    "Last-Event-ID", _ID_PATTERN, "the id of the last event that the client got; without it, only new events are sent"
)


class StreamQuery(EventFilter):
    """Parameters of `/events/stream`."""

    after: str | None = Field(
        None,
        pattern=_ID_PATTERN,
        description="as the header `Last-Event-ID`, for a first request; 0-0: all events that Redis still has",
    )


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operation."""

    @api.get(
        "/events/stream",
        "New events as they happen",
        tag="identities",
        media_type=MEDIA_TYPE,
        query=StreamQuery,
        headers=(_HEADER,),
        description="Server-sent events without end: `id` is that of the event, `data` an Event as JSON. A browser's "
        "`EventSource` reconnects and resumes without a gap. If the events after the last one are no longer kept, a "
        "message of the type `missed` says so, with `after` and `next`, the ids around the gap.",
    )
    def _stream(query: StreamQuery) -> Response:
        last = _last_id(query)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx must not buffer it
        if request.method == "HEAD":
            return Response((), content_type=MEDIA_TYPE, headers=headers)
        if not parts.places.acquire(blocking=False):
            parts.metrics.viewers_refused.inc()
            raise ServiceUnavailable("this streamer has reached its limit of streams; start another, or try later")
        try:
            subscription = parts.events.join(last)
        except BaseException:
            parts.places.release()
            raise
        body = event_messages(parts.events, subscription, wanted(query), parts.stream_client())
        response = Response(body, content_type=MEDIA_TYPE, headers=headers)

        def ended() -> None:
            subscription.leave()
            parts.places.release()

        response.call_on_close(ended)
        return response


def _last_id(query: StreamQuery) -> EventId | None:
    """The header comes first: a client that reconnects sends it to the same address as before."""
    text = request.headers.get(_HEADER.name) or query.after
    if not text:
        return None
    first, separator, second = text.partition("-")
    if not (separator and all(part.isascii() and part.isdigit() and len(part) <= 19 for part in (first, second))):
        raise InvalidRequest([InvalidParameter(parameter=_HEADER.name, message="must be the id of an event")])
    return stream_id(text)


def event_messages(
    feed: EventFeed,
    subscription: Subscription,
    is_wanted: Callable[[SiteEvent], bool],
    client: StreamClient,
    keep_alive_s: float = KEEP_ALIVE_S,
) -> Iterator[bytes]:
    """The body of a stream; ends when the feed is closed, or the client has left.

    Only `client.wait` waits, and nothing calls Redis: it may run in an event loop.
    """
    yield f": events of the site\nretry: {_RECONNECT_MS}\nid: {id_text(subscription.last)}\n\n".encode()
    quiet_since = time.monotonic()
    while not feed.closed and not client.has_left():
        last = subscription.last
        body = b""
        for entry in subscription.take():
            if last > (0, 0) and entry.id[0] > last[0] + 1:
                body += _missed(last, entry.id)
            last = entry.id
            if entry.event is not None and is_wanted(entry.event):
                body += entry.encoded
        left_s = quiet_since + keep_alive_s - time.monotonic()
        if not body and left_s <= 0:
            # The id tells the client how far it has got, although the filter let nothing through.
            body = f": keep-alive\nid: {id_text(subscription.last)}\n\n".encode()
        if body:
            yield body
            quiet_since = time.monotonic()
        elif last == subscription.last:
            client.wait(subscription, left_s)


def encoded_event(event: SiteEvent) -> bytes:
    """An event as clients of the stream get it."""
    return f"id: {id_text(event.id)}\ndata: {event_of(event).model_dump_json()}\n\n".encode()


def _missed(last: EventId, following: EventId) -> bytes:
    data = json.dumps({"after": id_text(last), "next": id_text(following)})
    return f"event: missed\ndata: {data}\n\n".encode()
