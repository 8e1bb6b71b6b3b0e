"""Many viewers of MJPEG streams in one process.

    python -m benchmarks.streaming.viewers PORT COUNT SLOW SECONDS QUERY

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

_TICK = re.compile(rb"X-Mtmc-Tick: (\d+)\r\nX-Mtmc-Capture-Time: ([\d.]+)\r\n")
_KEPT = 80
"""Bytes of the last piece that may hold the beginning of a part's headers."""
_SLOW_BYTES_PER_S = 20_000
_SLOW_EVERY_S = 0.1
_START_S = 60.0


class Viewer:
    """One stream."""

    def __init__(self, port: int, camera: str, query: str, receive_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET /{camera}.mjpg{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.socket.setblocking(False)
        self._kept = b""
        self.tick = -1
        self.arrived_at: list[float] = []
        self.ages_s: list[float] = []

    def took(self, data: memoryview) -> None:
        """Counts the new pictures whose headers end in `data`."""
        text = self._kept + bytes(data)
        for each in _TICK.finditer(text):
            tick = int(each[1])
            if tick > self.tick:
                self.tick = tick
                self.arrived_at.append(time.monotonic())
                self.ages_s.append(time.time() - float(each[2]))
        self._kept = text[-_KEPT:]


def _percentile(values: list[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 2) if values else None


def main() -> None:
    """Prints the JSON."""
    port, count, slow_count, seconds, query = int(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    viewers = [Viewer(port, CAMERAS[number % len(CAMERAS)], query) for number in range(count)]
    slow = [Viewer(port, CAMERAS[number % len(CAMERAS)], query, 16_384) for number in range(slow_count)]
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
                sys.exit(f"the stream of viewer {viewers.index(viewer)} ended after {len(viewer.arrived_at)} pictures")
            viewer.took(buffer[:size])
        if time.monotonic() >= slow_at:
            slow_at += _SLOW_EVERY_S
            for viewer in slow:
                try:
                    viewer.took(memoryview(viewer.socket.recv(round(_SLOW_BYTES_PER_S * _SLOW_EVERY_S))))
                except BlockingIOError:
                    continue
        if end is None:
            if all(len(viewer.arrived_at) > 1 for viewer in viewers):
                for viewer in (*viewers, *slow):
                    viewer.arrived_at.clear()
                    viewer.ages_s.clear()
                print("begin", flush=True)
                end = time.monotonic() + seconds
            elif time.monotonic() > began + _START_S:
                sys.exit("not all viewers got pictures")
    print("end", flush=True)
    gaps_ms = [1000 * float(gap) for viewer in viewers for gap in np.diff(viewer.arrived_at)]
    ages_ms = [1000 * age for viewer in viewers for age in viewer.ages_s]
    slow_ages_s = [age for viewer in slow for age in viewer.ages_s]
    found = {
        "pictures": sum(len(viewer.arrived_at) for viewer in viewers),
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
