"""Pictures per second of our detector and embedder, against the bare network in a tight loop on the same device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu_check.networks import CROP_HEIGHT, CROP_WIDTH
from vision.inference.backends.pytorch import TorchModel
from vision.inference.backends.torch_extra import import_torch
from vision.inference.detection import Detector
from vision.inference.embedding import Embedder
from vision.inference.selection import Thresholds

_WARM_UP_CALLS = 5


@dataclass(frozen=True)
class Rate:
    """One row of the table."""

    what: str
    batch: int
    whole: float
    """Pictures per second from pictures on the host to boxes or vectors on the host."""
    bare: float
    """Of the network alone, with a batch that is on the device."""

    @property
    def ratio(self) -> float:
        """`whole / bare`."""
        return self.whole / self.bare


def detector_rate(
    detector: Detector, model: TorchModel, frames: Sequence[npt.NDArray[np.uint8]], batch: int, seconds: float
) -> Rate:
    """`frames` are repeated to fill a batch; `model` is the detector's own network, loaded once more."""
    pictures = [frames[number % len(frames)] for number in range(batch)]
    thresholds = [Thresholds()] * batch
    width, height = detector.input_size
    whole = _per_second(lambda: detector.detect(pictures, thresholds), batch, seconds)
    return Rate("detector", batch, whole, _bare(model, batch, height, width, seconds))


def embedder_rate(
    embedder: Embedder, model: TorchModel, frame: npt.NDArray[np.uint8], batch: int, seconds: float
) -> Rate:
    """Crops of one `frame`, between a tenth and a fifth of its height."""
    rng = np.random.default_rng(1)
    height, width = frame.shape[:2]
    sizes = np.stack([rng.uniform(height / 20, height / 10, batch), rng.uniform(height / 10, height / 5, batch)], 1)
    corners = rng.random((batch, 2)) * (np.array([width, height]) - sizes)
    boxes = np.hstack([corners, corners + sizes]).astype(np.float32)
    whole = _per_second(lambda: embedder.embed([(frame, boxes)]), batch, seconds)
    return Rate("embedder", batch, whole, _bare(model, batch, CROP_HEIGHT, CROP_WIDTH, seconds))


def _bare(model: TorchModel, batch: int, height: int, width: int, seconds: float) -> float:
    torch = import_torch()
    pictures = torch.rand(batch, height, width, 3).permute(0, 3, 1, 2).to(model.torch_device, model.dtype)

    def call() -> Any:
        outputs = model.tensors(pictures)
        if model.device != "cpu":
            torch.cuda.synchronize()
        return outputs

    return _per_second(call, batch, seconds)


def _per_second(call: Callable[[], Any], pictures: int, seconds: float) -> float:
    for _ in range(_WARM_UP_CALLS):
        call()
    calls, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds or not calls:
        call()
        calls += 1
    return calls * pictures / passed
