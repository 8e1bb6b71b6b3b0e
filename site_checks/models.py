"""The networks of a site: whether they can be used, where they run, and how many pictures they manage."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from shared.config import SiteConfig
from shared.errors import ModelError
from site_checks.finding import Finding, error, ok, warning
from vision.inference.detection import Thresholds
from vision.inference.models import Models

AREA = "models"
_RUNS = 5
_FRAME = (720, 1280, 3)


def examine_models(site: SiteConfig, cores: int, engine_cache: Path | None) -> Iterator[Finding]:
    """Loads every network as a worker would, and times it. A site whose models are wrong was told of before.

    TensorRT engines that are built on the way stay in `engine_cache`, where a worker finds them.
    """
    try:
        models = Models(site, site.worker.threads or cores, engine_cache)
        detectors = {
            (camera.detector and camera.detector.model) or site.detector.model: models.detector(camera)
            for camera in site.cameras
        }
    except ModelError as problem:
        yield error(AREA, str(problem))
        return
    embedder = models.embedder
    size = embedder.preprocessing
    yield ok(
        AREA,
        f"embedder {site.embedder.model.name}: crops of {size.width}×{size.height} to {embedder.dimension} values, "
        f"on {embedder.device} ({embedder.runtime})",
    )
    blank = np.zeros(_FRAME, np.uint8)
    slowest_ms = 0.0
    for path, detector in detectors.items():
        taken_ms = _median_ms(functools.partial(detector.detect, [blank], [Thresholds()]))
        slowest_ms = max(slowest_ms, taken_ms)
        width, height = detector.input_size
        yield ok(
            AREA,
            f"detector {path.name}: pictures of {width}×{height}, {len(detector.class_names)} classes, on "
            f"{detector.device} ({detector.runtime}), {taken_ms:.1f} ms each",
        )
    yield from _rate(site, slowest_ms)


def _rate(site: SiteConfig, taken_ms: float) -> Iterator[Finding]:
    cameras = sum(not camera.paused for camera in site.cameras)
    wanted, possible = cameras * site.clock.target_fps, 1000 / taken_ms
    said = f"detection alone manages {possible:.0f} pictures/s here; {cameras} cameras at "
    said += f"{site.clock.target_fps:g} ticks/s ask for {wanted:.0f}"
    if site.clock.mode == "live" and wanted > possible:
        yield warning(AREA, said, "lower clock.target_fps, take a smaller model, or add workers on other hosts")
    else:
        yield ok(AREA, said)


def _median_ms(run: Callable[[], object]) -> float:
    run()
    taken = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        run()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)
