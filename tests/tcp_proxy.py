"""A network that fails: a TCP proxy that delays what it passes, cuts its connections, or passes nothing."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator

_CHUNK_BYTES, _CHUNKS = 65536, 64


class TcpProxy(threading.Thread):
    """A proxy to a local port. While that port refuses connections, so does the proxy: it closes what it accepts."""

    def __init__(self, port: int) -> None:
        super().__init__(name="tcp-proxy", daemon=True)
        self._target_port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._passes = threading.Event()
        self._passes.set()
        self.latency_s = 0.0
        """How long each byte is under way, in each direction."""
        self.port: int = self._listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        """Accepts connections until `close`."""
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                near.close()
                continue
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            for source, target in ((near, far), (far, near)):
                under_way: queue.Queue[tuple[float, bytes]] = queue.Queue(_CHUNKS)
                threading.Thread(target=self._receive, args=(source, under_way), daemon=True).start()
                threading.Thread(target=self._send, args=(source, target, under_way), daemon=True).start()

    def cut(self) -> int:
        """Cuts every connection at once; returns their number."""
        with self._lock:
            cut, self._open = self._open, set()
        for one in cut:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        return len(cut) // 2

    @contextlib.contextmanager
    def black_hole(self) -> Iterator[None]:
        """Inside the `with` block, connections stay open and new ones are accepted, but nothing arrives.

        Afterwards everything that was sent meanwhile arrives, as TCP would deliver it, also from connections that their
        client has closed.
        """
        self._passes.clear()
        try:
            yield
        finally:
            self._passes.set()

    def close(self) -> None:
        """Accepts no more connections, and cuts the open ones."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._passes.set()
        self.cut()

    def _receive(self, source: socket.socket, under_way: queue.Queue[tuple[float, bytes]]) -> None:
        data = b"before the first"
        while data:
            try:
                data = source.recv(_CHUNK_BYTES)
            except OSError:
                data = b""
            under_way.put((time.monotonic() + self.latency_s, data))

    def _send(self, source: socket.socket, target: socket.socket, under_way: queue.Queue[tuple[float, bytes]]) -> None:
        while True:
            due_at, data = under_way.get()
            time.sleep(max(0.0, due_at - time.monotonic()))
            self._passes.wait()
            if not data:
                break
            with contextlib.suppress(OSError):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        # Closed once nothing arrives from it any more; what is sent to it until then is lost.
        with self._lock:
            self._open.discard(source)
        source.close()
