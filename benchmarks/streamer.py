"""What a viewer costs the streamer, beside a minimal loop that resends (`benchmarks/streaming/resending.py`).

    python -m benchmarks.streamer [--viewers 50 200 500] [--peer-viewers 50 200] [--slow 5] [--seconds 20] [--json]
    python -m benchmarks.streamer --wall [--query '?width=640']

Four cameras of 1280×720 at 10 Hz come from a Redis of its own; viewers read all that they get over HTTP/1.1. With
`--wall`, each viewer is a live page, which gets all four cameras. For each number of viewers:

- CPU: processor time of the server's process per picture that is new to its viewer, in ms, with the kernel's part
- gap: time between two new pictures of a viewer, in ms
- age: time from publication until a viewer has the picture's headers, in ms
- memory: resident memory per viewer, in KiB, compared with one viewer
- the same beside viewers that read 20 kB/s, and how old the pictures are that those get, in s
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.streaming.publisher import CAMERAS
from shared.redis_connection import connect
from shared.redis_server import RedisServer, any_free_port, find_binary
from shared.site import publish_site
from tests.integration.streamer_site import SITE, site_config

_ROOT = Path(__file__).resolve().parents[1]
_START_S = 60.0


@contextlib.contextmanager
def _running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, cwd=_ROOT, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        sys.exit(f"{' '.join(map(str, process.args[2:4]))} ended")  # type: ignore[index]
    return line


def _module(name: str, *arguments: str | int) -> list[str]:
    return [sys.executable, "-m", name, *map(str, arguments)]


@contextlib.contextmanager
def _pictures() -> Iterator[tuple[str, int]]:
    """A Redis with a published site and its pictures: the URL, and the mean size of a picture in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(find_binary(), Path(folder), any_free_port())
        server.write_settings()
        with _running(server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            client = connect(server.url)
            _until(lambda: _answers(client))
            publish_site(client, site_config(list(CAMERAS), max_viewers=2000))
            with _running(_module("benchmarks.streaming.publisher", server.url), stdout=subprocess.PIPE) as publisher:
                yield server.url, int(_line(publisher))


def _answers(client: Any) -> bool:
    with contextlib.suppress(Exception):
        return bool(client.ping())
    return False


def _until(condition: Any) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("a server does not start")
        time.sleep(0.05)


@contextlib.contextmanager
def _streamer(url: str) -> Iterator[tuple[int, int]]:
    """A streamer: its process id and its port."""
    port = any_free_port()
    command = _module("cli", "run", "streamer", "--site", SITE, "--redis", url, "--port", port)
    with _running([*command, "--metrics-port", "-1"], stderr=subprocess.DEVNULL) as process:
        _until(lambda: any(each.laddr.port == port for each in psutil.Process(process.pid).net_connections()))
        yield process.pid, port


@contextlib.contextmanager
def _resending(url: str) -> Iterator[tuple[int, int]]:
    command = _module("benchmarks.streaming.resending", url)
    with _running(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process.pid, int(_line(process))


def _measured(pid: int, port: int, viewers: int, slow: int, seconds: int, path: str) -> dict[str, Any]:
    command = _module("benchmarks.streaming.viewers", port, viewers, slow, seconds, path)
    server = psutil.Process(pid)
    with _running(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert _line(process) == "begin"
        before, began = server.cpu_times(), time.monotonic()
        assert _line(process) == "end"
        after, took_s = server.cpu_times(), time.monotonic() - began
        memory = server.memory_info().rss
        found: dict[str, Any] = json.loads(_line(process))
    used_s = after.user + after.system - before.user - before.system
    return {
        "viewers": viewers,
        "slow_viewers": slow,
        "path": path,
        **found,
        "pictures_per_s_and_viewer": round(found["pictures"] / took_s / viewers, 2),
        "cpu_ms_per_picture": round(1000 * used_s / max(1, found["pictures"]), 4),
        "cores": round(used_s / took_s, 3),
        "rss_bytes": memory,
        "threads": server.num_threads(),
    }


def _rows(server: Any, url: str, counts: Sequence[int], slow: int, seconds: int, path: str) -> Iterator[dict[str, Any]]:
    for count in counts:
        with server(url) as (pid, port):
            alone = _measured(pid, port, 1, 0, 3, path)["rss_bytes"]
            for beside in (0, slow) if slow else (0,):
                row = _measured(pid, port, count, beside, seconds, path)
                if not beside:
                    row["kib_per_viewer"] = round((row["rss_bytes"] - alone) / 1024 / max(1, count - 1), 1)
                yield row


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, nargs="*", default=[50, 200, 500])
    parser.add_argument("--peer-viewers", type=int, nargs="*", default=[50, 200], help="of the loop that resends")
    parser.add_argument("--slow", type=int, default=5, help="viewers that read 20 kB/s")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--query", default="", help="for example '?width=640&fps=5'")
    parser.add_argument("--wall", action="store_true", help="viewers of /wall.stream, and no loop that resends")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    path = ("/wall.stream" if options.wall else "/CAMERA.mjpg") + options.query
    found: dict[str, Any] = {}
    with _pictures() as (url, size):
        found["picture_bytes"] = size
        for name, server, counts in (
            ("streamer", _streamer, options.viewers),
            ("resending", _resending, () if options.wall else options.peer_viewers),
        ):
            slow = options.slow if server is _streamer else 0
            found[name] = []
            for row in _rows(server, url, counts, slow, options.seconds, path):
                found[name].append(row)
                if not options.json:
                    _print(name, row)
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")


def _print(name: str, row: dict[str, Any]) -> None:
    slow = (
        f" + {row['slow_viewers']} slow, whose pictures are {row['slow_age_p50_s']} s old"
        if row["slow_viewers"]
        else ""
    )
    memory = f", {row['kib_per_viewer']} KiB per viewer" if "kib_per_viewer" in row else ""
    print(
        f"{name}: {row['viewers']} viewers{slow}: {row['cpu_ms_per_picture']:.3f} ms CPU per new picture, gap p50 "
        f"{row['gap_p50_ms']} ms, p95 {row['gap_p95_ms']} ms, age p95 {row['age_p95_ms']} ms, {row['cores']} cores, "
        f"{row['threads']} threads{memory}",
        flush=True,
    )


if __name__ == "__main__":
    main()
