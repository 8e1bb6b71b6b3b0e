"""A site of real services on threads of one process, so that an error of one of them fails the test."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.aggregator.service import Aggregator
from services.camera_worker import preparation
from services.camera_worker.worker import CameraWorker
from services.clock.service import Clock
from shared.config import SiteConfig
from shared.key_repair import KeyRepair
from shared.keys import Keys
from shared.lenient_values import whole
from shared.monitoring.monitor import Monitor
from shared.presence import Presence
from shared.process import Connected, ServiceOptions
from shared.redis_connection import Client, connect
from shared.service import run
from shared.site import publish_site, read_site
from shared.site_state.reading import StateReader
from tests.integration.streamer_site import Serving, patient_streamer
from tests.integration.worker_parts import StillSource
from tests.small_site import small_site
from tests.unit.vision.model_files import write_constant_model

KEYS = Keys("hall")
CAMERAS = ("a", "b")
HEALTHY_S = 60.0


@contextmanager
def still_hall(client: Client, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningHall]:
    """A healthy hall whose cameras show one grey picture, until the end of the block."""
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: StillSource())
    running = RunningHall(client, url, folder)
    try:
        running.wait_until_healthy("the start")
        yield running
    finally:
        running.stop()


class RunningHall:
    """A clock, an aggregator, a camera worker and a streamer on threads of this process."""

    def __init__(
        self,
        client: Client,
        url: str,
        folder: Path,
        objects: Sequence[tuple[int, int, int, int]] = ((16, 16, 10, 20),),
        cameras: Sequence[str] = CAMERAS,
        moves: float = 0.0,
    ) -> None:
        """Starts the services, which connect to `url`; the test reads with `client`.

        `objects`: in every picture, centre, width and height in a picture of 32 by 32 pixels. `moves`: how many of its
        pixels further to the right each object is in a white picture than in a black one.
        """
        self.client, self.errors, self.cameras = client, list[str](), tuple(cameras)
        content = small_site(folder, "".join(cameras))
        objects_in_every_picture, brightness = np.zeros((5, 21), np.float32), np.zeros((5, 21), np.float32)
        for column, box in enumerate(objects, start=10):
            objects_in_every_picture[:, column] = [*box, 0.9]
            brightness[0, column] = moves
        names = {"names": "{0: 'person'}"}
        shape, path = ("batch", 3, 32, 32), folder / "detector.onnx"
        write_constant_model(path, objects_in_every_picture, shape, brightness=brightness, metadata=names)
        for network in ("detector", "embedder"):
            content[network]["model"] = str(folder / content[network]["model"])
        for camera in content["cameras"]:
            camera |= {"source": "rtsp://nowhere", "loop": False}
        content |= {"clock": {"target_fps": 20, "stall_seconds": 5}, "worker": {"lease_seconds": 2}}
        content |= {"association": {"min_track_frames": 1, "checkpoint_seconds": 1}}
        publish_site(client, SiteConfig.model_validate(content))
        self.monitors: dict[str, Monitor] = {}
        self._stop, self._threads, self._url = threading.Event(), list[threading.Thread](), url
        options = ServiceOptions("hall", url, host="127.0.0.1", port=0)
        self._start("clock", lambda connected: Clock(connected.client, connected.site, connected.monitor))
        self._start(
            "aggregator",
            lambda connected: Aggregator(connected.client, connected.site, connected.monitor, connected.frames),
        )
        self._start("camera-worker", lambda connected: CameraWorker(connected, options))
        streamer = self._start("streamer", lambda connected: patient_streamer(connected, options))
        self.pages = Serving(streamer, self._stop)
        site = read_site(client, "hall")
        assert site is not None
        self.reader_site = site
        self.reader = StateReader(client, client, site)

    def _start(self, role: str, make: Callable[[Connected], Any]) -> Any:
        own = connect(self._url)
        site = read_site(own, "hall")
        assert site is not None
        monitor = self.monitors[role] = Monitor(role, "hall")
        service = make(Connected(own, own, site, monitor))

        def serve() -> None:
            presence = Presence(own, KEYS, role, monitor.health, None, time.monotonic())
            try:
                run(service, self._stop, monitor=monitor, repair=KeyRepair(own, KEYS).look)
            except Exception:  # noqa: BLE001 (the test shows it)
                self.errors.append(f"{role}: {traceback.format_exc()}")
            finally:
                presence.close()
                own.close()

        self._threads.append(threading.Thread(target=serve, name=role))
        self._threads[-1].start()
        return service

    def ended_threads(self) -> list[str]:
        """The services that have ended."""
        return [thread.name for thread in self._threads if not thread.is_alive()]

    def stop(self) -> None:
        self.pages.close_viewers()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def progress(self) -> dict[str, int | None]:
        """Where each part of the site is; None: not readable."""
        found: dict[str, int | None] = {"tick": whole(self._read("get", KEYS.tick))}
        newest = self._read("xrevrange", KEYS.cycles, count=1)
        found["cycle"] = whole(newest[0][1].get(b"tick")) if newest else None
        for camera in self.cameras:
            entries = self._read("xrevrange", KEYS.tracks(camera), count=1)
            found[camera] = whole(entries[0][1].get(b"tick")) if entries else None
        return found

    def _read(self, command: str, *arguments: Any, **named: Any) -> Any:
        try:
            return getattr(self.client, command)(*arguments, **named)
        except Exception:  # noqa: BLE001 (it is damaged now)
            return None

    def all_tracks_have_gids(self) -> bool:
        """Whether the newest track of each camera has a gid, and the page and the API answer."""
        for camera in self.cameras:
            gids = self._read("hgetall", KEYS.gids(camera)) or {}
            if not any(whole(track) and whole(gid) for track, gid in gids.items()):
                return False
        return True

    def wait_until_healthy(self, what: str) -> None:
        """Waits until every part has moved on by a few ticks from now, without an error."""
        deadline = time.monotonic() + HEALTHY_S
        self.client.ping()
        first: dict[str, int | None] = {}
        while True:
            assert not self.errors, f"after {what}: {self.errors[0]}"
            assert time.monotonic() < deadline, f"after {what}: stuck at {self.progress()}, {self.reader.read()}"
            now = self.progress()
            if any(value is None or value >= 10**11 for value in now.values()):
                first = {}
            elif not first:
                first = now
            elif all((now[part] or 0) >= (first[part] or 0) + 3 for part in now) and self.all_tracks_have_gids():
                break
            time.sleep(0.02)
        status, _, body = self.pages.get("/api/v1/cameras")
        assert status == 200, f"after {what}: {body!r}"
        assert self.pages.get("/")[0] == 200
