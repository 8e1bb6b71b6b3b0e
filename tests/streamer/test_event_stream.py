"""`/api/v1/events/stream`: server-sent events that resume, from one reader of Redis for all clients."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.streamer.api import event_stream
from services.streamer.app import create_app
from services.streamer.event_feed import EventFeed, Subscription
from shared.redis_connection import Client, connect
from tests.conftest import RedisProcess
from tests.integration.lively_site import event, publish_lively_site
from tests.integration.streamer_site import KEYS, WAIT_S, Serving, serving, wait_until

STREAM = "/api/v1/events/stream"


@dataclass
class Message:
    """One server-sent event."""

    id: str | None = None
    type: str = "message"
    data: Any = None
    comments: list[str] = field(default_factory=list)


class Listener:
    """A client, which follows the specification of server-sent events as far as it is used."""

    def __init__(self, port: int, query: str = "", headers: dict[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        self._connection.request("GET", STREAM + query, headers=headers or {})
        self.response = self._connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"].startswith("text/event-stream")
        self.first = self.block()

    def block(self) -> Message:
        """The next block, whether it has data or not."""
        message = Message()
        while line := self.response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            if name == "id":
                message.id = value
            elif name == "event":
                message.type = value
            elif name == "data":
                message.data = json.loads(value)
            elif not name:
                message.comments.append(value)
        return message

    def message(self) -> Message:
        """The next block with data."""
        while (block := self.block()).data is None:
            assert block.comments, "the stream ended"
        return block

    def ids(self, count: int) -> list[str]:
        """The ids of the next messages."""
        return [self.message().data["id"] for _ in range(count)]

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@pytest.fixture
def streamer(redis_url: str, redis_client: Client) -> Iterator[Serving]:
    publish_lively_site(redis_url)
    with serving(redis_url) as running:
        yield running


def append(client: Client, first: int, last: int, kind: str = "appeared") -> list[str]:
    for number in range(first, last + 1):
        event(client, number, kind, number, number, camera="north" if number % 2 else "south")
    return [f"{number}-0" for number in range(first, last + 1)]


def reads(client: Client) -> int:
    return int(client.info("commandstats").get("cmdstat_xread", {"calls": 0})["calls"])


def test_a_client_gets_what_happens_from_now_on(streamer: Serving, redis_client: Client) -> None:
    append(redis_client, 1, 3)
    listener = Listener(streamer.port)
    assert listener.first.id == "3-0"
    append(redis_client, 4, 5)
    message = listener.message()
    assert (message.id, message.type, message.data["id"], message.data["gid"]) == ("4-0", "message", "4-0", 4)
    assert message.data == streamer.json("/api/v1/events?gid=4")["events"][0]
    assert listener.ids(1) == ["5-0"]
    listener.close()


def test_a_client_resumes_after_the_last_event_that_it_got(streamer: Serving, redis_client: Client) -> None:
    ids = append(redis_client, 1, 500)
    listener = Listener(streamer.port, "?after=0-0")
    assert listener.ids(500) == ids
    listener.close()
    listener = Listener(streamer.port, "?after=0-0", {"Last-Event-ID": "480-0"})
    more = append(redis_client, 501, 520)
    assert listener.ids(40) == ids[480:] + more
    listener.close()


def test_clients_share_one_reader(streamer: Serving, redis_client: Client) -> None:
    listeners = [Listener(streamer.port) for _ in range(5)]
    redis_client.config_resetstat()
    ids = []
    for number in range(1, 21):
        ids += append(redis_client, number, number)
        assert [listener.ids(1) for listener in listeners] == [[f"{number}-0"]] * 5
    assert reads(redis_client) < 60, "five readers would have read a hundred times"
    for listener in listeners:
        listener.close()


def test_without_clients_nothing_is_read(streamer: Serving, redis_client: Client) -> None:
    listener = Listener(streamer.port)
    append(redis_client, 1, 1)
    listener.ids(1)
    listener.close()
    feed = streamer.streamer.parts.events
    wait_until(lambda: feed._subscriptions == 0, "the client is gone")
    append(redis_client, 2, 2)

    def quiet() -> bool:
        before = reads(redis_client)
        time.sleep(1.2)
        return reads(redis_client) == before

    wait_until(quiet, "nothing is read any more")
    listener = Listener(streamer.port, "?after=1-0")
    assert listener.ids(1) == ["2-0"]
    listener.close()


def test_events_can_be_filtered(streamer: Serving, redis_client: Client) -> None:
    listener = Listener(streamer.port, "?camera=north&kind=left&kind=appeared")
    append(redis_client, 1, 4)
    append(redis_client, 5, 5, "handover")
    append(redis_client, 6, 7, "left")
    redis_client.xadd(KEYS.events, {b"\xff": b"\xfe"}, id="8-0")
    append(redis_client, 9, 9)
    assert listener.ids(4) == ["1-0", "3-0", "7-0", "9-0"]
    listener.close()


def test_a_quiet_stream_says_how_far_it_has_got(
    streamer: Serving, redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream.event_messages, "__defaults__", (0.2,))
    listener = Listener(streamer.port, "?kind=left")
    append(redis_client, 1, 3)
    wait_until(lambda: listener.block().id == "3-0", "a comment with the id of the last event")
    assert listener.block().comments == ["keep-alive"]
    listener.close()


def test_a_gap_is_told(streamer: Serving, redis_client: Client) -> None:
    append(redis_client, 1, 20)
    redis_client.xtrim(KEYS.events, maxlen=5, approximate=False)
    listener = Listener(streamer.port, "?after=3-0")
    message = listener.message()
    assert (message.type, message.data) == ("missed", {"after": "3-0", "next": "16-0"})
    assert listener.ids(5) == ["16-0", "17-0", "18-0", "19-0", "20-0"]
    listener.close()


def test_a_stream_that_began_anew_is_followed(streamer: Serving, redis_client: Client) -> None:
    append(redis_client, 1, 20)
    listener = Listener(streamer.port)
    redis_client.delete(KEYS.events)
    wait_until(lambda: streamer.streamer.parts.events._generation == 1, "it is noticed")
    append(redis_client, 1, 2)
    assert listener.ids(2) == ["1-0", "2-0"]
    listener.close()
    listener = Listener(streamer.port, headers={"Last-Event-ID": "20-0"})
    assert listener.ids(2) == ["1-0", "2-0"], "the last event of the client is from before"
    listener.close()


def test_clients_go_on_after_redis_was_away(redis_process: RedisProcess) -> None:
    publish_lively_site(redis_process.url)
    client = connect(redis_process.url)
    append(client, 1, 3)
    with serving(redis_process.url) as streamer:
        listener = Listener(streamer.port, "?after=1-0")
        assert listener.ids(2) == ["2-0", "3-0"]
        redis_process.restart()
        append(client, 4, 5)
        assert listener.ids(2) == ["4-0", "5-0"]
        listener.close()
        redis_process.stop()
        assert streamer.get(STREAM)[0] == 503
    client.close()


def test_a_slow_client_catches_up_from_redis(redis_client: Client) -> None:
    feed = EventFeed(redis_client, KEYS, lambda event: b"", kept=10)
    client = feed.join(None)
    ids, seen = append(redis_client, 1, 250), list[str]()
    wait_until(lambda: feed._read_to == (250, 0), "all are read")
    while len(seen) < 250:
        client.wait(WAIT_S)
        seen += ["{}-{}".format(*entry.id) for entry in client.take()]
    client.leave()
    feed.close()
    assert seen == ids


def test_a_stream_can_wait_in_an_event_loop(redis_client: Client) -> None:
    """The generator neither blocks nor calls Redis: a server may run it in its loop, and wait in its own way."""
    append(redis_client, 1, 150)
    news = threading.Event()
    feed = EventFeed(redis_client, KEYS, event_stream.encoded_event, news.set, kept=10)
    client = feed.join((0, 0))

    class ClientInLoop:
        def has_left(self) -> bool:
            return False

        def wait(self, _: Subscription, longest_s: float) -> None:
            assert longest_s > 10
            assert news.wait(WAIT_S)
            news.clear()

    messages = event_stream.event_messages(feed, client, lambda event: event.kind == "appeared", ClientInLoop())
    assert b"retry" in next(messages)
    body = b""
    while body.count(b"data: ") < 150:
        body += next(messages)
    append(redis_client, 151, 151)
    assert b"id: 151-0" in next(messages)
    feed.close()
    assert list(messages) == []


def test_a_key_of_another_type_ends_no_stream(streamer: Serving, redis_client: Client) -> None:
    listener = Listener(streamer.port)
    redis_client.set(KEYS.events, "x")
    wait_until(lambda: streamer.get(STREAM, {"Accept": "text/html"})[0] == 406, "the streamer answers")
    time.sleep(0.6)
    redis_client.delete(KEYS.events)
    append(redis_client, 1, 1)
    assert listener.ids(1) == ["1-0"]
    listener.close()


@pytest.mark.parametrize("query", ["?after=x", "?after=1", "?limit=3"])
def test_what_cannot_be_used_is_refused(streamer: Serving, query: str) -> None:
    assert streamer.get(STREAM + query)[0] == 400
    assert streamer.get(STREAM, {"Last-Event-ID": "yesterday"})[0] == 400


def test_streams_count_as_viewers_and_give_their_place_back(streamer: Serving) -> None:
    app = create_app(streamer.streamer.parts, max_viewers=1)
    first = app.test_client().get(STREAM, buffered=False)
    refused = app.test_client().get(STREAM)
    assert (refused.status_code, refused.content_type) == (503, "application/problem+json")
    with app.test_client().head(STREAM) as head:
        assert head.status_code == 200
    first.close()
    again = app.test_client().get(STREAM, buffered=False)
    assert again.status_code == 200
    again.close()


def test_streams_end_when_the_server_stops(redis_url: str, redis_client: Client) -> None:
    publish_lively_site(redis_url)
    with serving(redis_url) as streamer:
        listener = Listener(streamer.port)
        ended = threading.Event()

        def listen() -> None:
            try:
                while listener.response.read1(1000):
                    pass
            except (TimeoutError, OSError, http.client.HTTPException):
                pass
            ended.set()

        threading.Thread(target=listen, daemon=True).start()
    assert ended.wait(WAIT_S)
    listener.close()
