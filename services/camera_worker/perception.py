"""Handles one tick of all cameras of a worker: the networks run on all pictures together, each camera has a tracker."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.camera_worker.camera import Camera, Observed
from shared.messages import TrackBatch
from vision.inference.models import Models
from vision.video.source import Frame, SourceState


@dataclass(frozen=True)
class Seen:
    """The result of one camera at a tick."""

    camera: Camera
    frame: Frame | None
    observed: Observed | None
    time_ns: int
    batch: TrackBatch
    payload: bytes
    """The encoded batch."""


class Perception:
    """Runs the detector and the embedder once per tick for all cameras."""

    def __init__(self, models: Models, target_fps: float, *, virtual: bool) -> None:
        """`virtual`: wait for a file's picture as long as it takes."""
        self._models, self._target_fps, self._virtual = models, target_fps, virtual

    def perceive(self, cameras: Iterable[Camera], started_ns: int) -> list[Seen]:
        """The results of the cameras at the tick that began at `started_ns` (site time), sorted by name.

        Raises:
            ModelError: the device failed.
        """
        cameras = sorted(cameras, key=lambda camera: camera.name)
        frames = self._frames(cameras, started_ns)
        new = [camera for camera in cameras if (frame := frames[camera.name]) is not None and camera.is_new(frame)]
        observed: dict[str, Observed | None] = dict.fromkeys(frames)
        times = {camera.name: camera.time_ns(frames[camera.name], started_ns) for camera in cameras}
        self._detect_and_track(new, frames, observed, times)
        for camera in cameras:
            if camera in new:
                continue
            if frames[camera.name] is not None:
                observed[camera.name] = camera.repeated()
            elif camera.ended or camera.leaving:
                camera.end_tracks()
            elif camera.source.state is SourceState.DOWN or camera.is_in_gap(times[camera.name] / 1e9):
                camera.coast(times[camera.name] / 1e9)
        embeddings = self._embed(new, frames, observed)
        ticks = []
        for camera in cameras:
            vectors = embeddings.get(camera.name, np.zeros((0, self._models.embedder.dimension), np.float32))
            batch = camera.batch(observed[camera.name], vectors, self._models.embedder.checksum)
            ticks.append(
                Seen(camera, frames[camera.name], observed[camera.name], times[camera.name], batch, batch.encode())
            )
        return ticks

    def _frames(self, cameras: list[Camera], started_ns: int) -> dict[str, Frame | None]:
        """The picture of each camera; in live mode, waits half a tick at most for all of them together."""
        deadline = time.monotonic() + 0.5 / self._target_fps
        frames: dict[str, Frame | None] = {}
        for camera in cameras:
            left_s = max(0.0, deadline - time.monotonic())
            waits = camera.config.is_file and camera.source.state is not SourceState.DOWN
            # A live source always has its newest picture ready; a file's must be decoded first.
            wait_s = (None if self._virtual else left_s) if waits else 0.0
            media_time_s = camera.timing.media_time_s(started_ns)
            has_begun = media_time_s >= 0
            wanted = has_begun and not camera.leaving
            frames[camera.name] = camera.source.frame_at(media_time_s, wait_s) if wanted else None
        return frames

    def _detect_and_track(
        self,
        cameras: list[Camera],
        frames: dict[str, Frame | None],
        observed: dict[str, Observed | None],
        times: dict[str, int],
    ) -> None:
        """Runs each detector once for all cameras that use it, then each camera's tracker."""
        for detector in dict.fromkeys(camera.detector for camera in cameras):
            group = [
                (camera, frame) for camera in cameras if (frame := frames[camera.name]) and camera.detector is detector
            ]
            found = detector.detect([frame.image for _, frame in group], [camera.thresholds for camera, _ in group])
            for (camera, frame), detections in zip(group, found, strict=True):
                observed[camera.name] = camera.observe(frame, detections, times[camera.name] / 1e9)

    def _embed(
        self, cameras: list[Camera], frames: dict[str, Frame | None], observed: dict[str, Observed | None]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the embedder once on the due crops of all cameras; camera → `(m, D)` float32."""
        parts = [
            (camera.name, frame.image, seen.tracked.boxes_xyxy[seen.due])
            for camera in cameras
            if (frame := frames[camera.name]) and (seen := observed[camera.name])
        ]
        if not parts:
            return {}
        vectors = self._models.embedder.embed([(image, boxes) for _, image, boxes in parts])
        ends = np.cumsum([len(boxes) for _, _, boxes in parts])[:-1]
        return {name: rows for (name, _, _), rows in zip(parts, np.split(vectors, ends), strict=True)}
