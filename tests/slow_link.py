"""A slow link: a TCP proxy that lets through so many bytes per second."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class SlowLink(threading.Thread):
    """A TCP proxy to a local port, with one limit for each direction, shared by all connections."""

    def __init__(self, port: int, bytes_per_second: float) -> None:
        super().__init__(daemon=True)
        self._port, self._rate = port, bytes_per_second
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._free_at = {"up": 0.0, "down": 0.0}
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        """Accepts connections until `close`."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                for one in (near, far):  # Small buffers, so that little is under way.
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
                threading.Thread(target=self._forward, args=(near, far, "up"), daemon=True).start()
                threading.Thread(target=self._forward, args=(far, near, "down"), daemon=True).start()

    def close(self) -> None:
        """Accepts no more connections."""
        self._listener.close()

    def _forward(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1400):
                with self._lock:
                    free_at = max(self._free_at[direction], time.monotonic()) + len(data) / self._rate
                    self._free_at[direction] = free_at
                time.sleep(max(0.0, free_at - time.monotonic()))
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
