"""What gevent's HTTP server lacks: limits on how long a request may take and how large it may be, on silent clients,
and on what is sent to a viewer ahead of time.

Everything here runs in the thread of the HTTP server, and uses only what gevent documents for subclasses.
"""

from __future__ import annotations

import errno
import io
import re
import select
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.pywsgi import WSGIHandler, WSGIServer

REQUEST_S = 5.0
"""A client whose request has not arrived completely this long after its start, or after the connection, is
disconnected."""
IDLE_S = 30.0
"""A client that sends no further request for this long is disconnected."""
STUCK_S = 15.0
"""A client that reads nothing for this long is disconnected."""
MAX_WAITING = 256
"""Maximum number of connections without a running request. For one more, the one that has waited longest is closed: a
client that means it sends its request at once."""
MAX_HEADER_BYTES = 32 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
UNSENT_BYTES = 16 * 1024
"""A viewer gets the next picture when the kernel has fewer bytes than this of the last ones still to send."""

CONNECTION = "mtmc.connection"
"""The key of the `Connection` in the WSGI environment."""

_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if sys.platform == "linux" else None)
_LENGTH = re.compile(r"[0-9]{1,18}")


class Connection:
    """The socket of one client, as the handler of its requests uses it."""

    def __init__(self, own_end: Any, on_cut_off: Callable[[], None]) -> None:
        self._socket = own_end
        self._on_cut_off = on_cut_off
        self._poll = select.poll()
        self._poll.register(own_end.fileno(), select.POLLOUT)
        if _NOTSENT_LOWAT is not None:
            own_end.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT_BYTES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def sendall(self, data: bytes | bytearray) -> None:
        """Sends `data`; any piece of it that is taken within `STUCK_S` is progress.

        Raises:
            OSError: the client has left, or was disconnected because it reads nothing.
        """
        sent = self._send(data)
        if sent == len(data):
            return
        with memoryview(data) as rest:
            while sent < len(data):
                self._wait_until_writable()
                sent += self._send(rest[sent:])

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return int(self._socket.send(data, timeout=0.0))
        except BlockingIOError:
            return 0

    def wait_until_sent(self) -> None:
        """Waits until less than `UNSENT_BYTES` are left to send, so that a slow viewer gets no backlog.

        Where the kernel does not tell (outside of Linux), until there is room in its buffer.

        Raises:
            OSError: as for `sendall`.
        """
        if not self._poll.poll(0):
            self._wait_until_writable()

    def _wait_until_writable(self) -> None:
        try:
            gevent.socket.wait_write(self._socket.fileno(), timeout=STUCK_S)
        except TimeoutError:
            self._on_cut_off()
            self.abort()
            raise ConnectionResetError(errno.ECONNRESET, "the client reads nothing") from None

    def has_left(self) -> bool:
        """Whether the client has disconnected."""
        readable = select.poll()
        readable.register(self._socket.fileno(), select.POLLIN)
        try:
            return bool(readable.poll(0)) and not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def abort(self) -> None:
        """Disconnects; the next read or write fails."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is disconnected already


class Server(WSGIServer):
    """gevent's server, with the limits of `Handler`."""

    def __init__(
        self, listener: socket.socket, application: Any, max_connections: int, on_cut_off: Callable[[Any], None]
    ) -> None:
        """At `max_connections`, no more are accepted; `on_cut_off` gets the address of a client that reads nothing."""
        super().__init__(listener, application, spawn=max_connections, log=None, error_log=None, handler_class=Handler)
        self._on_cut_off = on_cut_off
        self.waiting: dict[Handler, None] = {}
        """Connections without a running request, longest wait first."""

    def update_environ(self) -> None:
        """Sets the server's name without asking a name server for it."""
        self.environ["SERVER_NAME"], self.environ["SERVER_PORT"] = str(self.address[0]), str(self.address[1])

    def handle(self, sock: Any, address: Any) -> None:
        """Serves one connection."""
        super().handle(Connection(sock, lambda: self._on_cut_off(address)), address)


class _TooLate(gevent.Timeout):
    """The client did not send its request in time."""


class _HeaderLines:
    """The lines of a request's headers, up to `MAX_HEADER_BYTES` in all."""

    def __init__(self, source: Any) -> None:
        self._source, self._left = source, MAX_HEADER_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._source.readline(self._left + 1 if limit < 0 else min(limit, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise ValueError(f"the headers are larger than {MAX_HEADER_BYTES} bytes")
        return line


class Handler(WSGIHandler):
    """The requests of one connection.

    A request reaches the application after all of it has arrived, so that a slow client costs no thread.
    """

    def __init__(self, sock: Connection, address: Any, server: Server) -> None:
        super().__init__(sock, address, server)
        self._limit = _TooLate(REQUEST_S)
        self._refusal: tuple[str, str] | None = None

    def handle(self) -> None:
        self._await_request(REQUEST_S)
        try:
            super().handle()
        except _TooLate:
            return
        finally:
            self._limit.close()
            self.server.waiting.pop(self, None)

    def _await_request(self, seconds: float) -> None:
        self._limit.close()
        self._limit = _TooLate(seconds)
        self._limit.start()
        waiting = self.server.waiting
        waiting.pop(self, None)
        waiting[self] = None
        if len(waiting) > MAX_WAITING:
            oldest = next(iter(waiting))
            del waiting[oldest]
            oldest.socket.abort()

    def read_requestline(self) -> str:
        if self.rfile.peek(1):
            self._await_request(REQUEST_S)
        line: str = super().read_requestline()
        return line

    def MessageClass(self, *arguments: Any) -> Any:  # noqa: N802 (gevent's name)
        """The headers of a request.

        Raises:
            ValueError: they are too large, or it is not certain where the request ends. gevent would prefer one of two
                contradicting lengths; a proxy in front might prefer the other, and take a part of this request for the
                next one.
        """
        headers = super().MessageClass(_HeaderLines(arguments[0]), *arguments[1:])
        if headers.defects:
            raise ValueError("a line of the headers is malformed")
        lengths, codings = headers.get_all("Content-Length", []), headers.get_all("Transfer-Encoding", [])
        if codings and (lengths or codings != ["chunked"] or self.request_version != "HTTP/1.1"):
            raise ValueError("of Content-Length and Transfer-Encoding: chunked, a request may have one")
        if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
            raise ValueError("Content-Length must be one number")
        return headers

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ[CONNECTION] = self.socket
        return environ

    def handle_one_response(self) -> None:
        body = self._body()
        if isinstance(body, bytes):
            self.environ["wsgi.input"] = io.BytesIO(body)
            self._limit.close()
        else:
            # The time limit stays: the rest of the body is read, and dropped, so that the client gets the answer.
            self.application = body
        self.server.waiting.pop(self, None)
        super().handle_one_response()
        if isinstance(body, bytes):
            self._await_request(IDLE_S)

    def _body(self) -> bytes | Callable[..., Iterable[bytes]]:
        """The body of the request, or an application that refuses it."""
        if (self.content_length or 0) > MAX_BODY_BYTES:
            return _refusal("413 Content Too Large", f"a request may have {MAX_BODY_BYTES} bytes")
        try:
            body: bytes = self.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
        except OSError:
            return _refusal("400 Bad Request", "the body of the request is malformed or incomplete")
        if len(body) > MAX_BODY_BYTES:
            return _refusal("413 Content Too Large", f"a request may have {MAX_BODY_BYTES} bytes")
        return body


def _refusal(status: str, message: str) -> Callable[..., Iterable[bytes]]:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response(status, [("Content-Type", "text/plain"), ("Connection", "close")])
        return [f"{message}\n".encode()]

    return application
