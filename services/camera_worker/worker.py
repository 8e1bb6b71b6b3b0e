"""The camera worker: assembles its parts; the loop runs in the main thread, the roster on its own thread."""

from __future__ import annotations

import threading
import time

import structlog

from services.camera_worker.claims import Claims
from services.camera_worker.crop_publisher import CropPublisher
from services.camera_worker.gpu_lease import GpuChoice
from services.camera_worker.handover import Handover
from services.camera_worker.loop import TickLoop
from services.camera_worker.metrics import CameraWorkerMetrics, DeviceCollector, WorkerCollector
from services.camera_worker.names import Names
from services.camera_worker.perception import Perception
from services.camera_worker.picture_publisher import PicturePublisher
from services.camera_worker.questions import WorkerAnswers
from services.camera_worker.roster import Roster
from shared.backoff import Backoff
from shared.config import SiteConfig
from shared.errands import Errands
from shared.errors import ModelError
from shared.process import Connected, ServiceOptions
from shared.redis_connection import RETRYABLE
from shared.site_time import SiteTime
from vision.inference.models import Models

_log = structlog.get_logger()
_STEP_EVERY_S = 0.05
_STOP_WAIT_S = 0.7
_ROSTER_LIMIT_S = 10.0
"""A step of the roster takes milliseconds, or up to the socket timeout of 5 s if it waits for Redis."""


class CameraWorker:
    """Owns cameras by lease and handles their ticks."""

    def __init__(self, connected: Connected, options: ServiceOptions, gpu: GpuChoice | None = None) -> None:
        """Takes a GPU and loads the site's models. `gpu`: the choice of this process; None: it has made none yet.

        Raises:
            ModelError: one of them cannot be used.
            RedisError: Redis is unreachable.
        """
        site = connected.site
        self._gpu = (gpu or GpuChoice()).lease(connected.client, site.keys, site.config)
        try:
            self._assemble(connected, options)
        except BaseException:
            self._give_gpu_free()
            raise

    def _assemble(self, connected: Connected, options: ServiceOptions) -> None:
        client, site = connected.client, connected.site
        config = site.config
        virtual = config.clock.mode == "virtual"
        models = _load_models(config, options)
        if models.device == "cpu":
            self._give_gpu_free()
        claims = Claims(
            client,
            site.keys,
            labels=frozenset(options.worker_labels or config.worker.labels),
            capacity=options.worker_capacity or config.worker.capacity,
            ttl_seconds=config.worker.lease_seconds,
            rebalance=not virtual,
        )
        handover = Handover()
        self._pictures = PicturePublisher(
            connected.frames, site.keys, config.streamer, names=Names(connected.client, site.keys)
        )
        retention_seconds = config.association.retention_seconds
        self.crops = CropPublisher(connected.frames, site.keys, retention_seconds) if config.worker.crops else None
        """None: `worker.crops` is false."""
        self._metrics = CameraWorkerMetrics(connected.monitor.registry)
        perception = Perception(models, config.clock.target_fps, virtual=virtual, timed=self._metrics.timed)
        site_time = SiteTime(client, 1e9 / config.clock.target_fps)
        errands = Errands()
        self.loop = TickLoop(
            client, config, perception, self._pictures, handover, self._metrics, site_time, self.crops, errands
        )
        self._answers = WorkerAnswers(connected.frames, site, claims.worker, models.embedder, errands)
        self.roster = Roster(client, site, models, claims, site_time, handover, self._metrics, self.gpu)
        connected.monitor.registry.register(
            WorkerCollector(self._pictures, self.crops, self.roster.sources, lambda: self.loop.malformed_gids)
        )
        connected.monitor.registry.register(DeviceCollector(models, self.gpu))
        self._stop = threading.Event()
        self._roster_stepped_at_s = time.monotonic()
        self._roster_problem = ""
        self._roster_backoff = Backoff(_STEP_EVERY_S, max(2 * _STEP_EVERY_S, config.worker.lease_seconds / 4))
        """Its longest wait is well below the lease time of the cameras that the roster holds."""
        self._thread = threading.Thread(target=self._run_roster, name="roster", daemon=True)

    def step(self) -> None:
        """Handles the next tick, or waits briefly for it; the first call starts the roster.

        Raises:
            RedisError: Redis is unreachable; the next call continues.
            Exception: the pictures of every camera have failed for a while; a new process may work.
        """
        if self._thread.ident is None:
            self._thread.start()
            self._answers.start()
        self.loop.step()

    def problem(self) -> str | None:
        """Why cameras are neither claimed nor released; None while the roster works.

        The models are loaded by then, and a camera that is down does not make the worker unready.
        """
        if time.monotonic() - self._roster_stepped_at_s <= _ROSTER_LIMIT_S:
            return None
        why = f" ({self._roster_problem})" if self._roster_problem else ""
        return f"its roster has finished no step for {_ROSTER_LIMIT_S:.0f} s{why}; no camera is claimed or released"

    def close(self) -> None:
        """Releases all cameras, so that other workers need not wait for the leases to expire.

        Raises:
            RedisError: Redis is unreachable; the leases will expire.
        """
        self._stop.set()
        self._answers.close()
        try:
            if self._thread.ident is not None:
                self._thread.join(_STOP_WAIT_S)
            if self._thread.is_alive():
                _log.warning("the roster hangs while stopping; the leases of its cameras will expire")
            else:
                self.roster.close()
        finally:
            self._pictures.close()
            if self.crops is not None:
                self.crops.close()
            self._give_gpu_free()

    @property
    def gpu(self) -> str:
        """UUID and name of its GPU; empty if it uses none."""
        return f"{self._gpu.gpu.uuid} {self._gpu.gpu.name}" if self._gpu is not None else ""

    def _give_gpu_free(self) -> None:
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None

    def _run_roster(self) -> None:
        backoff = self._roster_backoff
        self._roster_stepped_at_s = time.monotonic()
        while not self._stop.is_set():
            try:
                self.roster.step(
                    {
                        "skipped": self.loop.skipped,
                        "pictures_dropped": sum(self._pictures.dropped.values()),
                        "highest_gid": self.loop.highest_gid,
                    }
                )
                self._roster_stepped_at_s, self._roster_problem = time.monotonic(), ""
                backoff.reset()
                wait_s = _STEP_EVERY_S
            except RETRYABLE as error:
                wait_s = backoff.next_s()  # The loop logs the error and its end.
                self._roster_problem = f"Redis: {error}"
            except Exception as error:  # noqa: BLE001 (the top of the thread that claims and releases all cameras)
                wait_s = backoff.next_s()
                self._metrics.roster_restarts.inc()
                self._roster_problem = f"an unexpected {type(error).__name__}; see the worker's log"
                _log.exception("the roster failed, retrying", retry_in_s=round(wait_s, 1))
            self._stop.wait(wait_s)


def _load_models(config: SiteConfig, options: ServiceOptions) -> Models:
    """Loads the embedder and every detector of the site.

    Raises:
        ModelError: one cannot be used. In live mode, the bad model of a single camera is not fatal: only that camera
            fails, when it is claimed. In virtual mode it is fatal, because the clock would wait forever for the camera.
    """
    models = Models(config, options.worker_threads, options.engine_cache)
    if not config.cameras:
        models.detector(None)  # for cameras that are added
    for camera in config.cameras:
        try:
            models.thresholds(camera)
        except ModelError:
            if camera.detector is None or config.clock.mode == "virtual":
                raise
    return models
