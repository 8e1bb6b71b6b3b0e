"""A worker's heartbeat and the state of its cameras in Redis, as plain text for people and pages."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping

from services.camera_worker.camera import Camera
from services.camera_worker.claims import Claims
from services.camera_worker.held import Held, Phase
from shared.camera_config import CameraConfig
from shared.errors import LeaseLost
from shared.site_time import SiteTime
from vision.inference.models import Models
from vision.video.source import SourceState

_RATES_EVERY_S = 2.0


class Reports:
    """Writes the heartbeat of a worker, and `camera:{camera}` of the cameras that it owns."""

    def __init__(self, claims: Claims, models: Models, site_time: SiteTime, gpu: str = "") -> None:
        """`gpu`: UUID and name of the GPU of this worker; empty: none."""
        self._claims, self._models, self._site_time, self._gpu = claims, models, site_time, gpu
        self._written: dict[str, tuple[Camera, str, str, str, float]] = {}
        """Camera → the state, error and fault last written to Redis, and when (monotonic seconds)."""

    def heartbeat(self, held: Mapping[str, Held], facts: Mapping[str, str | int | float]) -> None:
        """Sends a heartbeat with the cameras that the worker holds and the `facts`.

        Raises:
            RedisError: Redis is unreachable.
        """
        trouble = self._models.gpu_trouble
        cameras = [one.camera for one in held.values() if one.camera is not None]
        self._claims.heartbeat(
            {
                "device": self._models.device,
                "backend": self._models.backend,
                "gpu": self._gpu,
                "gpu_problem": trouble.reason if trouble else "",
                "gpu_advice": trouble.advice if trouble else "",
                "embedder": self._models.embedder.checksum,
                "cameras": " ".join(sorted(held)),
                "fps": f"{sum(camera.rate() for camera in cameras):.1f}",
                "clock_offset_ms": self._site_time.clock_offset_ms(),
                **facts,
            }
        )

    def write_states(self, held: Mapping[str, Held]) -> list[str]:
        """Updates `camera:{camera}`: immediately when a state changes, otherwise every few seconds.

        Returns the cameras whose lease was lost.

        Raises:
            RedisError: Redis is unreachable.
        """
        self._written = {name: written for name, written in self._written.items() if name in held}
        lost = []
        for name, one in held.items():
            camera = one.camera
            if camera is None or one.phase in (Phase.ENDED, Phase.RETIRING, Phase.CLOSING) or camera.ended:
                continue  # After the last tick of a file, `retire` writes the state `ended`.
            try:
                self._write_state(camera, one)
            except LeaseLost:
                lost.append(name)
        return lost

    def write_end(self, camera: Camera, held: Held) -> None:
        """Writes the final facts of a camera whose file has ended; `retire` has written its state.

        Raises:
            LeaseLost: another worker has owned it since.
            RedisError: Redis is unreachable.
        """
        self._claims.write_facts(camera.name, held.lease, _facts(camera) | {"fps": "0.0"})

    def _write_state(self, camera: Camera, held: Held) -> None:
        now = time.monotonic()
        state, error, fault = _state(camera)
        known, *written, at = self._written.get(camera.name, (None, "", "", "", 0.0))
        if known is camera and written == [state, error, fault] and now - at < _RATES_EVERY_S:
            return
        facts = _facts(camera) | {"state": state, "error": error, "fault": fault, "moved": camera.source.moved or ""}
        if camera.source.moved:
            facts["moved_settings"] = settings_checksum(camera.config)
        self._claims.write_facts(camera.name, held.lease, facts)
        self._written[camera.name] = (camera, state, error, fault, now)


def settings_checksum(config: CameraConfig) -> str:
    """Changes with every setting of a camera."""
    return f"{zlib.crc32(config.model_dump_json().encode()):08x}"


def _state(camera: Camera) -> tuple[str, str, str]:
    """The state to report, the last error of the source, and what is wrong with its pictures."""
    source = camera.source
    state, fault = source.state, source.fault
    if state is SourceState.LIVE and camera.failure is not None:
        return SourceState.DOWN.value, camera.failure, ""
    if state is SourceState.LIVE and fault is not None:
        return fault.kind.value, source.error or "", fault.message
    return state.value, source.error or "", ""


def _facts(camera: Camera) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "width": camera.width,
        "height": camera.height,
        "fps": f"{camera.rate():.1f}",
        "source_dropped": camera.source.dropped,
    }
    return facts | {"length": camera.source.length} if camera.source.length else facts
