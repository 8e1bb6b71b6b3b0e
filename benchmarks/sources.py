"""CPU time per picture of a file and of streams, of this checkout and of another one, in turns.

    python -m benchmarks.sources [--against CHECKOUT] [--rounds 5] [--json]

Every picture of a file is requested. Streams come from a real MJPEG server and from GStreamer's RTSP server, at 25
pictures per second, and are asked 10 times per second as by a worker. Each measurement is a process of its own; the CPU
time is that of the whole process from the first picture on. Without `../shared` a file is made.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np

from tests.http_server import Exchange, serving_http
from tests.rtsp_server import is_available, serving_rtsp
from tests.videos import write_video

_ROOT = Path(__file__).resolve().parent.parent
_SHARED = Path(os.environ.get("MTMC_SHARED") or _ROOT.parent / "shared")
_STREAM_S = 6.0
_SIZE = (1280, 720)
_MEASURE = """
import json, sys, time
from vision.video.opening import open_source
try:
    from vision.video.allocation import keep_freed_memory
    keep_freed_memory()  # as the worker does
except ImportError:  # an older commit
    pass
kind, address, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
source = open_source(address, camera="c", site_time_ns=time.time_ns)
source.answered.wait(30)
frame = source.frame_at(0.0, 10.0)
assert frame is not None, source.error
first, began = frame.index, time.process_time()
if kind == "file":
    pictures = 0
    while pictures < 250 and (frame := source.frame_at(pictures / source.fps, 10.0)) is not None:
        frame.image
        pictures += 1
else:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.1)
        newest = source.frame_at(0.0, 1.0)
        if newest is not None:
            frame = newest
            frame.image
    pictures = frame.index - first
print(json.dumps(1000 * (time.process_time() - began) / max(1, pictures)))
source.close()
"""


def measure(checkout: Path, kind: str, address: str) -> float:
    """CPU milliseconds per picture."""
    command = [sys.executable, "-c", _MEASURE, kind, address, str(_STREAM_S)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True, timeout=120)
    return float(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def serving_mjpeg() -> Iterator[str]:
    """An MJPEG server at 25 pictures per second."""
    noise = np.random.default_rng(0).integers(0, 255, (_SIZE[1] // 8, _SIZE[0] // 8, 3), np.uint8)
    scenes = [cv2.resize(np.roll(noise, shift, 1), _SIZE, interpolation=cv2.INTER_CUBIC) for shift in range(10)]
    pictures = [cv2.imencode(".jpg", scene)[1].tobytes() for scene in scenes]

    def answer(exchange: Exchange) -> None:
        exchange.begin("multipart/x-mixed-replace; boundary=b")
        for picture in itertools.cycle(pictures):
            header = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            exchange.send(header.encode() + picture + b"\r\n")
            if not exchange.wait(1 / 25):
                return

    with serving_http(answer) as address:
        yield f"{address}/stream"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="CPU per picture")
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", help="measure only sources whose name contains this")
    arguments = parser.parse_args()
    checkouts = {"this": _ROOT} | ({"other": arguments.against.resolve()} if arguments.against else {})
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        real = _SHARED / "data" / "ufes-four-cameras" / "cam1.mp4"
        file = real if real.exists() else write_video(folder / "a.mp4", [i / 10 for i in range(260)], size=_SIZE)
        sources = {"file": ("file", str(file)), "MJPEG over HTTP": ("stream", stack.enter_context(serving_mjpeg()))}
        if is_available():
            sources["RTSP, H.264"] = ("stream", stack.enter_context(serving_rtsp(size=_SIZE)).url("/cam"))
        for name, (kind, address) in sources.items():
            if arguments.only and arguments.only not in name:
                continue
            rounds = [
                {which: measure(checkout, kind, address) for which, checkout in checkouts.items()}
                for _ in range(arguments.rounds)
            ]
            found[name] = {which: statistics.median(one[which] for one in rounds) for which in checkouts}
            if "other" in checkouts:
                found[name]["ratio"] = statistics.median(one["this"] / one["other"] for one in rounds)
    if arguments.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    for name, row in found.items():
        figures = ", ".join(f"{which} {value:.2f}{'' if which == 'ratio' else ' ms'}" for which, value in row.items())
        sys.stdout.write(f"{name}: {figures}\n")


if __name__ == "__main__":
    main()
