"""The camera worker's loop: which cameras it has, and what it says of them at every tick."""

from __future__ import annotations

import json
import time

import numpy as np
import numpy.typing as npt
import structlog

from services.camera_worker.camera import Camera
from services.camera_worker.claims import Claims, Wanted
from services.camera_worker.metrics import CameraWorkerMetrics
from services.camera_worker.perception import Perception, Seen
from services.camera_worker.pictures import Drawing, PicturePublisher
from shared.config import CameraConfig
from shared.errors import LeaseLost, MaskError, ModelError
from shared.gate import CompletedCamera, Gate, Progress
from shared.leases import Lease
from shared.process import Connected, ServiceOptions
from shared.site_time import SiteTime
from vision.inference.models import Models
from vision.tracking.tracker import TrackerSettings
from vision.video.address import display_name, is_local, local_problem
from vision.video.mask import decode_mask
from vision.video.opening import open_source
from vision.video.timing import Timing

_log = structlog.get_logger()
_LOOK_AROUND_S = 0.4
_MEASURE_TIME_S = 30.0
_TELL_RATES_S = 2.0
_UNWATCHED_PICTURE_S = 1.0
"""A camera that nobody watches still shows a picture of this age at most."""
_WAIT_S = 0.25
_TRY_UNFIT_AGAIN_S = 30.0
_STREAM_BYTES = 64 * 1024 * 1024
"""Cap of one tracks:{camera}; reached only by crowds, since `replay_seconds` is the cap otherwise."""


