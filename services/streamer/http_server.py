"""The HTTP server: gevent's, in a thread of its own, where all connections share one event loop.

Only this thread uses gevent; nothing is monkey-patched. `answering` runs the application, `connections` limits what
clients can do, and `arrivals` wakes the streams when there is something new to send.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import threading
from collections.abc import Callable
from typing import Any

import gevent
import structlog

from services.streamer.answering import Answering, Application
from services.streamer.arrivals import Arrivals
from services.streamer.connections import MAX_WAITING, Server
from shared.errors import MtmcError

_log = structlog.get_logger()

_MAX_RUNNING = 256
"""Maximum number of connections besides streams and those without a running request; others wait to be accepted."""
_OTHER_FILES = 128
_KERNEL_BYTES = 128 * 1024
"""Size of the kernel's send buffer, which the kernel doubles."""
_START_S = 10.0
_STOP_S = 0.7


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket.

    Raises:
        MtmcError: the port is in use or may not be opened, or `host` is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MtmcError(f"cannot serve at '{host}' ({error.strerror or error}); correct streamer.host") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)  # connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise MtmcError(_advice(host, port, error)) from None
    return listener


def _advice(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is in use; stop the program that listens there, or set streamer.port to another port "
            "(0 picks a free port)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not open port {port}; set streamer.port to a port above 1023"
    return f"cannot serve at {host}:{port} ({os.strerror(error.errno or 0)}); correct streamer.host and streamer.port"


class HttpServer:
    """Serves `application` on its own threads."""

    def __init__(
        self,
        application: Application,
        host: str,
        port: int,
        *,
        max_streams: int,
        arrivals: Arrivals,
        on_cut_off: Callable[[], None],
    ) -> None:
        """Opens the port.

        `max_streams`: how many streams the application has open at most. `arrivals`: what its streams wait by.
        `on_cut_off` is called whenever a client that reads nothing is disconnected.

        Raises:
            MtmcError: see `listen`.
        """
        self._listener = listen(host, port)
        self.host, self.port = self._listener.getsockname()[:2]
        self._application, self._arrivals, self._count_cut_off = application, arrivals, on_cut_off
        self._max_connections = max_streams + MAX_WAITING + _MAX_RUNNING
        _allow_open_files(self._max_connections + _OTHER_FILES)
        self._started = threading.Event()
        self._stop: Any = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def url(self) -> str:
        """The URL for clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Starts serving.

        Raises:
            MtmcError: the server does not run after `_START_S`.
        """
        self._thread.start()
        if not self._started.wait(_START_S):
            raise MtmcError(f"the HTTP server did not start within {_START_S:.0f} s; restart the streamer")

    @property
    def is_serving(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        hub = gevent.get_hub()
        stopping = gevent.event.Event()
        self._stop = lambda: hub.loop.run_callback_threadsafe(stopping.set)
        listener = gevent.socket.socket(
            self._listener.family, self._listener.type, self._listener.proto, fileno=self._listener.detach()
        )
        answering = Answering(self._application)
        server = Server(listener, answering, self._max_connections, self._cut_off)
        self._arrivals.attach()
        server.start()
        self._started.set()
        stopping.wait()
        # The application has ended its streams. What still waits for a slow client is disconnected.
        server.stop(timeout=_STOP_S)
        self._arrivals.detach()
        if answering.close(_STOP_S):
            hub.destroy(destroy_loop=True)  # not while a thread may still report to it

    def _cut_off(self, address: Any) -> None:
        _log.info("disconnected a viewer that stopped reading", address=address[0])
        self._count_cut_off()

    def close(self) -> None:
        """Stops the running requests, then closes the connections."""
        if self._stop is None:
            with contextlib.suppress(OSError):
                self._listener.close()
            return
        self._stop()
        self._thread.join(timeout=3 * _STOP_S)


def _allow_open_files(count: int) -> None:
    """Raises the process's limit of open files to `count`, or as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < count:
        _log.warning("too few open files are allowed for all viewers", allowed=wanted, needed=count)
