"""`mtmc models benchmark`: what a model is, and how long it takes here, loaded and called as a worker does it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from model_store.store import ModelStore
from shared.config import DetectorConfig, EmbedderConfig, is_published_detector
from shared.errors import ModelError, MtmcError
from vision.inference.backends.model import WantedDevice
from vision.inference.detection import Detector, Thresholds
from vision.inference.embedding import Embedder
from vision.inference.models import load_embedder

_PICTURE_WIDTH, _PICTURE_HEIGHT = 1280, 720
_CROP_SIDE = 160
_FEWEST_CALLS = 5
_SEED = 7


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is asked for."""

    word: str
    """A model's name, or the path of a file."""
    batches: tuple[int, ...]
    threads: int
    seconds: float
    """Per batch size, at least; five calls are made in any case."""
    backend: WantedDevice
    crop_size: tuple[int, int] | None
    """Width and height in pixels, for an embedder whose file leaves them open."""
    engine_cache: Path | None = None
    """The folder that keeps TensorRT's engines; None: they are built anew."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one picture or crop, preparation and decoding included."""

    batch: int
    calls: int
    min_ms: float
    median_ms: float
    p90_ms: float


def benchmark(options: BenchmarkOptions, store: ModelStore, console: Console, *, as_json: bool) -> None:
    """Shows what the model is and how fast it is on noise.

    Raises:
        MtmcError: it is not here, or cannot be used.
    """
    network = _load(options, store)
    facts = describe(network)
    call = _detection(network) if isinstance(network, Detector) else _embedding(network)
    timings = [measure(call, batch, options.seconds) for batch in options.batches]
    if as_json:
        content = {"model": options.word, **facts, "threads": options.threads, "timings": list(map(asdict, timings))}
        console.out(json.dumps(content), highlight=False)
        return
    for key, value in _lines(facts):
        console.print(f"{key:<11}{value}", markup=False, soft_wrap=True)
    console.print(_table(timings))
    what = "picture" if isinstance(network, Detector) else "crop"
    console.print(
        f"Milliseconds for one {what}, with all that a worker does to it; {_input_of(network)}.", soft_wrap=True
    )


def _load(options: BenchmarkOptions, store: ModelStore) -> Detector | Embedder:
    kinds, settings, path = ["detector"], {}, Path(options.word)
    if not is_published_detector(path):
        model, path = store.found(options.word)
        if model is None:
            kinds = ["detector", "embedder"]
        else:
            kinds, settings = [model.entry.kind], model.entry.settings
            if path == model.path and not path.is_file():
                raise MtmcError(f"{options.word}: is not here yet; `mtmc models pull {model.entry.name}` fetches it")
    problems = []
    for kind in kinds:
        try:
            return _load_as(kind, path, settings, options)
        except ModelError as error:
            problems.append(str(error))
    raise ModelError("; and as an embedder: ".join(dict.fromkeys(problems)))


def _load_as(kind: str, path: Path, settings: Mapping[str, Any], options: BenchmarkOptions) -> Detector | Embedder:
    if kind == "detector":
        return Detector.load(path, device=options.backend, threads=options.threads, engine_cache=options.engine_cache)
    size = dict(zip(("width", "height"), options.crop_size or (), strict=False))
    config = EmbedderConfig.model_validate({**settings, **size, "model": path, "backend": options.backend})
    return load_embedder(config, options.threads, options.engine_cache)


def describe(network: Detector | Embedder) -> dict[str, Any]:
    """What was found in the file, and what runs it."""
    facts: dict[str, Any]
    if isinstance(network, Detector):
        width, height = network.input_size
        facts = {"kind": "detector", "head": network.family, "classes": list(network.class_names)}
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
        "checksum": network.checksum,
    }


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if facts["kind"] == "detector":
        names = facts["classes"]
        yield "detector", f"head of {facts['head']}"
        yield "classes", f"{len(names)}: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
    else:
        yield "embedder", f"{facts['dimension']} values"
    batch = facts["fixed_batch"]
    yield (
        "input",
        f"{facts['input_width']}×{facts['input_height']}, {'any number' if batch is None else batch} in a call",
    )
    yield "runs on", f"{facts['device']} by {facts['runtime']}"
    yield "checksum", facts["checksum"]


def _detection(network: Detector) -> Callable[[int], object]:
    picture = _noise()
    config = DetectorConfig(model=Path("any"))
    thresholds = Thresholds(config.min_score, config.nms_iou, None, config.max_detections)
    return lambda batch: network.detect([picture] * batch, [thresholds] * batch)


def _embedding(network: Embedder) -> Callable[[int], object]:
    picture = _noise()
    corners = np.random.default_rng(_SEED).uniform(0, _PICTURE_HEIGHT - _CROP_SIDE, (1024, 2)).astype(np.float32)
    boxes_xyxy = np.hstack([corners, corners + np.float32(_CROP_SIDE)])
    return lambda batch: network.embed([(picture, boxes_xyxy[:batch])])


def _noise() -> npt.NDArray[np.uint8]:
    shape = (_PICTURE_HEIGHT, _PICTURE_WIDTH, 3)
    return np.random.default_rng(_SEED).integers(0, 256, shape, np.uint8)


def measure(
    call: Callable[[int], object], batch: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Timing:
    """Calls with `batch` until `seconds` have passed, at least `_FEWEST_CALLS` times, after a first call to warm up."""
    call(batch)
    marks = [clock()]
    while len(marks) <= _FEWEST_CALLS or marks[-1] - marks[0] < seconds:
        call(batch)
        marks.append(clock())
    each_ms = np.diff(marks) * 1000 / batch
    return Timing(
        batch, len(each_ms), float(each_ms.min()), float(np.median(each_ms)), float(np.percentile(each_ms, 90))
    )


def _table(timings: Sequence[Timing]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("batch", "calls", "min", "median", "p90", "a second"):
        table.add_column(heading, justify="right")
    for timing in timings:
        times = (f"{ms:.2f}" for ms in (timing.min_ms, timing.median_ms, timing.p90_ms))
        table.add_row(str(timing.batch), str(timing.calls), *times, f"{1000 / timing.median_ms:.1f}")
    return table


def _input_of(network: Detector | Embedder) -> str:
    if isinstance(network, Detector):
        return f"pictures of {_PICTURE_WIDTH}×{_PICTURE_HEIGHT} pixels of noise"
    return f"boxes of {_CROP_SIDE}×{_CROP_SIDE} pixels of noise"