class CameraWorker:
    """Holds leases of cameras and handles their ticks."""

    def __init__(self, connected: Connected, options: ServiceOptions) -> None:
        self._client, self._site = connected.client, connected.site
        self._keys, self._config = connected.site.keys, connected.site.config
        self._virtual = self._config.clock.mode == "virtual"
        self._metrics = CameraWorkerMetrics(connected.monitor.registry)
        self._models = Models(self._config, options.worker_threads)
        for camera in self._config.cameras:
            try:
                self._models.thresholds(camera)
            except ModelError:
                # What a camera sets apart is told of when it is claimed, and stops only that camera; but virtual time
                # would wait for it for ever.
                if camera.detector is None or self._virtual:
                    raise
        self._perception = Perception(self._models, self._config.clock.target_fps, virtual=self._virtual)
        self._claims = Claims(
            self._client,
            self._keys,
            labels=frozenset(options.worker_labels or self._config.worker.labels),
            capacity=options.worker_capacity or self._config.worker.capacity,
            ttl_seconds=self._config.worker.lease_seconds,
            rebalance=not self._virtual,
        )
        self._gate = Gate(self._client, self._keys, self._config.clock)
        self._site_time = SiteTime(self._client)
        self._pictures = PicturePublisher(
            connected.frames,
            self._keys,
            max_width=self._config.streamer.max_width,
            jpeg_quality=self._config.streamer.jpeg_quality,
        )
        self._tracker_settings = TrackerSettings.of(self._config)
        self._cameras: dict[str, Camera] = {}
        self._masks = connected.site.masks
        self._progress = Progress(tick=0, gate=0, ticks_cursor="0-0", time_ns=0, assignments_cursor="0-0")
        self._unsent: tuple[int, list[Seen]] | None = None
        self._look_at = self._measure_at = 0.0
        self._entry_bytes: dict[str, float] = {}
        self._told: dict[str, tuple[tuple[str, str], float]] = {}
        self._published_at: dict[str, float] = {}
        self._unfit: dict[str, tuple[CameraConfig, float]] = {}
        self._skipped = 0

    # -- the loop ----------------------------------------------------------------------------------------

    def step(self) -> None:
        """Handles the next tick, or waits a moment for it."""
        if self._unsent is not None:
            # Redis was gone while this tick was sent; it is sent again before anything else.
            self._drop(self._claims.renew({name: camera.lease for name, camera in self._cameras.items()}))
            self._send()
        self._look_around()
        ready = [camera for camera in self._cameras.values() if camera.joined]
        if not ready:
            time.sleep(0.05)
            return
        tick = self._startable()
        todo = [camera for camera in ready if camera.handled < tick]
        if not todo:
            newer = self._gate.wait(self._progress.ticks_cursor, _WAIT_S)
            if newer is not None:
                self._note_progress(newer.tick, newer.gate, newer.entry_id, newer.time_ns)
            return
        with self._metrics.tick_seconds.time():
            self._unsent = (tick, self._perception.perceive(todo, self._tick_time_ns(tick)))
            self._send()

    def problem(self) -> str | None:
        """None: its models are loaded, and a camera that is down is not the worker's problem."""
        return None

    def close(self) -> None:
        """Gives up all cameras, so that others need not wait for the leases to expire."""
        self._pictures.close()
        for camera in self._cameras.values():
            camera.source.close()
        for name in list(self._cameras):
            self._give_up(name, "released")
        self._claims.resign()

    def _startable(self) -> int:
        """The highest tick that may be started; in virtual mode that is the next one."""
        return min(self._progress.tick, self._progress.gate)

    def _note_progress(self, tick: int, gate: int, ticks_cursor: str, time_ns: int) -> None:
        before = self._progress
        self._progress = Progress(tick, gate, ticks_cursor, time_ns, before.assignments_cursor, watched=before.watched)

    # -- sending -------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Completes the tick in hand; on a lost connection it stays in hand."""
        assert self._unsent is not None
        tick, done = self._unsent
        done = [item for item in done if item.camera.name in self._cameras]
        completed = [
            CompletedCamera(
                item.camera.name, item.camera.lease, item.time_ns, len(item.batch), item.payload, self._longest(item)
            )
            for item in done
        ]
        self._progress = self._gate.complete_tick(tick, completed, self._progress.assignments_cursor)
        self._unsent = None
        self._skipped += self._progress.skipped
        self._metrics.ticks_skipped(self._progress.skipped)
        for camera_name, track_id, gid in self._progress.gids:
            if camera_name in self._cameras:
                self._cameras[camera_name].change_gid(track_id, gid)
        self._drop(sorted(self._progress.lost))
        for item in done:
            camera = item.camera
            if camera.name not in self._cameras:
                continue
            camera.handled = max(tick, self._progress.tick - 1) if not self._virtual else tick
            camera.count_handled()
            self._metrics.tick_handled(camera.name)
            self._show(tick, item)
            if camera.leaving:
                self._give_up(camera.name, "paused")
            elif camera.ended:
                self._gate.retire(camera.name, camera.lease, "ended")
                camera.joined, camera.over = False, True
                camera.source.close()
                _log.info("recording has ended", camera=camera.name, tick=tick)

    def _longest(self, item: Seen) -> int:
        """How many entries of a camera are kept: `replay_seconds`, under a cap in bytes."""
        name = item.camera.name
        mean = self._entry_bytes.get(name, 0.0)
        self._entry_bytes[name] = mean + 0.02 * (len(item.payload) - mean) if mean else float(len(item.payload))
        by_age = self._config.association.replay_seconds * self._config.clock.target_fps
        return max(10, round(min(by_age, _STREAM_BYTES / self._entry_bytes[name])))

    def _show(self, tick: int, item: Seen) -> None:
        name, now = item.camera.name, time.monotonic()
        due = now - self._published_at.get(name, -1e9) >= _UNWATCHED_PICTURE_S
        if item.frame is None or not (due or name in self._progress.watched):
            return
        self._published_at[name] = now
        seen = item.observed.tracked if item.observed is not None else None
        self._pictures.offer(
            Drawing(
                name,
                tick,
                item.time_ns,
                item.frame.image,
                seen.boxes_xyxy if seen is not None else np.zeros((0, 4), np.float32),
                seen.track_ids if seen is not None else np.zeros(0, np.int64),
                dict(item.camera.gids),
            )
        )

    # -- cameras come and go -------------------------------------------------------------------------------

    def _look_around(self) -> None:
        now = time.monotonic()
        if now >= self._measure_at:
            self._site_time.measure()
            self._measure_at = now + _MEASURE_TIME_S
        self._drop(self._claims.renew({name: camera.lease for name, camera in self._cameras.items()}))
        self._join_answered()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_AROUND_S
        self._claims.heartbeat(
            {
                "device": self._models.device,
                "backend": self._models.backend,
                "cameras": " ".join(sorted(self._cameras)),
                "fps": f"{sum(camera.rate() for camera in self._cameras.values()):.1f}",
                "skipped": self._skipped,
                "pictures_dropped": self._pictures.dropped,
                "clock_offset_ms": self._site_time.clock_offset_ms(),
            }
        )
        self._metrics.owns(len(self._cameras))
        self._metrics.clock_offset(self._site_time.clock_offset_ms())
        for name, camera in self._cameras.items():
            self._metrics.source_frames_dropped(name, camera.source.dropped)
        wanted = self._claims.look({name: camera.lease for name, camera in self._cameras.items()})
        self._follow(wanted)
        self._tell_all()

    def _follow(self, wanted: Wanted) -> None:
        for name in wanted.paused:
            if self._cameras[name].joined:
                self._cameras[name].leaving = True
            else:
                self._give_up(name, "paused")
        for name in wanted.releases:
            _log.info("giving a camera to another worker", camera=name)
            self._give_up(name, "released")
        changed = [
            name
            for name, camera in self._cameras.items()
            if name in wanted.cameras and wanted.cameras[name] != camera.config and not camera.leaving
        ]
        for name in changed:
            _log.info("camera has new settings", camera=name)
            self._give_up(name, "released")
        if wanted.claims:
            self._progress = self._gate.complete_tick(0, [], self._progress.assignments_cursor)
        # All are claimed before the first is opened, so that another worker finds none of them free meanwhile.
        claimed = [
            (config, lease)
            for config in wanted.claims.values()
            if not self._is_unfit(config) and (lease := self._claims.claim(config, self._least_epoch())) is not None
        ]
        for config, lease in claimed:
            problem = local_problem(config.source) if is_local(config.source) else None
            if problem and config.name in wanted.movable:
                self._refuse(config, lease, problem, wanted.refused[config.name])
            else:
                self._take(config, lease)

    def _refuse(self, config: CameraConfig, lease: Lease, problem: str, refused: frozenset[str]) -> None:
        """Leaves a file or device that is not on this host to a worker on another one."""
        names = " ".join(sorted(refused | {self._claims.worker}))
        _log.warning("source is not on this host; left to another worker", camera=config.name, reason=problem)
        self._claims.tell(config.name, lease, {"refused": names, "error": problem, "state": "released"})
        lease.release()

    def _take(self, config: CameraConfig, lease: Lease) -> None:
        try:
            detector, thresholds = self._models.detector(config), self._models.thresholds(config)
            encoded = self._encoded_mask(config)
            mask = None if encoded is None else decode_mask(encoded)
        except (ModelError, MaskError) as error:
            # A camera's own model, class or mask: only that camera suffers.
            reason = f"its mask {error}" if isinstance(error, MaskError) else str(error)
            self._claims.tell(config.name, lease, {"state": "down", "error": reason, "owner": self._claims.worker})
            _log.error("camera cannot be run", camera=config.name, reason=reason)
            self._unfit[config.name] = (config, time.monotonic())
            lease.release()
            return
        timing = self._timing(config)
        state, length = self._client.hmget(self._keys.camera(config.name), "state", "length")
        source = open_source(
            config.source,
            camera=config.name,
            site_time_ns=self._site_time.now_ns,
            origin_ns=timing.begin_ns,
            loop=config.loop,
            fps=config.fps,
            interval_s=timing.scale / self._config.clock.target_fps,
            known_length=length.decode() if length else None,
        )
        camera = Camera(
            config,
            lease,
            source,
            detector,
            thresholds,
            self._tracker_settings,
            mask=mask,
            refresh_seconds=self._config.embedder.refresh_seconds,
            timing=timing,
        )
        for track_id, gid in self._client.hgetall(self._keys.gids(config.name)).items():
            camera.change_gid(int(track_id), int(gid))
        self._cameras[config.name] = camera
        if state == b"ended":
            camera.over = True
            source.close()
        self._claims.tell(
            config.name,
            lease,
            {
                "owner": self._claims.worker,
                "state": _state_of(camera),
                "error": "",
                "source": display_name(config.source),
                "class_names": json.dumps(detector.class_names),
            },
        )
        _log.info("camera claimed", camera=config.name, epoch=lease.epoch, source=display_name(config.source))

    def _encoded_mask(self, config: CameraConfig) -> bytes | None:
        """As it was published; of a camera that was added or changed since, as it lies on this host."""
        if config.mask is None:
            return None
        if any(config.mask == camera.mask for camera in self._config.cameras if camera.name == config.name):
            return self._masks[config.name]
        try:
            return config.mask.read_bytes()
        except OSError as error:
            raise MaskError(f"{config.mask} cannot be read on this host ({error.strerror}); copy it here") from None

    def _is_unfit(self, config: CameraConfig) -> bool:
        """Whether a camera with these settings could not be run here a moment ago; models take long to be tried."""
        unfit, at = self._unfit.get(config.name, (None, 0.0))
        return unfit == config and time.monotonic() - at < _TRY_UNFIT_AGAIN_S

    def _join_answered(self) -> None:
        """Lets a camera take part once its source has first answered or failed."""
        for name, camera in list(self._cameras.items()):
            if camera.joined or camera.over or not camera.source.answered.is_set():
                continue
            try:
                tick, gate, camera.handled = self._gate.join(name, camera.lease)
            except LeaseLost:
                self._drop([name])
                continue
            camera.joined = True
            self._note_progress(tick, gate, self._progress.ticks_cursor, self._tick_time_ns(tick))

    def _tell_all(self) -> None:
        """Keeps `camera:{camera}` true: at once when a state changes, otherwise every few seconds."""
        now = time.monotonic()
        for name, camera in list(self._cameras.items()):
            state = (_state_of(camera), camera.source.error or "")
            told, at = self._told.get(name, (("", ""), -1e9))
            if told == state and now - at < _TELL_RATES_S:
                continue
            facts: dict[str, str | int] = {
                "state": state[0],
                "error": state[1],
                "width": camera.width,
                "height": camera.height,
                "fps": f"{camera.rate():.1f}",
                "source_dropped": camera.source.dropped,
            }
            if camera.source.length:
                facts["length"] = camera.source.length
            try:
                self._claims.tell(name, camera.lease, facts)
            except LeaseLost:
                self._drop([name])
            else:
                self._told[name] = (state, now)

    def _give_up(self, name: str, state: str) -> None:
        camera = self._cameras.pop(name)
        self._told.pop(name, None)
        camera.source.close()
        try:
            self._gate.retire(name, camera.lease, state)
            camera.lease.release()
        except LeaseLost:
            _log.info("camera had another owner already", camera=name)

    def _drop(self, names: list[str]) -> None:
        """Forgets cameras whose leases were lost: another worker has them."""
        for name in names:
            if name in self._cameras:
                _log.warning("camera was removed, or taken over by another worker", camera=name)
                self._metrics.camera_lost()
                self._cameras.pop(name).source.close()
                self._told.pop(name, None)

    # -- time ------------------------------------------------------------------------------------------------

    def _tick_time_ns(self, tick: int) -> int:
        """Site time at which a tick begins."""
        return self._progress.time_ns + round((tick - self._progress.tick) * 1e9 / self._config.clock.target_fps)

    def _least_epoch(self) -> int | None:
        return self._progress.time_ns // 1_000_000 if self._virtual else None

    def _timing(self, config: CameraConfig) -> Timing:
        """All recordings of a site begin together, at the tick after the first of them was claimed.

        But for one that was added to begin at a tick of its own.
        """
        offset = config.time_offset_seconds
        if offset is None:
            offset = self._layout_value(self._site.layout.offset, config.name, 0.0)
        offset_ns = round(offset * 1e9)
        if not config.is_file:
            return Timing(0, offset_ns, 1.0)
        origin = self._client.hget(self._keys.camera(config.name), "origin")
        if origin is None:
            self._client.set(self._keys.files_origin, self._progress.tick + 1, nx=True)
            origin = self._client.get(self._keys.files_origin)
        scale = config.time_scale or self._layout_value(self._site.layout.scales, config.name, 1.0)
        return Timing(self._tick_time_ns(int(origin)) + offset_ns, 0, scale)

    def _layout_value(self, values: npt.NDArray[np.float64] | None, name: str, default: float) -> float:
        if values is None or name not in self._site.layout.cameras:
            return default
        return float(values[self._site.layout.cameras.index(name)])


def _state_of(camera: Camera) -> str:
    return "ended" if camera.over else camera.source.state.value
