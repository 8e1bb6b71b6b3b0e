"""Checks the models of a site: whether they load, where they run, and whether they are fast enough."""

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
from vision.inference.detector_heads.class_names import unknown_names
from vision.inference.models import Models
from vision.inference.selection import Thresholds

AREA = "models"
_RUNS = 5
_FRAME = (720, 1280, 3)


def examine_models(
    site: SiteConfig, cores: int, engine_cache: Path | None, loaded: Callable[[Models], None] | None = None
) -> Iterator[Finding]:
    """Loads every model as a worker would, and measures the detectors; hands the models to `loaded` if all work.

    TensorRT engines that are built for this stay in `engine_cache`, where workers reuse them.
    """
    try:
        models = Models(site, site.worker.threads or cores, engine_cache)
        detectors = {site.detector_of(camera): models.detector(camera) for camera in site.cameras or (None,)}
    except ModelError as problem:
        yield error(AREA, str(problem))
        return
    if loaded is not None:
        loaded(models)
    if (trouble := models.gpu_trouble) is not None:
        yield warning(
            AREA,
            f"networks run on the CPU although there is an NVIDIA GPU: {trouble.reason}",
            f"{trouble.advice}; or set detector.backend and embedder.backend to cpu",
        )
    embedder = models.embedder
    size = embedder.preprocessing
    yield ok(
        AREA,
        f"embedder {site.embedder.model.name}: input {size.width}×{size.height}, {embedder.dimension} dimensions, on "
        f"{embedder.device} ({embedder.runtime})",
    )
    blank = np.zeros(_FRAME, np.uint8)
    slowest_ms = 0.0
    for file, detector in detectors.items():
        taken_ms = _median_ms(functools.partial(detector.detect, [blank], [Thresholds()]))
        slowest_ms = max(slowest_ms, taken_ms)
        width, height = detector.input_size
        classes = len(detector.class_names)
        counted = f"{classes} {'class' if classes == 1 else 'classes'}"
        if detector.class_names == unknown_names():
            counted = "classes without names"
        yield ok(
            AREA,
            f"detector {file.model.name}: head {detector.head}, input {width}×{height}, {counted}, on "
            f"{detector.device} ({detector.runtime}), {taken_ms:.1f} ms per picture",
        )
        if detector.objection is not None:
            yield warning(
                AREA,
                f"detector {file.model.name}: detector.head is {detector.head}, but {detector.objection}",
                f"leave out detector.head; or look at what it finds: mtmc models try {file.model} PICTURE -o found.jpg "
                f"--head {detector.head}. If that is right, leave it",
            )
    yield from _rate(site, slowest_ms)


def _rate(site: SiteConfig, taken_ms: float) -> Iterator[Finding]:
    cameras = sum(not camera.paused for camera in site.cameras)
    wanted, possible = cameras * site.clock.target_fps, 1000 / taken_ms
    found = f"detection alone runs at {possible:.0f} pictures/s on this machine; "
    found += f"{cameras} {'camera' if cameras == 1 else 'cameras'} at "
    found += f"{site.clock.target_fps:g} ticks/s {'needs' if cameras == 1 else 'need'} {wanted:.0f}"
    if site.clock.mode == "live" and wanted > possible:
        yield warning(AREA, found, "lower clock.target_fps, use a smaller model, or add workers on other hosts")
    else:
        yield ok(AREA, found)


def _median_ms(run: Callable[[], object]) -> float:
    run()
    taken = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        run()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)
