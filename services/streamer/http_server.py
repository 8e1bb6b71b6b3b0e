"""The HTTP server: waitress, set up so that streams without end neither fill memory nor hold up anybody.

A thread serves each open stream. Waitress lets it wait while more than `outbuf_high_watermark` bytes of its viewer are
unsent, and sends small pieces at once. What it does not do is part of this module: to bound what the kernel buffers
(of which a slow viewer would see old pictures), to cut off a viewer who has stopped reading, and to stop.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from shared.errors import MtmcError

_log = structlog.get_logger()

MAX_STREAMS = 96
"""Open streams at a time; each has a thread of its own."""
_OTHER_THREADS = 16
_UNSENT_BYTES = 16 * 1024
_KERNEL_BYTES = 128 * 1024
"""The kernel doubles it: with pictures of 60 kB about four are on the way to a viewer who is slow."""
_STUCK_S = 15.0
"""A viewer who takes not one byte for so long is cut off; its thread is needed by others."""
_IDLE_S = 30
_STOP_S = 0.7


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        MtmcError: the port is in use or may not be opened, or the host is none of this machine.
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
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise MtmcError(_advice(host, port, error)) from None
    return listener


def _advice(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; stop what listens there, or set streamer.port to another (0: any free one)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} may not be opened by this user; set streamer.port to one above 1023"
    return f"cannot serve at {host}:{port} ({os.strerror(error.errno or 0)}); correct streamer.host and streamer.port"


class HttpServer:
    """Serves `app` in threads of its own."""

    def __init__(self, app: Flask, host: str, port: int, *, on_cut_off: Callable[[], None]) -> None:
        """Opens the port.

        Raises:
            MtmcError: see `listen`.
        """
        listener = listen(host, port)
        self.host, self.port = listener.getsockname()[:2]
        self._on_cut_off = on_cut_off
        self._map: dict[int, Any] = {}
        # The stubs describe its attributes wrongly.
        self._server: Any = create_server(
            app,
            map=self._map,
            sockets=[listener],
            threads=MAX_STREAMS + _OTHER_THREADS,
            outbuf_high_watermark=_UNSENT_BYTES,
            # Reading on while a request is served is how a viewer's leaving is noticed.
            channel_request_lookahead=1,
            channel_timeout=_IDLE_S,
            cleanup_interval=5,
            connection_limit=1000,
            max_request_body_size=65536,
            asyncore_use_poll=True,
            ident=None,
        )
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    @property
    def url(self) -> str:
        """Where it can be reached from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Begins to serve."""
        self._thread.start()

    def cut_off_stuck(self) -> None:
        """Closes the connections of viewers who have stopped reading."""
        before = time.time() - _STUCK_S
        for channel in list(self._server.active_channels.values()):
            if channel.total_outbufs_len and channel.last_activity < before:
                _log.info("cut off a viewer who had stopped reading", address=channel.addr[0])
                self._on_cut_off()
                # In the server's own thread. Its `will_close` is no help: it waits until the socket can be written to.
                self._server.trigger.pull_trigger(channel.handle_close)

    def close(self) -> None:
        """Stops: first what is still being served (the application has ended its streams), then the connections."""
        self._server.trigger.pull_trigger(self._hang_up)
        self._server.task_dispatcher.shutdown(timeout=_STOP_S)
        # In the server's own thread, which ends when nothing is left to wait for. That closes the trigger, too: it must
        # not begin before the trigger is pulled, and `pull_trigger` lets go of the lock in between.
        trigger = self._server.trigger
        with trigger.lock:
            trigger.thunks.append(lambda: wasyncore.close_all(self._map, ignore_all=True))
            trigger._physical_pull()
        self._thread.join(timeout=_STOP_S)

    def _hang_up(self) -> None:
        """Takes no new connection, and frees the threads that wait for a viewer to read on."""
        with contextlib.suppress(OSError):
            self._server.accepting = False
            self._server.del_channel()
            self._server.socket.close()
        for channel in list(self._server.active_channels.values()):
            if channel.total_outbufs_len > _UNSENT_BYTES:
                channel.handle_close()
