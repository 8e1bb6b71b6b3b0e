"""Serves `/metrics`, `/healthz` and `/readyz` of a process on a separate port and separate threads."""

from __future__ import annotations

import contextlib
import errno
import http.server
import os
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from shared.errors import MtmcError
from shared.monitoring.monitor import Monitor
from shared.monitoring.probes import Answer, answer

_log = structlog.get_logger()

OFF = -1
"""The port that turns the server off."""
_CONNECTIONS = 16
"""Maximum number of open connections; for one more, the oldest is closed."""
_SILENT_S = 3.0
"""A client that sends or reads nothing for this long is disconnected."""
_CONNECTION_S = 10.0
"""Maximum duration of a connection, so that slow clients cannot occupy all of them forever."""
_POLL_S = 0.25


@dataclass(frozen=True)
class Address:
    """Where a process serves its metrics."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


@contextlib.contextmanager
def serving(monitor: Monitor, host: str, port: int) -> Iterator[Address | None]:
    """Serves `monitor` inside the `with` block; yields the address, or None for the port `OFF`.

    Raises:
        MtmcError: the port cannot be opened; the message says why.
    """
    if port == OFF:
        yield None
        return
    server = _listen(host, port, lambda path: answer(monitor, path))
    address = Address(str(server.server_address[0]), int(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)
    thread.start()
    _log.info("serving metrics", url=f"{address.url}/metrics")
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listen(host: str, port: int, answer: Callable[[str], Answer]) -> _Server:
    try:
        family, _, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        reason = error.strerror or error
        raise MtmcError(f"cannot serve metrics at '{host}' ({reason}); correct --metrics-host") from None
    try:
        return _Server(family, address, answer)
    except OSError as error:
        raise MtmcError(_advice(host, port, error)) from None


def _advice(host: str, port: int, error: OSError) -> str:
    other = "choose another with --metrics-port (0 picks a free port, -1 turns metrics off)"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} for metrics is in use; stop the program that listens there, or {other}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not open port {port} for metrics; {other}"
    reason = os.strerror(error.errno or 0)
    return f"cannot serve metrics at {host}:{port} ({reason}); correct --metrics-host or --metrics-port"


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread for each connection, with a limit on their number and duration."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 1024  # With a short queue the kernel drops packets of new clients, which retry after 1 s.

    def __init__(self, family: socket.AddressFamily, address: Any, answer: Callable[[str], Answer]) -> None:
        self.address_family = family
        self.answer = answer
        self._since: dict[Any, float] = {}
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Accepts every connection: a probe sends its request at once, so the oldest one is the likeliest to hang."""
        for oldest in list(self._since)[: max(0, len(self._since) - _CONNECTIONS + 1)]:
            self._disconnect(oldest)
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Closes connections that last too long; `serve_forever` calls this several times a second."""
        before = time.monotonic() - _CONNECTION_S
        for request, since in list(self._since.items()):
            if since < before:
                self._disconnect(request)

    def _disconnect(self, request: Any) -> None:
        """Ends the connection; its thread then closes the socket."""
        self._since.pop(request, None)
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs the exception being handled; the standard library would print it, credentials included."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # An OSError means that the client left or was disconnected.
            _log.error("a probe failed", exc_info=error)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = _SILENT_S

    def do_GET(self) -> None:
        answer = self.server.answer(self.path.partition("?")[0])
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815

    def version_string(self) -> str:
        return "mtmc"

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: there is a probe every few seconds."""
