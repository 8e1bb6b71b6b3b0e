"""The HTTP server on its own."""

from __future__ import annotations

import http.client
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from flask import Flask, Response

from services.streamer import connections
from services.streamer.http_server import HttpServer
from tests.integration.streamer_site import wait_until


def test_it_closes_even_if_its_thread_is_faster_than_the_one_that_closes_it() -> None:
    server = HttpServer(Flask(__name__), "127.0.0.1", 0, on_cut_off=lambda: None)
    server.start()
    trigger = server._server.trigger
    pull = trigger._physical_pull

    def pull_after_the_thread_woke_up_by_itself() -> None:
        pull()
        time.sleep(0.2)
        pull()

    trigger._physical_pull = pull_after_the_thread_woke_up_by_itself
    server.close()
    assert not server._thread.is_alive()


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that answers `/`, and streams `/stream` without end."""
    app = Flask(__name__)
    app.add_url_rule("/", "index", lambda: "here")
    ended = threading.Event()

    def pieces() -> Iterator[bytes]:
        while not ended.wait(0.05):
            yield b"picture"

    app.add_url_rule("/stream", "stream", lambda: Response(pieces()))
    server = HttpServer(app, "127.0.0.1", 0, on_cut_off=lambda: None)
    server.start()
    yield server.port
    ended.set()
    server.close()


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
