"""Many viewers of MJPEG streams, or of `/wall.stream`, in one process.

    python -m benchmarks.streaming.viewers PORT COUNT SLOW SECONDS PATH

In PATH, CAMERA stands for the camera of a viewer.

Prints, as JSON, what COUNT viewers got in SECONDS, after all of them have had two pictures, beside SLOW ones that read
20 kB/s.
"""

from __future__ import annotations

import json
import re
import resource
import select
import socket
import sys
import time

import numpy as np

from benchmarks.streaming.publisher import CAMERAS

# Each begins with a constant text, which is found fast: viewers get 250 MB/s.
_PART = re.compile(rb"X-Mtmc-Tick: (?P<tick>\d+)\r\nX-Mtmc-Capture-Time: (?P<time>[\d.]+)\r\n")
_WALL_PICTURE = re.compile(
    rb'{"type":"picture","camera":"(?P<camera>\w+)","tick":(?P<tick>\d+)(?:,"time_ns":"(?P<time_ns>\d+)",)?'
)
_KEPT = 110
"""Bytes of the last piece that may hold the beginning of a part's headers."""
_SLOW_BYTES_PER_S = 20_000
_SLOW_EVERY_S = 0.1
_START_S = 60.0


class Viewer:
    """One stream."""

    def __init__(self, port: int, path: str, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.socket.setblocking(False)
        self._is_wall = path.startswith("/wall.stream")
        self._kept = b""
        self.ticks: dict[bytes | None, int] = {}
        """Camera (None: the only one) → tick of its newest picture."""
        self.arrived_at: dict[bytes | None, list[float]] = {}
        self.ages_s: list[float] = []

    @property
    def pictures(self) -> int:
        """How many new pictures it got since `arrived_at` was cleared."""
        return sum(map(len, self.arrived_at.values()))

    def took(self, data: memoryview) -> None:
        """Counts the new pictures whose headers end in `data`."""
        text = self._kept + bytes(data)
        for each in (_WALL_PICTURE if self._is_wall else _PART).finditer(text):
            camera, tick = (each["camera"] if self._is_wall else None), int(each["tick"])
            if tick > self.ticks.get(camera, -1):
                self.ticks[camera] = tick
                self.arrived_at.setdefault(camera, []).append(time.monotonic())
                published_s = int(each["time_ns"] or 0) / 1e9 if self._is_wall else float(each["time"])
                if published_s:
                    self.ages_s.append(time.time() - published_s)
        self._kept = text[-_KEPT:]


def _percentile(values: list[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 2) if values else None


def main() -> None:
    """Prints the JSON."""
    port, count, slow_count, seconds, path = int(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    paths = [path.replace("CAMERA", camera) for camera in CAMERAS]
    viewers = [Viewer(port, paths[number % len(paths)]) for number in range(count)]
    slow = [Viewer(port, paths[number % len(paths)], 16_384) for number in range(slow_count)]
    by_file = {viewer.socket.fileno(): viewer for viewer in viewers}
    poll = select.epoll()
    for file in by_file:
        poll.register(file, select.EPOLLIN)
    buffer = memoryview(bytearray(1 << 20))
    began = time.monotonic()
    end, slow_at = None, began
    while end is None or time.monotonic() < end:
        for file, _ in poll.poll(0.05):
            viewer = by_file[file]
            size = viewer.socket.recv_into(buffer)
            if not size:
                sys.exit(f"the stream of viewer {viewers.index(viewer)} ended after {viewer.pictures} pictures")
            viewer.took(buffer[:size])
        if time.monotonic() >= slow_at:
            slow_at += _SLOW_EVERY_S
            for viewer in slow:
                try:
                    viewer.took(memoryview(viewer.socket.recv(round(_SLOW_BYTES_PER_S * _SLOW_EVERY_S))))
                except BlockingIOError:
                    continue
        if end is None:
            if all(viewer.pictures > 1 for viewer in viewers):
                for viewer in (*viewers, *slow):
                    viewer.arrived_at.clear()
                    viewer.ages_s.clear()
                print("begin", flush=True)
                end = time.monotonic() + seconds
            elif time.monotonic() > began + _START_S:
                sys.exit("not all viewers got pictures")
    print("end", flush=True)
    arrivals = [times for viewer in viewers for times in viewer.arrived_at.values()]
    gaps_ms = [1000 * float(gap) for times in arrivals for gap in np.diff(times)]
    ages_ms = [1000 * age for viewer in viewers for age in viewer.ages_s]
    slow_ages_s = [age for viewer in slow for age in viewer.ages_s]
    found = {
        "pictures": sum(viewer.pictures for viewer in viewers),
        "gap_p50_ms": _percentile(gaps_ms, 50),
        "gap_p95_ms": _percentile(gaps_ms, 95),
        "age_p95_ms": _percentile(ages_ms, 95),
        "slow_age_p50_s": _percentile(slow_ages_s, 50),
        "slow_age_max_s": _percentile(slow_ages_s, 100),
    }
    print(json.dumps(found), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
