"""The figures of a camera worker."""

from __future__ import annotations

import threading
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PictureLoss = Literal["replaced", "encoding", "redis"]
"""Why a picture was not published: a newer one came first, OpenCV could not encode it, or Redis did not take it."""
_TICK_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)


class CameraWorkerMetrics:
    """What one camera worker did; safe to use from any thread. Labels are names of cameras and of threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"mtmc_camera_worker_{name}", what, labels, registry=registry)

        self._cameras = Gauge("mtmc_camera_worker_cameras", "Cameras that this worker owns", registry=registry)
        self._cameras_lost = counter("cameras_lost", "Cameras that another worker took over, or that were removed")
        self._ticks = counter("ticks_handled", "Ticks handled, with or without a picture", "camera")
        self._skipped = counter("skipped_ticks", "Ticks that this worker's cameras skipped to keep up with the clock")
        self.tick_seconds = Histogram(
            "mtmc_camera_worker_tick_seconds",
            "Duration of a tick, from its pictures to the answer of Redis",
            buckets=_TICK_BUCKETS_S,
            registry=registry,
        )
        self._source_dropped = counter(
            "source_frames_dropped", "Frames of a source that no tick used, because a newer one came", "camera"
        )
        self._pictures = counter("pictures_published", "Annotated pictures published", "camera")
        self._pictures_dropped = counter(
            "pictures_dropped",
            "Annotated pictures not published: a newer one came first (replaced), OpenCV could not encode it "
            "(encoding), or Redis did not take it (redis)",
            "camera",
            "reason",
        )
        self._restarts = counter("thread_restarts", "Restarts of a thread that an error ended", "thread")
        self._clock_offset = Gauge(
            "mtmc_camera_worker_clock_offset_seconds",
            "How far this host's time of day is ahead of Redis; site time does not depend on it",
            registry=registry,
        )
        self._lock = threading.Lock()
        self._dropped_upto: dict[str, int] = {}

    def owns(self, cameras: int) -> None:
        """How many cameras the worker has now."""
        self._cameras.set(cameras)

    def camera_lost(self) -> None:
        """The lease of a camera was lost."""
        self._cameras_lost.inc()

    def tick_handled(self, camera: str) -> None:
        """A tick of a camera is marked."""
        self._ticks.labels(camera).inc()

    def ticks_skipped(self, count: int) -> None:
        """So many ticks were skipped, all cameras together."""
        self._skipped.inc(count)

    def source_frames_dropped(self, camera: str, dropped: int) -> None:
        """A camera's source has dropped so many frames since it was opened; less than last time: it was reopened."""
        with self._lock:
            before = self._dropped_upto.get(camera, 0)
            self._dropped_upto[camera] = dropped
            self._source_dropped.labels(camera).inc(dropped - before if dropped >= before else dropped)

    def picture_published(self, camera: str) -> None:
        """A picture is in Redis."""
        self._pictures.labels(camera).inc()

    def picture_dropped(self, camera: str, reason: PictureLoss) -> None:
        """A picture will not be published."""
        self._pictures_dropped.labels(camera, reason).inc()

    def thread_restarted(self, thread: str) -> None:
        """An unexpected error ended a thread, and it was started again. The names must be few."""
        self._restarts.labels(thread).inc()

    def clock_offset(self, milliseconds: int) -> None:
        """As `SiteTime.clock_offset_ms` measures it."""
        self._clock_offset.set(milliseconds / 1000)
