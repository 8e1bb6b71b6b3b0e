"""The HTTP server on its own."""

from __future__ import annotations

import http.client
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from flask import Flask, Response, request

from services.streamer import connections
from services.streamer.arrivals import Arrivals
from services.streamer.http_server import HttpServer
from tests.integration.streamer_site import wait_until


@contextmanager
def serving(app: Flask) -> Iterator[int]:
    server = HttpServer(app, "127.0.0.1", 0, max_streams=8, arrivals=Arrivals(), on_cut_off=lambda: None)
    server.start()
    try:
        yield server.port
    finally:
        server.close()


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that answers `/`, and streams `/stream` without end."""
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: "here")
    app.add_url_rule("/length", "length", lambda: str(len(request.data)), methods=["POST"])
    ended = threading.Event()

    def pieces() -> Iterator[bytes]:
        while not ended.wait(0.05):
            yield b"picture"

    app.add_url_rule("/stream", "stream", lambda: Response(pieces()))
    with serving(app) as port:
        yield port
        ended.set()


def connected(port: int, sends: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(sends)
    return client


def is_closed(client: socket.socket) -> bool:
    """Whether the server has closed the connection; for a client that waits for no answer."""
    readable, _, _ = select.select([client], [], [], 0)
    try:
        return bool(readable) and client.recv(1) == b""
    except ConnectionError:
        return True


def dribble(client: socket.socket) -> None:
    """Sends one header line after the other, for a minute."""
    for _ in range(600):
        client.sendall(b"X-More: 1\r\n")
        time.sleep(0.1)


def answer(client: http.client.HTTPConnection) -> tuple[int, bytes]:
    client.request("GET", "/")
    response = client.getresponse()
    return response.status, response.read()


def test_a_client_that_does_not_finish_its_request_is_disconnected_even_if_it_keeps_sending(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.5)
    with ExitStack() as stack:
        silent = stack.enter_context(connected(port, b""))
        half = stack.enter_context(connected(port, b"GET / HT"))
        body = stack.enter_context(connected(port, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"))
        dribbling = stack.enter_context(connected(port, b"GET / HTTP/1.1\r\n"))
        stream = stack.enter_context(connected(port, b"GET /stream HTTP/1.0\r\n\r\n"))
        browser = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        assert answer(browser) == (200, b"here")
        own_end = browser.sock
        with pytest.raises(ConnectionError):
            dribble(dribbling)
        wait_until(lambda: all(map(is_closed, (silent, half, body))), "they are disconnected")
        assert answer(browser) == (200, b"here")
        assert browser.sock is own_end, "a browser that is idle between two requests keeps its connection"
        received = b""
        while received.count(b"picture") < 40:  # 2 s, four times the limit
            received += stream.recv(1000)
        browser.close()


def test_hundreds_of_unfinished_requests_leave_room_for_others(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 600.0)
    with ExitStack() as stack:
        stream = stack.enter_context(connected(port, b"GET /stream HTTP/1.0\r\n\r\n"))
        assert b"picture" in stream.recv(1000) + stream.recv(1000)
        unfinished = [stack.enter_context(connected(port, b"GET / HT")) for _ in range(350)]
        oldest = unfinished[: 350 - connections.MAX_WAITING]
        wait_until(lambda: all(map(is_closed, oldest)), "the oldest are disconnected")
        browser = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        assert answer(browser) == (200, b"here")
        browser.close()
        assert not all(map(is_closed, unfinished[-100:])), "the newest have their time"
        assert stream.recv(1000)


def exchange(port: int, sends: bytes) -> bytes:
    """All that the server answers until it closes the connection."""
    with connected(port, sends) as client:
        received = b""
        with suppress(ConnectionError):
            while some := client.recv(65536):
                received += some
        return received


def test_it_closes_at_once_and_frees_its_port() -> None:
    server = HttpServer(Flask(__name__), "127.0.0.1", 0, max_streams=8, arrivals=Arrivals(), on_cut_off=lambda: None)
    server.start()
    assert server.is_serving
    with connected(server.port, b"GET / HT"):
        server.close()
        assert not server.is_serving
    again = HttpServer(
        Flask(__name__), "127.0.0.1", server.port, max_streams=8, arrivals=Arrivals(), on_cut_off=lambda: None
    )
    again.close()


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Content-Length: 5\r\nContent-Length: 0",
        b"Content-Length: +5",
        b"Content-Length: 1_0",
        b"Content-Length: -1",
        b"Content-Length : 5",
        b"Content-Length: 5\r\nno colon",
    ],
)
@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["first", "second"])
def test_a_request_whose_end_is_not_certain_is_refused_with_all_that_follows(
    port: int, before: bytes, headers: bytes
) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
    request = b"POST /length HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n0\r\n\r\n"
    received = exchange(port, before + request + hidden)
    answers = re.findall(rb"HTTP/1\.1 (\d+)", received)
    assert answers == ([b"200", b"400"] if before else [b"400"])


def test_requests_follow_each_other_on_one_connection(port: int) -> None:
    sized = b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    chunked = (
        b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n4\r\nlo!!\r\n0\r\n\r\n"
    )
    last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    received = exchange(port, sized + chunked + last)
    assert re.findall(rb"HTTP/1\.1 (\d+)", received) == [b"200"] * 3
    assert re.findall(rb"\r\n\r\n(\d|here)", received) == [b"5", b"7", b"here"]


def test_large_requests_are_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_BODY_BYTES", 1000)
    many = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 900) for number in range(60))
    post = b"POST /length HTTP/1.1\r\nHost: a\r\n"
    for sends, status in (
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + many + b"\r\n", b"400"),
        (post + b"Content-Length: 1001\r\n\r\n" + b"a" * 1001, b"413"),
        (post + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"a" * 1001 + b"\r\n0\r\n\r\n", b"413"),
        (post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ):
        assert exchange(port, sends).startswith(b"HTTP/1.1 " + status), sends[:60]
    assert exchange(port, post + b"Connection: close\r\nContent-Length: 1000\r\n\r\n" + b"a" * 1000).endswith(b"1000")


def test_a_stream_of_another_kind_takes_no_thread_while_it_has_nothing_to_send() -> None:
    app = Flask(__name__)
    ended = threading.Event()
    opened, closed = [], []

    def pieces() -> Iterator[bytes]:
        try:
            opened.append(1)
            yield b"data: begun\n\n"
            while not ended.is_set():
                yield b""
            yield b"data: ended\n\n"
        finally:
            closed.append(1)

    app.add_url_rule("/events", "events", lambda: Response(pieces(), mimetype="text/event-stream"))
    app.add_url_rule("/broken", "broken", lambda: Response((1 // 0 for _ in "a"), mimetype="text/event-stream"))
    with serving(app) as port, ExitStack() as stack:
        threads = threading.active_count()
        events = b"GET /events HTTP/1.0\r\n\r\n"
        clients = [stack.enter_context(connected(port, events)) for _ in range(60)]
        streams = [stack.enter_context(client.makefile("rb")) for client in clients]
        for stream in streams:
            while stream.readline() != b"data: begun\n":
                pass
        assert threading.active_count() - threads <= 16 + 8
        assert b"begun" not in exchange(port, b"GET /broken HTTP/1.0\r\n\r\n")
        streams.pop().close()
        clients.pop().close()
        wait_until(lambda: len(closed) == 1, "the stream of the client that left is closed")
        ended.set()
        for stream in streams:
            assert stream.read().endswith(b"data: ended\n\n")
        wait_until(lambda: len(closed) == len(opened) == 60, "all are closed")
