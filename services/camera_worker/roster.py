"""The cameras of this worker: claims them, prepares them, hands them to the loop, and releases them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from services.camera_worker.camera import Camera
from services.camera_worker.claims import Claims, Wanted
from services.camera_worker.handover import Handover, Outcome, ReleaseWhen
from services.camera_worker.held import Held, Phase
from services.camera_worker.metrics import CameraWorkerMetrics
from services.camera_worker.preparation import Circumstances, Failed, Preparation, Prepared
from services.camera_worker.reports import Reports, settings_checksum
from services.camera_worker.source_timing import SourceTimings
from shared.backoff import Backoff
from shared.camera_config import CameraConfig
from shared.errors import LeaseLost
from shared.gate import NEWER, Gate, Progress
from shared.redis_connection import RETRYABLE, Client
from shared.site import PublishedSite
from shared.site_time import SiteTime
from vision.inference.models import Models
from vision.tracking.settings import TrackerSettings
from vision.video.address import display_name
from vision.video.source import Source

_log = structlog.get_logger()
_LOOK_S = 0.4
_CLOSE_WAIT_S = 0.3
ANSWER_LIMIT_S = 30.0
"""A source delivers a picture or fails within its own timeouts (5 s for a stream). After this long, a driver hangs."""
_RETRY_UNFIT_S = (10.0, 60.0)
"""First and longest wait before a camera that could not run here is retried; loading models takes long."""


@dataclass(frozen=True)
class Unfit:
    """A camera that could not run on this worker."""

    config: CameraConfig
    retry_at_s: float
    """Monotonic seconds."""
    backoff: Backoff
    preparation: Preparation | None
    """The failed attempt. While its thread still hangs there is no new attempt, so that hung threads do not pile up."""


class Roster:
    """Runs on its own thread and exchanges cameras with the loop only through the handover."""

    def __init__(
        self,
        client: Client,
        site: PublishedSite,
        models: Models,
        claims: Claims,
        site_time: SiteTime,
        handover: Handover,
        metrics: CameraWorkerMetrics,
        gpu: str = "",
    ) -> None:
        """`gpu`: UUID and name of the GPU that this worker uses; empty: none."""
        self._client, self._site, self._keys = client, site, site.keys
        self._models, self._claims, self._site_time, self._handover = models, claims, site_time, handover
        self._metrics = metrics
        self._virtual = site.config.clock.mode == "virtual"
        self._gate = Gate(client, self._keys, site.config.clock)
        self._timings = SourceTimings(client, site, site_time)
        self._reports = Reports(claims, models, site_time, gpu)
        self._tracker_settings = TrackerSettings.of(site.config)
        self._held: dict[str, Held] = {}
        self._unfit: dict[str, Unfit] = {}
        self._look_at = 0.0

    def step(self, facts: Mapping[str, str | int | float] | None = None) -> None:
        """Advances every camera by one step; reads the site and sends a heartbeat when they are due.

        `facts` about the worker are added to the heartbeat. May be called again after any Redis error.

        Raises:
            RedisError: Redis is unreachable; the next call continues.
        """
        self._site_time.measure_if_due(time.monotonic())
        self._renew_leases()
        self._take_back()
        self._advance()
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self._reports.heartbeat(self._held, facts or {})
            self._metrics.cameras.set(len(self._held))
            self._metrics.clock_offset_seconds.set(self._site_time.clock_offset_ms() / 1000)
            self._follow(self._claims.look({name: held.lease for name, held in self._held.items()}))
            for name in self._reports.write_states(self._held):
                if not self._held[name].loop_renews_lease:  # otherwise the loop notices and gives it back
                    self._drop(name)

    def sources(self) -> dict[str, Source]:
        """Camera → its source, for cameras that have one now; may be called from any thread."""
        return {name: held.camera.source for name, held in self._held.copy().items() if held.camera is not None}

    def phases(self) -> dict[str, Phase]:
        """Camera → its phase."""
        return {name: held.phase for name, held in self._held.items()}

    def close(self) -> None:
        """Releases all cameras at once, so that other workers need not wait for the leases to expire.

        Raises:
            RedisError: Redis is unreachable; the leases will expire.
        """
        self._take_back()
        for held in self._held.values():
            held.release_source()
        for name, held in list(self._held.items()):
            held.keep = False
            if held.phase is not Phase.CLOSING:
                self._retire(name, held)
        self._claims.resign()
        # Most sources close at once. One that hangs ends with the process.
        deadline = time.monotonic() + _CLOSE_WAIT_S
        while not all(held.source_is_closed for held in self._held.values()) and time.monotonic() < deadline:
            time.sleep(0.01)
        for held in self._held.values():
            held.lease.release()
        self._held.clear()

    # -- leases and the loop -----------------------------------------------------------------------------

    def _renew_leases(self) -> None:
        """Renews the leases of cameras that are not in the loop, which renews its own: a hung loop must lose them."""
        leases = {name: held.lease for name, held in self._held.items() if not held.loop_renews_lease}
        for name in self._claims.renew(leases):
            self._drop(name)

    def _take_back(self) -> None:
        for camera, outcome in self._handover.returned():
            held = self._held.get(camera.name)
            if held is None or held.camera is not camera:
                continue
            if outcome is Outcome.LEASE_LOST:
                self._drop(camera.name)
                continue
            held.release_source()
            if outcome is Outcome.ENDED and held.phase is Phase.RUNNING:
                held.retire_as, held.keep = "ended", True
            held.phase = Phase.RETIRING

    def _drop(self, name: str) -> None:
        """Drops a camera whose lease was lost: another worker owns it, or it was removed."""
        held = self._held.pop(name)
        self._metrics.cameras_lost.inc()
        _log.warning("lost a camera: another worker owns it, or it was removed from the site", camera=name)
        held.release_source()

    def _advance(self) -> None:
        for name, held in list(self._held.items()):
            try:
                self._advance_one(name, held)
            except LeaseLost:
                self._drop(name)
            except RETRYABLE:
                raise
            except Exception as problem:  # noqa: BLE001 (a bug that affects one camera must not stop the others)
                self._metrics.roster_restarts.inc()
                _log.exception("a camera failed unexpectedly", camera=name, phase=held.phase.value)
                held.release_source()
                self._give_back_or_drop(
                    name, held, f"an unexpected error ({type(problem).__name__}); see the worker's log"
                )

    def _advance_one(self, name: str, held: Held) -> None:
        if held.phase is Phase.CLAIMED:
            self._begin(name, held)
        elif held.phase is Phase.PREPARING:
            self._follow_preparation(name, held)
        elif held.phase is Phase.OPENING:
            self._hand_over_if_answered(name, held)
        elif held.phase is Phase.RETIRING:
            self._retire(name, held)
        elif held.phase is Phase.CLOSING and held.source_is_closed:
            held.lease.release()
            del self._held[name]

    def _follow_preparation(self, name: str, held: Held) -> None:
        assert held.preparation is not None
        outcome = held.preparation.outcome()
        if isinstance(outcome, Failed):
            self._give_back_unfit(name, held, outcome)
        elif isinstance(outcome, Prepared):
            self._unfit.pop(name, None)
            refused = " ".join(sorted(held.refused - {self._claims.worker}))
            class_names = json.dumps(outcome.detector.class_names)
            self._claims.write_facts(name, held.lease, {"class_names": class_names, "refused": refused})
            held.camera = Camera(
                held.config,
                held.lease,
                outcome.source,
                outcome.detector,
                outcome.thresholds,
                self._tracker_settings,
                mask=outcome.mask,
                refresh_seconds=self._site.config.embedder.refresh_seconds,
                timing=outcome.timing,
            )
            held.preparation, held.phase, held.opening_since_s = None, Phase.OPENING, time.monotonic()

    def _give_back_or_drop(self, name: str, held: Held, reason: str) -> None:
        try:
            self._give_back_unfit(name, held, Failed(reason))
        except LeaseLost:
            self._drop(name)

    def _give_back_unfit(self, name: str, held: Held, failed: Failed) -> None:
        """Releases a camera that cannot run here, so that another worker can try it, or this one later."""
        refused = " ".join(sorted(held.refused | {self._claims.worker}))
        state = "released" if failed.not_here else "down"
        self._claims.write_facts(name, held.lease, {"refused": refused, "error": failed.reason, "state": state})
        held.lease.release()
        del self._held[name]
        if failed.not_here:
            _log.warning("source is not on this host; leaving it to another worker", camera=name, reason=failed.reason)
            return
        before = self._unfit.get(name)
        backoff = before.backoff if before and before.config == held.config else Backoff(*_RETRY_UNFIT_S)
        retry_in_s = backoff.next_s()
        self._unfit[name] = Unfit(held.config, time.monotonic() + retry_in_s, backoff, held.preparation)
        _log.error("camera cannot run here", camera=name, reason=failed.reason, retry_in_s=round(retry_in_s, 1))

    def _hand_over_if_answered(self, name: str, held: Held) -> None:
        assert held.camera is not None
        if held.camera.source.answered.is_set():
            held.lease.renew()  # From here on the loop renews it.
            held.phase = Phase.RUNNING
            self._handover.give(held.camera)
        elif time.monotonic() - held.opening_since_s > ANSWER_LIMIT_S:
            held.release_source()
            reason = f"its source returned neither a picture nor an error for {ANSWER_LIMIT_S:.0f} s; abandoned it"
            self._give_back_unfit(name, held, Failed(reason))

    def _retire(self, name: str, held: Held) -> None:
        """Writes to Redis that this worker releases the camera, or that its file has ended."""
        try:
            self._gate.retire(name, held.lease, held.retire_as)
            if held.keep and held.camera is not None:
                self._reports.write_end(held.camera, held)
        except LeaseLost:
            _log.info("camera already has another owner", camera=name)
            del self._held[name]
            return
        held.phase = Phase.ENDED if held.keep else Phase.CLOSING

    # -- claiming and releasing --------------------------------------------------------------------------

    def _follow(self, wanted: Wanted) -> None:
        for name in wanted.paused:
            self._release(self._held[name], "paused", ReleaseWhen.AFTER_NEXT_TICK)
        self._unfit = {name: unfit for name, unfit in self._unfit.items() if name in wanted.cameras}
        for name in wanted.releases:
            if self._held[name].is_releasing:
                continue
            _log.info("releasing a camera for another worker", camera=name)
            # The state `ended` must survive a change of the owner.
            ended = self._held[name].phase is Phase.ENDED
            self._release(self._held[name], "ended" if ended else "released", ReleaseWhen.NOW)
        for name, held in self._held.items():
            changed = name in wanted.cameras and wanted.cameras[name] != held.config
            if changed and not held.is_releasing:
                _log.info("camera has new settings", camera=name)
                self._release(held, "released", ReleaseWhen.NOW)
        if wanted.claims:
            self._claim(wanted)

    def _claim(self, wanted: Wanted) -> None:
        """Claims all cameras before preparing the first, so that no other worker claims some of them meanwhile."""
        least_epoch = self._progress().time_ns // 1_000_000 if self._virtual else None
        for name, config in wanted.claims.items():
            if self._is_unfit(config) or (lease := self._claims.claim(config, least_epoch)) is None:
                continue
            movable = name in wanted.movable
            self._held[name] = Held(config, lease, Phase.CLAIMED, wanted.refused[name], movable)
            source = config.shown(display_name(config.source))
            _log.info("camera claimed", camera=name, epoch=lease.epoch, source=source)

    def _progress(self) -> Progress:
        return self._gate.complete_tick(0, [], NEWER)

    def _release(self, held: Held, state: str, when: ReleaseWhen) -> None:
        if held.is_releasing:
            return
        held.retire_as, held.keep = state, False
        if held.phase is Phase.RUNNING:
            assert held.camera is not None
            held.phase = Phase.LEAVING
            self._handover.request_release(held.camera, when)
            return
        held.release_source()
        held.phase = Phase.RETIRING

    def _begin(self, name: str, held: Held) -> None:
        """Starts preparing a claimed camera, unless its file has been played to the end already."""
        config = held.config
        timing = self._timings.of(config, self._progress())
        fields = ("state", "length", "moved", "moved_settings")
        state, length, moved, moved_settings = self._client.hmget(self._keys.camera(name), *fields)
        ended = state == b"ended"
        source = config.shown(display_name(config.source))
        facts: dict[str, str | int] = {"owner": self._claims.worker, "source": source}
        unfit = self._unfit.get(name)
        if unfit is None or unfit.config != config:  # otherwise it stays `down`, with the reason, until it works
            facts |= {"state": "ended" if ended else "starting", "error": ""}
        self._claims.write_facts(name, held.lease, facts)
        if ended:
            held.phase, held.retire_as = Phase.ENDED, "ended"
            return
        known_length = length.decode(errors="replace") if length else None
        # With other settings, a person has looked at it since.
        is_known_moved = moved and moved_settings == settings_checksum(config).encode()
        known_move = moved.decode(errors="replace") if is_known_moved else None
        circumstances = Circumstances(self._site_time.now_ns, timing, known_length, known_move, held.movable)
        mask = self._published_mask(config)
        held.preparation = Preparation(config, self._site.config, self._models, mask, circumstances)
        held.phase = Phase.PREPARING

    def _published_mask(self, config: CameraConfig) -> bytes | None:
        """The published mask of this camera; None if its settings were changed to another one since."""
        published = next((camera for camera in self._site.config.cameras if camera.name == config.name), None)
        same = published is not None and config.mask is not None and config.mask == published.mask
        return self._site.masks[config.name] if same else None

    def _is_unfit(self, config: CameraConfig) -> bool:
        """Whether a camera with these settings failed here and its retry is not due yet."""
        unfit = self._unfit.get(config.name)
        if unfit is None or unfit.config != config:
            return False
        hangs = unfit.preparation is not None and unfit.preparation.hangs
        return hangs or time.monotonic() < unfit.retry_at_s
