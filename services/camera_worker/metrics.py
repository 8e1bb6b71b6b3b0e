"""The metrics of a camera worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.camera_worker.crop_publisher import CropPublisher
from services.camera_worker.picture_publisher import PicturePublisher
from vision.inference.models import Models
from vision.video.source import Source

_STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
STAGES = ("pictures", "detect", "track", "embed", "encode", "send")
"""Of a tick, in this order."""
_TICK_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)


class CameraWorkerMetrics:
    """Counts what one camera worker did; safe to use from any thread. Labels are cameras, threads and reasons."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"mtmc_camera_worker_{name}", what, labels, registry=registry)

        self.cameras = Gauge("mtmc_camera_worker_cameras", "Cameras that this worker owns", registry=registry)
        self.cameras_lost = counter("cameras_lost", "Cameras that another worker took over, or that were removed")
        self.ticks_handled = counter("ticks_handled", "Ticks handled, with or without a picture", "camera")
        self.skipped_ticks = counter(
            "skipped_ticks", "Ticks that this worker's cameras skipped to keep up with the clock"
        )
        self.tick_seconds = Histogram(
            "mtmc_camera_worker_tick_seconds",
            "Duration of a tick, from its pictures to the reply of Redis",
            buckets=_TICK_BUCKETS_S,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "mtmc_camera_worker_stage_seconds",
            "Duration of a stage of a tick, for all cameras of the worker together",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        self.roster_restarts = counter("roster_restarts", "Unexpected errors of the roster, each of which was retried")
        self.clock_offset_seconds = Gauge(
            "mtmc_camera_worker_clock_offset_seconds",
            "How far this host's time of day is ahead of Redis; site time does not depend on it",
            registry=registry,
        )

    def timed(self, stage: str) -> AbstractContextManager[object]:
        """Measures a stage, one of `STAGES`."""
        return self.stage_seconds.labels(stage).time()

    def forget(self, camera: str) -> None:
        """Drops the series of a camera that this worker no longer handles."""
        with contextlib.suppress(KeyError):  # if it never handled a tick
            self.ticks_handled.remove(camera)


class WorkerCollector:
    """Exports the counters that the publishers and the sources keep themselves, at each scrape."""

    def __init__(
        self,
        pictures: PicturePublisher,
        crops: CropPublisher | None,
        sources: Callable[[], Mapping[str, Source]],
        malformed_gids: Callable[[], int],
    ) -> None:
        """`crops`: None if crops are switched off. `sources` returns the open sources by camera; a source that is
        opened again counts from 0.
        """
        self._pictures, self._crops, self._sources, self._malformed_gids = pictures, crops, sources, malformed_gids

    def collect(self) -> Iterator[Metric]:
        """The present values, for `CollectorRegistry`."""

        def family(name: str, what: str, *labels: str) -> CounterMetricFamily:
            return CounterMetricFamily(f"mtmc_camera_worker_{name}", what, labels=labels)

        published = family("pictures_published", "Annotated pictures published")
        published.add_metric([], self._pictures.published)
        dropped = family(
            "pictures_dropped",
            "Annotated pictures not published: replaced by a newer one (replaced), OpenCV could not encode it "
            "(encoding), Redis unreachable or refusing (redis), or an unexpected error (error)",
            "reason",
        )
        for reason, count in self._pictures.dropped.items():
            dropped.add_metric([reason.value], count)
        restarts = family("picture_restarts", "Unexpected errors while pictures were published; each is retried")
        restarts.add_metric([], self._pictures.restarts)
        malformed = family("malformed_gids", "Entries of the global-ID map skipped because they are not numbers")
        malformed.add_metric([], self._malformed_gids())
        yield from (published, dropped, restarts, malformed)
        if self._crops is not None:
            crops = family("crops_published", "Crops of tracks published")
            crops.add_metric([], self._crops.published)
            crops_dropped = family(
                "crops_dropped",
                "Crops of tracks not published: replaced by newer ones (replaced), too small or not encodable "
                "(encoding), Redis unreachable or refusing (redis), or an unexpected error (error)",
                "reason",
            )
            for crop_reason, count in self._crops.dropped.items():
                crops_dropped.add_metric([crop_reason.value], count)
            yield from (crops, crops_dropped)
        frames = family("source_frames_dropped", "Frames of a source that no tick used", "camera")
        failures = family("source_failures", "Times that a source failed and was opened again", "camera")
        source_restarts = family("source_restarts", "Failures of a source that were unexpected errors", "camera")
        for camera, source in sorted(self._sources().items()):
            frames.add_metric([camera], source.dropped)
            failures.add_metric([camera], source.failures)
            source_restarts.add_metric([camera], source.restarts)
        yield from (frames, failures, source_restarts)


class DeviceCollector:
    """Exports where the networks of this worker run, at each scrape: a camera may load another one."""

    def __init__(self, models: Models, gpu: str) -> None:
        """`gpu`: UUID and name of the GPU of this worker; empty: none."""
        self._models, self._gpu = models, gpu

    def collect(self) -> Iterator[Metric]:
        """The present values, for `CollectorRegistry`."""
        family = GaugeMetricFamily(
            "mtmc_worker_device",
            "Always 1; labels: where the networks run, and why not on a GPU that is present",
            labels=("network", "device", "backend", "gpu", "gpu_problem"),
        )
        found = {
            (network, device, backend, self._gpu if device != "cpu" else "", trouble.reason if trouble else "")
            for network, device, backend, trouble in self._models.placements
        }
        for labels in sorted(found):
            family.add_metric(labels, 1)
        yield family
