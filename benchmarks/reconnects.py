"""Whether a source that is opened again and again leaks threads, files or memory.

    python -m benchmarks.reconnects [--times 1000]

One server ends each MJPEG stream after three pictures, one answers 404 over RTSP, and one accepts connections and never
answers. Each is opened `--times` times (the silent one a tenth as often), and a live RTSP stream a twentieth as often.
Threads, open files and memory are compared between a tenth of the way and the end. Exit code 1: something grows.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import psutil

from shared.backoff import Backoff
from shared.logs import configure_logging
from tests.http_server import Exchange, serving_http
from tests.rtsp_server import is_available, serving_rtsp
from vision.video.live_source import LiveSource
from vision.video.options import SourceOptions

_GROWN_MIB = 12.0
"""Allocators keep some memory; a leak of one picture per connection would be hundreds of times more."""


def use() -> tuple[int, int, float]:
    """Threads, open files and MiB of this process."""
    process = psutil.Process()
    return process.num_threads(), process.num_fds(), process.memory_info().rss / 2**20


def reconnect(name: str, url: str, times: int, options: SourceOptions) -> bool:
    """Opens `url` `times` times; whether nothing grew."""
    source = LiveSource(
        url, camera=name, site_time_ns=time.time_ns, options=options, backoff=Backoff(0.0005, 0.001)
    )  # fmt: skip
    early = None
    while source.failures < times:
        source.frame_at(0.0, 0.005)
        time.sleep(0.002)
        if early is None and source.failures >= times // 10:
            early = use()
    late = use()
    source.close()
    return compare(name, source.failures, early, late)


def compare(name: str, times: int, early: tuple[int, int, float] | None, late: tuple[int, int, float]) -> bool:
    """Prints the use of threads, files and memory; whether nothing grew."""
    assert early is not None
    grows = late[0] > early[0] + 4 or late[1] > early[1] + 4 or late[2] > early[2] + _GROWN_MIB
    sys.stdout.write(
        f"{name}, {times} connections: threads {early[0]} → {late[0]}, files {early[1]} → {late[1]}, "
        f"memory {early[2]:.0f} → {late[2]:.0f} MiB{': GROWS' if grows else ''}\n"
    )
    sys.stdout.flush()
    return not grows


def open_and_close(name: str, url: str, times: int) -> bool:
    """Opens `url` `times` times until its first picture; whether nothing grew."""
    options = SourceOptions(ffmpeg={"analyzeduration": "200000"})
    early = None
    for number in range(times):
        source = LiveSource(url, camera=name, site_time_ns=time.time_ns, options=options)
        assert source.frame_at(0.0, 30.0) is not None, source.error
        source.close()
        if number == times // 10:
            early = use()
    return compare(name, times, early, use())


def short_streams() -> Callable[[Exchange], None]:
    """A server that ends each stream after three pictures."""
    picture = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8))[1].tobytes()

    def answer(exchange: Exchange) -> None:
        exchange.begin("multipart/x-mixed-replace; boundary=b")
        exchange.send((b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + picture) * 3)

    return answer


def main() -> int:
    """Prints one line per kind of source."""
    parser = argparse.ArgumentParser(description="Reconnect many times")
    parser.add_argument("--times", type=int, default=1000)
    times = parser.parse_args().times
    configure_logging("reconnects", "ERROR")
    fine = True
    with serving_http(short_streams()) as address:
        fine &= reconnect("MJPEG that ends", f"{address}/stream", times, SourceOptions())
    if is_available():
        with serving_rtsp() as server:
            fine &= reconnect("RTSP, 404", server.url("/nothing"), times, SourceOptions())
            fine &= open_and_close("RTSP, live", server.url("/cam"), max(10, times // 20))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/cam"
        fine &= reconnect("RTSP that never answers", url, max(10, times // 10), SourceOptions(open_timeout_s=0.2))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
