"""Time that a model needs per picture, run on a CPU as by a worker."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from vision.inference.backends.onnx_runtime import OnnxModel


def milliseconds(path: Path, *, threads: int, pictures: int = 1, repetitions: int = 200) -> tuple[float, float]:
    """The fastest and the median time per picture of a batch; other processes on the machine affect the median."""
    model = OnnxModel.load(path, device="cpu", threads=threads)
    batch = model.blank().repeat(pictures, axis=0)
    times_ms = []
    for _ in range(repetitions):
        begun_s = time.perf_counter()
        model.run(batch)
        times_ms.append((time.perf_counter() - begun_s) * 1000 / pictures)
    return min(times_ms), statistics.median(times_ms)
