"""The loop of a camera worker: runs the models on a tick of all its cameras and sends the results, nothing else."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import structlog

from services.camera_worker.camera import Camera
from services.camera_worker.crop_pace import CropPace
from services.camera_worker.crop_publisher import CropPublisher, Crops
from services.camera_worker.handover import Handover, Outcome, ReleaseWhen
from services.camera_worker.metrics import CameraWorkerMetrics
from services.camera_worker.perception import Perception, Seen
from services.camera_worker.picture_pace import PicturePace
from services.camera_worker.picture_publisher import Drawing, PicturePublisher
from shared.config import SiteConfig
from shared.errands import Errands
from shared.errors import LeaseLost
from shared.gate import NEWER, CompletedCamera, Gate, Progress
from shared.keys import Keys
from shared.redis_connection import Client
from shared.site_time import SiteTime
from shared.stream_cap import StreamCap

_log = structlog.get_logger()
_WAIT_S = 0.25
_IDLE_S = 0.05
_ERRAND_S = 0.5
"""An errand that has waited for this long is done although the worker cannot keep up with the clock."""


class TickLoop:
    """Handles the ticks of the cameras that it got from the roster, and renews their leases."""

    def __init__(
        self,
        client: Client,
        site: SiteConfig,
        perception: Perception,
        pictures: PicturePublisher,
        handover: Handover,
        metrics: CameraWorkerMetrics,
        site_time: SiteTime,
        crops: CropPublisher | None = None,
        errands: Errands | None = None,
    ) -> None:
        """`crops`: None publishes no crops of tracks. `errands`: what other threads need of the models."""
        self._errands = errands or Errands()
        self._crops, self._crop_pace = crops, CropPace()
        self._site_time = site_time
        self._client, self._site, self._keys = client, site, Keys(site.site)
        self._virtual = site.clock.mode == "virtual"
        self._gate = Gate(client, self._keys, site.clock)
        self._perception, self._pictures, self._handover = perception, pictures, handover
        self._metrics = metrics
        self.cameras: dict[str, Camera] = {}
        """Name → camera that the loop handles. Changed only by the loop's thread."""
        self._arriving: list[Camera] = []
        self._unsent: tuple[int, list[Seen]] | None = None
        self._progress = Progress(tick=0, gate=0, ticks_cursor="0-0", time_ns=0, assignments_cursor=NEWER)
        self._pace = PicturePace()
        self._caps: dict[str, StreamCap] = {}
        self.skipped = 0
        """Ticks that the cameras skipped to keep up with the clock."""
        self.highest_gid = 0
        """Of the site, as far as known here: if Redis loses everything, the next gid must be above it."""

    def step(self) -> None:
        """Handles the next tick, or waits briefly for it.

        Raises:
            RedisError: Redis is unreachable; nothing is lost, and the next call sends the unsent tick again.
            Exception: the pictures of every camera have failed for a while; a new process may work.
        """
        self._renew_leases()
        if self._unsent is not None:
            self._send(*self._unsent)
        self._exchange_cameras()
        if not self.cameras:
            self._errands.do_one()
            return
        tick = min(self._progress.tick, self._progress.gate)
        todo = [camera for camera in self.cameras.values() if camera.handled < tick]
        if not todo:
            if not self._errands.do_one():
                self._wait_for_tick()
            return
        self._errands.do_one(_ERRAND_S)
        with self._metrics.tick_seconds.time():
            self._unsent = (tick, self._perception.perceive(todo, self._tick_time_ns(tick)))
            self._send(*self._unsent)

    @property
    def malformed_gids(self) -> int:
        """Number of entries of the global-ID map that were skipped because they are not numbers."""
        return self._gate.malformed_gids

    # -- cameras from and to the roster -------------------------------------------------------------------

    def _exchange_cameras(self) -> None:
        # Requests are read before arrivals: a camera is given before it is requested back, so it has arrived by then.
        requests = self._handover.release_requests()
        self._arriving += self._handover.arrivals(0.0 if self.cameras or self._arriving or requests else _IDLE_S)
        for camera, when in requests:
            self._release(camera, when)
        self._join_arrivals()

    def _join_arrivals(self) -> None:
        """Makes the cameras that came from the roster take part in the clock."""
        while self._arriving:
            camera = self._arriving[0]
            try:
                _, _, camera.handled = self._gate.join(camera.name, camera.lease)
            except LeaseLost:
                self._arriving.pop(0)
                self._handover.give_back(camera, Outcome.LEASE_LOST)
                continue
            self._follow(self._gate.complete_tick(0, [], self._progress.assignments_cursor))
            # Read after the cursor was set: later changes are in `assignments` after the cursor.
            for track_id, gid in self._gate.gids(camera.name).items():
                self.highest_gid = max(self.highest_gid, gid)
                camera.change_gid(track_id, gid)
            self.cameras[camera.name] = self._arriving.pop(0)

    def _release(self, camera: Camera, when: ReleaseWhen) -> None:
        if camera in self._arriving:
            self._arriving.remove(camera)
            self._handover.give_back(camera, Outcome.RELEASED)
        elif self.cameras.get(camera.name) is not camera:
            return  # It was given back meanwhile, and the roster knows why.
        elif when is ReleaseWhen.AFTER_NEXT_TICK:
            camera.leaving = True
        else:
            self._give_back(camera, Outcome.RELEASED)

    def _give_back(self, camera: Camera, outcome: Outcome) -> None:
        del self.cameras[camera.name]
        self._caps.pop(camera.name, None)
        self._pace.forget(camera.name)
        self._crop_pace.forget(camera.name)
        if self._crops is not None:
            self._crops.forget(camera.name)
        self._metrics.forget(camera.name)
        self._handover.give_back(camera, outcome)

    def _renew_leases(self) -> None:
        for camera in list(self.cameras.values()):
            try:
                camera.lease.renew_if_due()
            except LeaseLost:
                self._give_back(camera, Outcome.LEASE_LOST)

    # -- ticks -------------------------------------------------------------------------------------------

    def _wait_for_tick(self) -> None:
        newer = self._gate.wait(self._progress.ticks_cursor, _WAIT_S)
        if newer is None:
            # `clock:ticks` may have begun anew, with ids below the cursor.
            self._follow(self._gate.complete_tick(0, [], self._progress.assignments_cursor))
            return
        self._follow(
            replace(
                self._progress, tick=newer.tick, gate=newer.gate, ticks_cursor=newer.entry_id, time_ns=newer.time_ns
            )
        )

    def _follow(self, progress: Progress) -> None:
        self._progress = progress
        if progress.time_ns:
            self._site_time.note_tick(progress.tick, progress.time_ns)
        for camera in self.cameras.values():
            camera.handled = min(camera.handled, progress.tick)  # The clock counts anew if Redis lost everything.

    def _tick_time_ns(self, tick: int) -> int:
        """Steady site time at which a tick begins."""
        began_ns = self._progress.time_ns + round((tick - self._progress.tick) * 1e9 / self._site.clock.target_fps)
        return self._site_time.steady_ns(began_ns)

    def _send(self, tick: int, seen: list[Seen]) -> None:
        """Sends the results of a tick. If the connection is lost, they stay unsent and `step` sends them again.

        Only the script can fail: the code after it works in memory.
        """
        seen = [item for item in seen if self.cameras.get(item.camera.name) is item.camera]
        with self._metrics.timed("send"):
            completed = [self._completed(item) for item in seen]
            self._follow(self._gate.complete_tick(tick, completed, self._progress.assignments_cursor))
        self._unsent = None
        self.skipped += self._progress.skipped
        self._metrics.skipped_ticks.inc(self._progress.skipped)
        for camera_name, track_id, gid in self._progress.gids:
            self.highest_gid = max(self.highest_gid, gid)
            if camera_name in self.cameras:
                self.cameras[camera_name].change_gid(track_id, gid)
        for item in seen:
            camera = item.camera
            if camera.name in self._progress.lost:
                self._give_back(camera, Outcome.LEASE_LOST)
                continue
            camera.handled = tick if self._virtual else max(tick, self._progress.tick - 1)
            camera.count_handled()
            self._metrics.ticks_handled.labels(camera.name).inc()
            self._show(tick, item)
            self._crop(tick, item)
            if camera.leaving:
                self._give_back(camera, Outcome.RELEASED)
            elif camera.ended:
                _log.info("the file has ended", camera=camera.name, tick=tick)
                self._give_back(camera, Outcome.ENDED)

    def _completed(self, item: Seen) -> CompletedCamera:
        camera = item.camera
        cap = self._caps.setdefault(camera.name, StreamCap(self._site))
        longest = cap.entries(len(item.payload))
        time_ns = item.time_ns + self._site_time.shift_ns
        return CompletedCamera(camera.name, camera.lease, time_ns, len(item.batch), item.payload, longest)

    def _show(self, tick: int, item: Seen) -> None:
        name = item.camera.name
        watched = name in self._progress.watched
        if item.frame is None or not self._pace.due(name, time.monotonic(), watched=watched):
            return
        tracked = item.observed.tracked if item.observed is not None else None
        self._pictures.offer(
            Drawing(
                name,
                tick,
                item.time_ns + self._site_time.shift_ns,
                item.camera.config.title,
                item.frame.image,
                tracked.boxes_xyxy if tracked is not None else np.zeros((0, 4), np.float32),
                tracked.track_ids if tracked is not None else np.zeros(0, np.int64),
                dict(item.camera.gids),
                tracked.class_ids if tracked is not None else np.zeros(0, np.int16),
                item.camera.detector.class_names,
            )
        )

    def _crop(self, tick: int, item: Seen) -> None:
        name = item.camera.name
        self._crop_pace.forget(name, item.batch.ended.tolist())
        if self._crops is None or item.frame is None or item.observed is None:
            return
        track_ids, qualities = item.observed.tracked.track_ids.tolist(), item.observed.qualities.tolist()
        rows = self._crop_pace.due(name, time.monotonic(), track_ids, qualities)
        if rows:
            self._crops.offer(
                Crops(
                    name,
                    tick,
                    item.time_ns + self._site_time.shift_ns,
                    item.frame.image,
                    [track_ids[row] for row in rows],
                    item.observed.tracked.boxes_xyxy[rows],
                    [qualities[row] for row in rows],
                )
            )
