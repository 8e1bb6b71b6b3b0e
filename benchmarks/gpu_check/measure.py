"""What this machine's GPU does with the PyTorch path: throughput, and whole workers with many cameras.

    python -m benchmarks.gpu_check.measure [--small] [--json FILE]

`benchmarks/gpu_check/run` installs what it needs and runs it. Without a GPU it runs on the CPU; `--small` then keeps it
short.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.gpu_check.clips import write_clips
from benchmarks.gpu_check.networks import CROP_HEIGHT, CROP_WIDTH, boxes_per_picture, write_networks
from benchmarks.gpu_check.prepare import BUNDLE
from benchmarks.gpu_check.throughput import Rate, detector_rate, embedder_rate
from benchmarks.gpu_check.whole_worker import Load, measure
from vision.inference.backends.pytorch import TorchModel
from vision.inference.backends.torch_extra import import_torch
from vision.inference.detection import Detector
from vision.inference.embedding import Embedder, Preprocessing


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    size: int
    """Of the detector's input, pixels."""
    width: int
    """Channels of the networks' first layers."""
    batches: tuple[int, ...]
    rate_seconds: float
    loads: tuple[tuple[int, int], ...]
    """Numbers of cameras and workers."""
    load_seconds: float


WHOLE = Plan(640, 32, (1, 8, 32, 64), 1.5, ((8, 1), (16, 1), (32, 1), (64, 1), (32, 2), (64, 4)), 12.0)
SMALL = Plan(160, 8, (1, 4), 0.3, ((1, 1), (2, 1)), 2.0)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="Throughput of the PyTorch path on this machine")
    parser.add_argument("--small", action="store_true", help="small networks, two cameras: half a minute on a CPU")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    plan = SMALL if arguments.small else WHOLE
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = sorted((BUNDLE / "clips").glob("*.mp4")) if not arguments.small else []
        clips = clips or (write_clips(folder, 1, 2, 320, 180) if arguments.small else write_clips(folder, 4, 12))
        pictures = _pictures(clips)
        detector, embedder = write_networks(folder, pictures[:8], size=plan.size, width=plan.width)
        rates, facts = _rates(plan, detector, embedder, pictures)
        print(f"{facts['device']}, {facts['precision']}; {facts['boxes']:.1f} boxes per picture", flush=True)
        print(rate_table(rates), flush=True)
        loads: list[Load] = []
        for cameras, workers in plan.loads:
            loads.append(measure(folder, detector, embedder, clips, cameras, workers, plan.load_seconds))
            print(load_table(loads[-1:], header=len(loads) == 1), flush=True)
    if arguments.json:
        content = facts | {"rates": [asdict(one) for one in rates], "loads": [asdict(one) for one in loads]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _pictures(clips: Sequence[Path]) -> list[npt.NDArray[np.uint8]]:
    """Every tenth picture of each clip."""
    pictures = []
    for clip in clips:
        capture = cv2.VideoCapture(str(clip))
        number = 0
        while capture.grab():
            if number % 10 == 0:
                pictures.append(np.asarray(capture.retrieve()[1], np.uint8))
            number += 1
        capture.release()
    return pictures


def _rates(
    plan: Plan, detector_file: Path, embedder_file: Path, pictures: Sequence[npt.NDArray[np.uint8]]
) -> tuple[list[Rate], dict[str, str | float]]:
    largest = max(plan.batches)
    preprocessing = Preprocessing(CROP_WIDTH, CROP_HEIGHT)
    detector = Detector.load(detector_file, max_batch=largest)
    embedder = Embedder.load(embedder_file, preprocessing, max_batch=largest)
    bare = TorchModel.load(detector_file, max_batch=largest)
    bare_embedder = TorchModel.load(embedder_file, max_batch=largest, picture_size=(CROP_HEIGHT, CROP_WIDTH))
    rates = [detector_rate(detector, bare, pictures, batch, plan.rate_seconds) for batch in plan.batches]
    rates += [embedder_rate(embedder, bare_embedder, pictures[0], batch, plan.rate_seconds) for batch in plan.batches]
    torch = import_torch()
    on_gpu = detector.device == "cuda"
    facts: dict[str, str | float] = {
        "device": torch.cuda.get_device_name(0) if on_gpu else f"CPU ({platform.machine()})",
        "precision": "FP16" if bare.half else "FP32",
        "cores": float(os.cpu_count() or 1),
        "torch": str(torch.__version__),
        "boxes": float(boxes_per_picture(detector, pictures).mean()),
    }
    return rates, facts


def rate_table(rates: Sequence[Rate]) -> str:
    """In Markdown."""
    rows = ["| | batch | pictures/s | bare network | ratio |", "| --- | --- | --- | --- | --- |"]
    rows += [f"| {one.what} | {one.batch} | {one.whole:.0f} | {one.bare:.0f} | {one.ratio:.2f} |" for one in rates]
    return "\n".join(rows)


def load_table(loads: Sequence[Load], *, header: bool = True) -> str:
    """In Markdown."""
    rows = []
    if header:
        rows.append(
            "| cameras | workers | p50 ms | p95 ms | ticks handled | tracks/picture | crops/picture | CPU cores | MiB |"
            " GPU | GPU MiB |"
        )
        rows.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for one in loads:
        gpu = ("", "") if one.gpu is None else (f"{one.gpu:.0%}", f"{one.gpu_mib:.0f}")
        rows.append(
            f"| {one.cameras} | {one.workers} | {one.p50_ms:.0f} | {one.p95_ms:.0f} | {one.handled:.1%} | "
            f"{one.boxes:.1f} | {one.crops:.1f} | {one.cpu_cores:.1f} | {one.memory_mib:.0f} | {gpu[0]} | {gpu[1]} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
