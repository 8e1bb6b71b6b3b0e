"""Throughput on four real cameras: the whole system in virtual time, and the bare networks on the same pictures.

    python -m benchmarks.four_cameras [--workers N] [--threads N]

Runs `mtmc up` on `../shared/data/ufes-four-cameras` (or `$MTMC_SHARED/data/…`), with its own Redis, until the files
end, and computes camera-frames per second between the first and the last entry. Then runs the two networks alone, in
this process, on every eighth of the same pictures, with as many crops as the system embedded. Quote the ratio: both
figures depend on the load of the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from redis.exceptions import RedisError

from shared.keys import Keys
from shared.messages import TrackEntry
from shared.redis_connection import Client, connect
from shared.redis_server import RedisServer, any_free_port, find_binary
from vision.inference.detection import Detector
from vision.inference.embedding import Embedder
from vision.inference.selection import Thresholds

_ROOT = Path(__file__).resolve().parent.parent
_SHARED = Path(os.environ.get("MTMC_SHARED") or _ROOT.parent / "shared")
_CAMERAS = [f"cam{i}" for i in range(4)]
FPS = 10
"""Of the files."""
_EVERY = 8
_GIVE_UP_S = 600


@dataclass(frozen=True)
class Throughput:
    """Measurement of the whole system."""

    frames: int
    seconds: float
    boxes: list[np.ndarray]
    """The embedded boxes, camera by camera, as a sample of crops."""
    crops: int


def site(folder: Path, fps: float = FPS) -> Path:
    """Writes a site of the four files, in virtual time, by default at their own rate. All four see the same room."""
    videos, weights = _SHARED / "data" / "ufes-four-cameras", _SHARED / "weights"
    path = folder / "site.yaml"
    content = {
        "site": "bench",
        "clock": {"mode": "virtual", "target_fps": fps},
        "detector": {"model": str(weights / "yolox_nano.onnx"), "classes": ["person"]},
        "embedder": {"model": str(weights / "osnet_x0_25_msmt17.onnx")},
        "cameras": [{"name": name, "source": str(videos / f"{name}.mp4")} for name in _CAMERAS],
        "layout": {"overlaps": [list(_CAMERAS)]},
        "streamer": {"port": 0},
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def whole_system(workers: int) -> Throughput:
    """Runs the site to its end. Times are those of the entry ids, which are Redis time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = RedisServer(find_binary(), folder / "redis", any_free_port())
        server.write_settings()
        redis = subprocess.Popen(server.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        command = [sys.executable, "-m", "cli", "up", site(folder), "--redis", server.url, "--workers", str(workers)]
        up: subprocess.Popen[bytes] | None = None
        try:
            client = _answering(server.url)
            up = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL)
            _wait_for_the_end(client, up)
            return _measured(client)
        finally:
            for process in (up, redis):
                if process is not None:
                    process.terminate()
                    process.wait(20)


def _answering(url: str) -> Client:
    client, deadline = connect(url), time.monotonic() + 20
    while True:
        try:
            client.ping()
        except RedisError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return client


def _wait_for_the_end(client: Client, up: subprocess.Popen[bytes]) -> None:
    keys, deadline = Keys("bench"), time.monotonic() + _GIVE_UP_S
    while not all(client.hget(keys.camera(name), "state") == b"ended" for name in _CAMERAS):
        if up.poll() is not None:
            raise SystemExit(f"mtmc up exited with {up.returncode}")
        if time.monotonic() > deadline:
            raise SystemExit("the files did not end in time")
        time.sleep(0.2)


def _measured(client: Client) -> Throughput:
    keys = Keys("bench")
    frames, crops, boxes, times = 0, 0, [], []
    for name in _CAMERAS:
        entries = client.xrange(keys.tracks(name))
        frames += len(entries)
        times += [int(entry_id.split(b"-")[0]) for entry_id, _ in (entries[0], entries[-1])]
        for _, fields in entries:
            batch = TrackEntry.decode(fields).batch
            embedded = batch.boxes_xyxy[batch.embedding_rows >= 0]
            crops += len(embedded)
            boxes.append(embedded)
    return Throughput(frames, (max(times) - min(times)) / 1000, boxes, crops)


def bare_networks(crops_per_frame: float, threads: int) -> tuple[float, float]:
    """Returns the milliseconds of detector and embedder per camera-frame, without decoding."""
    weights = _SHARED / "weights"
    detector = Detector.load(weights / "yolox_nano.onnx", device="cpu", threads=threads)
    embedder = Embedder.load(weights / "osnet_x0_25_msmt17.onnx", device="cpu", threads=threads)
    pictures = [picture for name in _CAMERAS for picture in _pictures(name)]
    thresholds = Thresholds(class_ids=frozenset({0}))
    began = time.perf_counter()
    found = [detector.detect([picture], [thresholds])[0] for picture in pictures]
    detected = time.perf_counter()
    owed = 0.0
    embedded = 0
    for picture, detections in zip(pictures, found, strict=True):
        owed += crops_per_frame
        boxes = detections.boxes_xyxy[: int(owed)]
        if len(boxes):
            embedder.embed([(picture, boxes)])
            embedded += len(boxes)
            owed -= len(boxes)
    ended = time.perf_counter()
    per_crop = (ended - detected) / max(1, embedded)
    return (detected - began) / len(pictures) * 1000, per_crop * crops_per_frame * 1000


def _pictures(camera: str) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(_SHARED / "data" / "ufes-four-cameras" / f"{camera}.mp4"))
    pictures, index = [], 0
    while capture.grab():
        if index % _EVERY == 0:
            pictures.append(capture.retrieve()[1])
        index += 1
    capture.release()
    return pictures


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Throughput on four real cameras")
    parser.add_argument("--workers", type=int, default=1, help="camera workers (default 1)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of the bare networks")
    arguments = parser.parse_args()
    if not (_SHARED / "data" / "ufes-four-cameras").is_dir():
        raise SystemExit(f"no data at {_SHARED}; set MTMC_SHARED to the folder that holds data/")
    cv2.setNumThreads(1)
    system = whole_system(arguments.workers)
    detector_ms, embedder_ms = bare_networks(system.crops / system.frames, arguments.threads)
    rate, bare = system.frames / system.seconds, 1000 / (detector_ms + embedder_ms)
    print(f"whole system    {rate:6.1f} camera-frames/s ({system.frames} in {system.seconds:.1f} s)")
    print(f"bare networks   {bare:6.1f} camera-frames/s (detector {detector_ms:.1f} ms, embedder {embedder_ms:.1f} ms")
    print(f"                       for {system.crops / system.frames:.2f} crops/frame, {arguments.threads} threads)")
    print(f"ratio           {rate / bare:6.2f}")


if __name__ == "__main__":
    main()
