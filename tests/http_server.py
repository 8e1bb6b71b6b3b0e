"""A real HTTP server for tests, whose answers a test writes byte by byte."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Exchange:
    """One request and its answer."""

    def __init__(self, handler: http.server.BaseHTTPRequestHandler, stopped: threading.Event) -> None:
        self.path, self.headers = handler.path, handler.headers
        self._handler, self._stopped = handler, stopped

    def begin(self, content_type: str | None, status: int = 200, **headers: str) -> None:
        """Sends the header of the answer; `_` in the names of `headers` stands for `-`."""
        self._handler.send_response(status)
        if content_type is not None:
            self._handler.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def wait(self, seconds: float) -> bool:
        """Waits; False once the server stops."""
        return not self._stopped.wait(seconds)


@contextmanager
def serving_http(answer: Callable[[Exchange], None]) -> Iterator[str]:
    """Serves until the end of the block; yields the address without a path."""
    stopped = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            with suppress(OSError):
                answer(Exchange(self, stopped))

        def log_message(self, format: str, *args: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
