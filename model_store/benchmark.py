"""Describes and benchmarks a model, loaded and called as in a camera worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_store.store import ModelStore
from shared.config import DetectorConfig, EmbedderConfig
from shared.config_fields import is_published_detector
from shared.errors import ModelError, MtmcError
from vision.inference.backends.model import WantedDevice
from vision.inference.detection import Detector
from vision.inference.embedding import Embedder
from vision.inference.models import load_embedder
from vision.inference.selection import Thresholds

PICTURE_WIDTH, PICTURE_HEIGHT = 1280, 720
CROP_SIDE = 160
_FEWEST_CALLS = 5
_SEED = 7


@dataclass(frozen=True)
class BatchTiming:
    """Milliseconds per picture or crop, including pre- and post-processing."""

    batch: int
    calls: int
    min_ms: float
    median_ms: float
    p90_ms: float


def load_network(
    word: str,
    store: ModelStore,
    *,
    threads: int,
    backend: WantedDevice,
    crop_size: tuple[int, int] | None = None,
    engine_cache: Path | None = None,
) -> Detector | Embedder:
    """Loads the model named `word`, or the file at that path; an unknown file is tried as detector, then as embedder.

    `crop_size` is width and height in pixels, for an embedder whose file does not fix them. `engine_cache` is the
    folder with built TensorRT engines; None builds them every time.

    Raises:
        MtmcError: the model is not downloaded, or cannot be loaded.
    """
    kinds, settings, path = ["detector"], {}, Path(word)
    if not is_published_detector(path):
        model, path = store.found(word)
        if model is None:
            kinds = ["detector", "embedder"]
        else:
            kinds, settings = [model.entry.kind], model.entry.settings
            if path == model.path and not path.is_file():
                raise MtmcError(f"{word}: is not downloaded; run: mtmc models pull {model.entry.name}")
    size = dict(zip(("width", "height"), crop_size or (), strict=False))
    problems = []
    for kind in kinds:
        try:
            if kind == "detector":
                return Detector.load(path, device=backend, threads=threads, engine_cache=engine_cache)
            config = EmbedderConfig.model_validate({**settings, **size, "model": path, "backend": backend})
            return load_embedder(config, threads, engine_cache)
        except ModelError as error:
            problems.append(str(error))
    raise ModelError("; and as an embedder: ".join(dict.fromkeys(problems)))


def describe(network: Detector | Embedder) -> dict[str, Any]:
    """The facts about a model that `mtmc models benchmark` prints."""
    facts: dict[str, Any]
    if isinstance(network, Detector):
        width, height = network.input_size
        facts = {"kind": "detector", "head": network.head, "classes": list(network.class_names)}
    else:
        width, height = network.preprocessing.width or 0, network.preprocessing.height or 0
        facts = {"kind": "embedder", "dimension": network.dimension}
    return {
        **facts,
        "input_width": width,
        "input_height": height,
        "fixed_batch": network.batch_size,
        "device": network.device,
        "runtime": network.runtime,
        "gpu_problem": network.gpu_trouble.reason if network.gpu_trouble else None,
        "checksum": network.checksum,
    }


def measure_network(network: Detector | Embedder, batch: int, seconds: float) -> BatchTiming:
    """Times calls with `batch` pictures or crops of random noise, for at least `seconds`."""
    call = _detection(network) if isinstance(network, Detector) else _embedding(network)
    return measure(call, batch, seconds)


def _detection(network: Detector) -> Callable[[int], object]:
    picture = _noise()
    config = DetectorConfig(model=Path("any"))
    thresholds = Thresholds(config.min_score, config.nms_iou, None, config.max_detections)
    return lambda batch: network.detect([picture] * batch, [thresholds] * batch)


def _embedding(network: Embedder) -> Callable[[int], object]:
    picture = _noise()
    corners = np.random.default_rng(_SEED).uniform(0, PICTURE_HEIGHT - CROP_SIDE, (1024, 2)).astype(np.float32)
    boxes_xyxy = np.hstack([corners, corners + np.float32(CROP_SIDE)])
    return lambda batch: network.embed([(picture, boxes_xyxy[:batch])])


def _noise() -> npt.NDArray[np.uint8]:
    shape = (PICTURE_HEIGHT, PICTURE_WIDTH, 3)
    return np.random.default_rng(_SEED).integers(0, 256, shape, np.uint8)


def measure(
    call: Callable[[int], object], batch: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> BatchTiming:
    """Times `call(batch)` until `seconds` have passed, at least `_FEWEST_CALLS` times, after one warm-up call."""
    call(batch)
    marks = [clock()]
    while len(marks) <= _FEWEST_CALLS or marks[-1] - marks[0] < seconds:
        call(batch)
        marks.append(clock())
    each_ms = np.diff(marks) * 1000 / batch
    return BatchTiming(
        batch, len(each_ms), float(each_ms.min()), float(np.median(each_ms)), float(np.percentile(each_ms, 90))
    )
