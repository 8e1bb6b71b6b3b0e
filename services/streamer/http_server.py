"""The HTTP server: waitress, set up so that endless streams neither fill memory nor block other requests.

Each open stream has a thread. Waitress blocks that thread while more than `outbuf_high_watermark` bytes are unsent, and
sends small pieces at once. This module adds what waitress lacks: it limits the kernel's send buffer (a slow viewer
would get old pictures from it), disconnects viewers that stopped reading, and shuts down. `connections` disconnects
clients that do not finish their request.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import structlog
from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from services.streamer.connections import Connection
from shared.errors import MtmcError

_log = structlog.get_logger()

MAX_STREAMS = 96
"""Maximum number of open streams; each has its own thread."""
_OTHER_THREADS = 16
_UNSENT_BYTES = 16 * 1024
_KERNEL_BYTES = 128 * 1024
"""Size of the kernel's send buffer. The kernel doubles it: it then holds about four pictures of 60 kB."""
_STUCK_S = 15.0
"""A viewer that reads nothing for this long is disconnected, to free its thread."""
_IDLE_S = 30
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
        listener.bind(address)
        listener.listen(128)
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
    """Serves `app` on its own threads."""

    def __init__(self, app: Flask, host: str, port: int, *, on_cut_off: Callable[[], None]) -> None:
        """Opens the port.

        Raises:
            MtmcError: see `listen`.
        """
        listener = listen(host, port)
        self.host, self.port = listener.getsockname()[:2]
        self._on_cut_off = on_cut_off
        self._map: dict[int, Any] = {}
        # Typed as Any, because the stubs have wrong attributes.
        self._server: Any = create_server(
            app,
            map=self._map,
            sockets=[listener],
            threads=MAX_STREAMS + _OTHER_THREADS,
            outbuf_high_watermark=_UNSENT_BYTES,
            # Reading ahead while a request is served detects that the viewer has disconnected.
            channel_request_lookahead=1,
            channel_timeout=_IDLE_S,
            cleanup_interval=5,
            connection_limit=1000,
            max_request_body_size=65536,
            clear_untrusted_proxy_headers=False,  # `access.addresses` decides which of them count
            asyncore_use_poll=True,
            ident=None,
        )
        cast("Any", self._server).channel_class = Connection
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    @property
    def url(self) -> str:
        """The URL for clients on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Starts serving."""
        self._thread.start()

    def cut_off_stuck(self) -> None:
        """Closes the connections of viewers that have stopped reading."""
        before = time.time() - _STUCK_S
        for channel in list(self._server.active_channels.values()):
            if channel.total_outbufs_len and channel.last_activity < before:
                _log.info("disconnected a viewer that stopped reading", address=channel.addr[0])
                self._on_cut_off()
                # Runs in the server's thread. Setting `will_close` would wait until the socket is writable.
                self._server.trigger.pull_trigger(channel.handle_close)

    def close(self) -> None:
        """Stops the running requests (the application has ended its streams), then closes the connections."""
        self._server.trigger.pull_trigger(self._stop_accepting)
        self._server.task_dispatcher.shutdown(timeout=_STOP_S)
        # `close_all` runs in the server's thread, which ends when no sockets are left. It also closes the trigger, so
        # it must not start before the trigger is pulled, and `pull_trigger` would release the lock in between.
        trigger = self._server.trigger
        with trigger.lock:
            trigger.thunks.append(lambda: wasyncore.close_all(self._map, ignore_all=True))
            trigger._physical_pull()
        self._thread.join(timeout=_STOP_S)

    def _stop_accepting(self) -> None:
        """Accepts no new connections, and frees the threads that wait for a slow viewer."""
        with contextlib.suppress(OSError):
            self._server.accepting = False
            self._server.del_channel()
            self._server.socket.close()
        for channel in list(self._server.active_channels.values()):
            if channel.total_outbufs_len > _UNSENT_BYTES:
                channel.handle_close()
