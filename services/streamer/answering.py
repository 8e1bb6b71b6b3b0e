"""Runs the Flask application: its code in threads, its endless streams in the event loop.

A request takes a thread until its answer is complete. An answer without a length is a stream, for which there are two
ways, neither of which keeps a thread:

- A route that sets `IN_LOOP` in the WSGI environment returns a generator that runs in the event loop. It may wait only
  by `Arrivals`, and must not call Redis.
- Any other generator runs in threads, one piece at a time. It should yield `b""` when there is nothing to send; it is
  asked again after `PAUSE_S`.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import structlog
from gevent.threadpool import ThreadPool

from services.streamer.connections import CONNECTION

_log = structlog.get_logger()

IN_LOOP = "mtmc.in_loop"
PAUSE_S = 0.25
_REQUEST_THREADS = 16
_STREAM_THREADS = 8

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Answering:
    """A WSGI application for gevent's server; to be made in the server's thread."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._requests, self._streams = ThreadPool(_REQUEST_THREADS), ThreadPool(_STREAM_THREADS)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers one request."""
        status, headers, body = self._requests.apply(self._answer, (environ,))
        start_response(status, headers)
        if isinstance(body, list):
            return body
        if environ.get(IN_LOOP):
            return _Stream(iter(body), lambda: _close(body), environ)
        return _Stream(self._pieces(iter(body), environ), lambda: self._streams.spawn(_close, body), environ)

    def _answer(self, environ: Environ) -> tuple[str, list[tuple[str, str]], Iterable[bytes]]:
        """Status, headers, and the body: a list if it is complete."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            started[:] = [status, headers]

        body = self._application(environ, start_response)
        status, headers = started
        has_length = any(name.lower() == "content-length" for name, _ in headers)
        if not has_length and environ["REQUEST_METHOD"] != "HEAD" and status[:3] not in ("204", "304"):
            return status, headers, body
        try:
            return status, headers, [b"".join(body)]
        finally:
            _close(body)

    def _pieces(self, body: Iterator[bytes], environ: Environ) -> Iterator[bytes]:
        while (piece := self._streams.apply(next, (body, None))) is not None:
            if piece:
                yield piece
                continue
            gevent.sleep(PAUSE_S)
            if environ[CONNECTION].has_left():
                return

    def close(self, timeout_s: float) -> bool:
        """Ends the threads; False if one still runs after `timeout_s`."""
        try:
            with gevent.Timeout(timeout_s):
                self._requests.kill()
                self._streams.kill()
        except gevent.Timeout:
            return False
        return True


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        with contextlib.suppress(ValueError):  # it still runs in another thread, which drops it afterwards
            close()


class _Stream:
    """The body of an endless answer; logs what goes wrong in it."""

    def __init__(self, pieces: Iterator[bytes], close: Callable[[], object], environ: Environ) -> None:
        self._pieces, self._close, self._path = pieces, close, environ["PATH_INFO"]

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except (StopIteration, OSError):
            raise
        except Exception as error:
            _log.exception("a stream failed", path=self._path)
            # The client would wait for the rest.
            raise ConnectionResetError(errno.ECONNRESET, "the stream failed") from error

    def close(self) -> None:
        """Called by the server in any case."""
        self._close()
