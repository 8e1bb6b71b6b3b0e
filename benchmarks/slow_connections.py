"""How long an HTTP server takes to answer while many clients are connected that never finish their request.

    python -m benchmarks.slow_connections http://127.0.0.1:8080/healthz http://127.0.0.1:8080/gate.jpg

Each address is requested several times while the connections are open.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import requests

_LONGEST_S = 120.0


@contextlib.contextmanager
def unfinished_requests(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    """`count` connections that have sent half of a request line."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else hard, hard))
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((host, port), timeout=_LONGEST_S))
            with contextlib.suppress(ConnectionError):  # the server may close it at once
                connection.sendall(b"GET /healt")
            connections.append(connection)
        yield connections


def seconds_to_answer(url: str) -> float:
    """Until the whole answer to a GET has arrived, whatever its status; infinite if there is none."""
    began = time.monotonic()
    try:
        requests.get(url, timeout=_LONGEST_S)
    except requests.RequestException:
        return float("inf")
    return time.monotonic() - began


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one line per address."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="+", help="http://HOST:PORT/PATH; all of one server")
    parser.add_argument("--connections", type=int, default=1100)
    parser.add_argument("--requests", type=int, default=5, help="requests of each address")
    options = parser.parse_args(arguments)
    parts = urlsplit(options.url[0])
    assert parts.hostname is not None
    assert parts.port is not None
    before = {url: seconds_to_answer(url) for url in options.url}
    with unfinished_requests(parts.hostname, parts.port, options.connections):
        worst = dict.fromkeys(options.url, 0.0)
        for _ in range(options.requests):
            for url in options.url:
                worst[url] = max(worst[url], seconds_to_answer(url))
    for url in options.url:
        print(
            f"{url}: {before[url] * 1000:.0f} ms alone, at most {worst[url]:.2f} s with "
            f"{options.connections} unfinished requests"
        )


if __name__ == "__main__":
    main()
