"""A temporary Redis server: without persistence, and stopped together with the process that started it."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from shared import tether
from shared.errors import RedisUnusable
from shared.redis_connection import RETRYABLE, connect
from shared.redis_server import RedisServer, any_free_port, find_binary

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0


@contextlib.contextmanager
def embedded_redis() -> Iterator[str]:
    """Runs a server on a free port of this machine and yields its URL, which contains a random password.

    Raises:
        RedisUnusable: no redis-server is installed, or it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="mtmc-redis-") as folder:
        server = RedisServer(
            find_binary(), Path(folder), any_free_port(), persistent=False, password=secrets.token_urlsafe()
        )
        server.write_settings()
        log = Path(folder) / "redis.log"
        command = tether.command(server.command, signal.SIGKILL)
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)  # noqa: S603
        try:
            _wait_until_it_answers(server.url_with_password, process, log)
            yield server.url_with_password
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    client = connect(url)
    deadline = time.monotonic() + _START_SECONDS
    try:
        while True:
            with contextlib.suppress(*RETRYABLE):
                client.ping()
                return
            if process.poll() is not None or time.monotonic() > deadline:
                last_lines = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
                raise RedisUnusable(f"the embedded Redis does not start: {last_lines}")
            time.sleep(0.02)
    finally:
        client.close()
