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
        self._open: list[tuple[socket.socket, socket.socket]] = []
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
                self._open.append((near, far))
                threading.Thread(target=self._serve, args=(near, far), daemon=True).start()

    def close(self) -> None:
        """Accepts no more connections, and ends those that are open."""
        # Closing alone does not end a thread that waits in `accept`.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(10)
        for pair in self._open:
            _shut_down(*pair)

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        with near, far:
            up = threading.Thread(target=self._forward, args=(near, far, "up"), daemon=True)
            up.start()
            self._forward(far, near, "down")
            up.join()

    def _forward(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1400):
                with self._lock:
                    free_at = max(self._free_at[direction], time.monotonic()) + len(data) / self._rate
                    self._free_at[direction] = free_at
                time.sleep(max(0.0, free_at - time.monotonic()))
                target.sendall(data)
        _shut_down(source, target)


def _shut_down(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
