"""A small site in a real Redis and the parts of a camera worker around it, for tests that step them one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from services.camera_worker.camera import Camera
from services.camera_worker.claims import Claims
from services.camera_worker.handover import Handover
from services.camera_worker.loop import TickLoop
from services.camera_worker.metrics import CameraWorkerMetrics
from services.camera_worker.perception import Perception
from services.camera_worker.picture_publisher import PicturePublisher
from services.camera_worker.roster import Roster
from services.camera_worker.worker import CameraWorker
from services.clock.service import Clock
from shared.camera_config import CameraConfig
from shared.config import SiteConfig
from shared.keys import Keys
from shared.leases import Lease, Leases
from shared.messages import TrackEntry
from shared.monitoring.monitor import Monitor
from shared.process import Connected, ServiceOptions
from shared.redis_connection import Client
from shared.site import publish_site, read_site
from shared.site_time import SiteTime
from tests.small_site import small_site
from vision.inference.models import Models
from vision.inference.selection import Thresholds
from vision.tracking.settings import TrackerSettings
from vision.video.source import Frame, SourceState
from vision.video.timing import Timing


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class StillSource:
    """A live source with grey pictures; a test decides when it answers, fails or ends."""

    def __init__(self, close_seconds: float = 0.0) -> None:
        self.state, self.error, self.dropped, self.length = SourceState.LIVE, None, 0, None
        self.fault: Any = None
        self.moved: str | None = None
        self.answered = threading.Event()
        self.answered.set()
        self.closed = threading.Event()
        self._close_seconds = close_seconds
        self.failures = self.restarts = 0
        self._index = 0

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None:
        if self.state is not SourceState.LIVE:
            return None
        self._index += 1
        return Frame(np.full((48, 64, 3), 128, np.uint8), time.time_ns(), self._index, 0)

    def close(self) -> None:
        time.sleep(self._close_seconds)
        self.closed.set()


class WorkerSite:
    """A published site of small files, and the parts that a worker needs to own its cameras."""

    def __init__(self, client: Client, folder: Path, cameras: str, **sections: Any) -> None:
        content = small_site(folder, cameras)
        content |= {"worker": {"lease_seconds": 1.5}, "clock": {"target_fps": 20, "stall_seconds": 5}} | sections
        for network in ("detector", "embedder"):
            content[network] = content[network] | {"model": str(folder / content[network]["model"])}
        for camera in content["cameras"]:
            camera["source"] = str(folder / camera["source"])
        self.client, self.config = client, SiteConfig.model_validate(content)
        publish_site(client, self.config)
        site = read_site(client, self.config.site)
        assert site is not None
        self.site, self.keys = site, Keys(self.config.site)
        self.models = Models(self.config, 1)
        self.handover = Handover()
        self.site_time = SiteTime(client, 1e9 / self.config.clock.target_fps)
        self.registry = CollectorRegistry()
        self.metrics = CameraWorkerMetrics(self.registry)

    def config_of(self, name: str) -> CameraConfig:
        return next(camera for camera in self.config.cameras if camera.name == name)

    def loop(self) -> TickLoop:
        pictures = PicturePublisher(self.client, self.keys, self.config.streamer)
        perception = Perception(self.models, self.config.clock.target_fps, virtual=False)
        return TickLoop(self.client, self.config, perception, pictures, self.handover, self.metrics, self.site_time)

    def roster(self) -> Roster:
        claims = Claims(
            self.client,
            self.keys,
            labels=frozenset(),
            capacity=64,
            ttl_seconds=self.config.worker.lease_seconds,
            rebalance=True,
        )
        return Roster(self.client, self.site, self.models, claims, self.site_time, self.handover, self.metrics)

    def lease(self, name: str) -> Lease:
        lease = Leases(self.client, self.keys).acquire(f"camera:{name}", self.config.worker.lease_seconds)
        assert lease is not None
        return lease

    def camera(self, name: str, source: StillSource, lease: Lease | None = None) -> Camera:
        """A claimed camera that is ready for the loop."""
        return Camera(
            self.config_of(name),
            lease or self.lease(name),
            source,
            self.models.detector(self.config_of(name)),
            Thresholds(),
            TrackerSettings.of(self.config),
            mask=None,
            refresh_seconds=0.5,
            timing=Timing(0, 0, 1.0),
        )

    def entries(self, name: str) -> list[TrackEntry]:
        return [TrackEntry.decode(fields) for _, fields in self.client.xrange(self.keys.tracks(name))]

    def state(self, name: str) -> dict[str, str]:
        return {key.decode(): value.decode() for key, value in self.client.hgetall(self.keys.camera(name)).items()}

    def owned(self, name: str) -> bool:
        return bool(self.client.exists(self.keys.lease(f"camera:{name}")))

    def epoch(self, name: str) -> int:
        return int(self.client.hget(self.keys.epochs, f"camera:{name}") or 0)

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Runs a clock on its own thread."""
        clock, stop = Clock(self.client, self.site), threading.Event()

        def run() -> None:
            while not stop.is_set():
                clock.step()
            clock.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def running(site: WorkerSite, monitor: Monitor | None = None) -> Iterator[CameraWorker]:
    """Runs a worker on its own thread, and a clock."""
    connected = Connected(site.client, site.client, site.site, monitor or Monitor())
    worker = CameraWorker(connected, ServiceOptions(site.config.site, ""))
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            worker.step()
        worker.close()

    thread = threading.Thread(target=run)
    with site.ticking():
        thread.start()
        try:
            yield worker
        finally:
            stop.set()
            thread.join()
