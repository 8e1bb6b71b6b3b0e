"""How much cameras that accept a connection and never answer cost the healthy ones.

    python -m benchmarks.hanging_cameras [--hanging 0 8 32] [--healthy 4]

Runs `mtmc up` with two workers on small files and on RTSP addresses that hang, and measures the seconds until all
healthy cameras are live: after the start, after a worker was killed, and after the site was published again.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml
from redis.exceptions import RedisError

from shared.errors import MtmcError
from shared.redis_connection import connect
from shared.redis_server import RedisServer, any_free_port, find_binary
from shared.site import read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import SiteState
from tests.small_site import small_site

_ROOT = Path(__file__).resolve().parent.parent
_PATIENCE_S = 120.0


@contextmanager
def silent_ports(count: int) -> Iterator[list[int]]:
    """Ports that accept connections and never send anything."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
            listener.listen(16)
        yield [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def read(url: str) -> SiteState | None:
    """The state of the site, if it is published."""
    try:
        client = connect(url)
        site = read_site(client, "hall")
        return StateReader(client, client, site).read() if site is not None else None
    except (RedisError, MtmcError):
        return None


def until(url: str, healthy: list[str], condition: Any) -> float:
    """Seconds until `condition(state)` holds."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < _PATIENCE_S:
        state = read(url)
        if state is not None and condition(state):
            return time.monotonic() - began_s
        time.sleep(0.05)
    raise SystemExit(f"gave up after {_PATIENCE_S:g} s")


def are_live(healthy: list[str], owners: set[str] | None = None, revision: int = 0) -> Any:
    """Whether all healthy cameras are live, with none of the workers `owners` as owner."""

    def check(state: SiteState) -> bool:
        cameras = [camera for camera in state.cameras if camera.name in healthy]
        return (
            state.revision >= revision
            and len(cameras) == len(healthy)
            and all(camera.state == "live" and camera.owner not in (owners or set()) for camera in cameras)
        )

    return check


def run(hanging: int, healthy_count: int) -> tuple[float, float, float, int, float]:
    """Seconds after start, kill and publish; the most threads and MiB of a worker."""
    healthy = [f"h{i}" for i in range(healthy_count)]
    with tempfile.TemporaryDirectory() as name, silent_ports(hanging) as ports:
        folder = Path(name)
        site = small_site(folder, "x")
        site["cameras"] = [{"name": camera, "source": "x.avi", "loop": True} for camera in healthy]
        site["cameras"] += [
            {"name": f"silent{i}", "source": f"rtsp://127.0.0.1:{port}/cam"} for i, port in enumerate(ports)
        ]
        path = folder / "site.yaml"
        path.write_text(yaml.safe_dump(site), encoding="utf-8")
        server = RedisServer(find_binary(), folder / "redis", any_free_port())
        server.write_settings()
        redis = subprocess.Popen(server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        command = [sys.executable, "-m", "cli", "up", str(path), "--redis", server.url, "--workers", "2"]
        up = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            start_s = until(server.url, healthy, are_live(healthy))
            state = read(server.url)
            assert state is not None
            victim = next(w for w in state.workers if any(c.owner == w.id for c in state.cameras if c.name in healthy))
            os.kill(int(victim.pid), signal.SIGKILL)
            kill_s = until(server.url, healthy, are_live(healthy, {victim.id}))
            state = read(server.url)
            assert state is not None
            site["clock"] = {"target_fps": 9.0}
            path.write_text(yaml.safe_dump(site), encoding="utf-8")
            publish = [sys.executable, "-m", "cli", "config", "publish", str(path), "--redis", server.url]
            subprocess.run(publish, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
            before = {worker.id for worker in state.workers}
            publish_s = until(server.url, healthy, are_live(healthy, before, state.revision + 1))
            time.sleep(6)
            state = read(server.url)
            assert state is not None
            workers = [psutil.Process(int(worker.pid)) for worker in state.workers]
            threads = max(worker.num_threads() for worker in workers)
            mib = max(worker.memory_info().rss for worker in workers) / 2**20
            return start_s, kill_s, publish_s, threads, mib
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
            redis.terminate()
            redis.wait(30)


def main() -> None:
    """Prints one line per number of hanging cameras."""
    parser = argparse.ArgumentParser(description="The cost of cameras that hang")
    parser.add_argument("--hanging", type=int, nargs="+", default=[0, 8, 32])
    parser.add_argument("--healthy", type=int, default=4)
    arguments = parser.parse_args()
    for hanging in arguments.hanging:
        start_s, kill_s, publish_s, threads, mib = run(hanging, arguments.healthy)
        sys.stdout.write(
            f"{hanging} hanging: healthy cameras live {start_s:.1f} s after the start, {kill_s:.1f} s after a kill, "
            f"{publish_s:.1f} s after a publish; a worker has at most {threads} threads and {mib:.0f} MiB\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
