"""Handles one tick of all cameras of a worker: the networks run on all pictures together, each camera has a tracker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from services.camera_worker.camera import Camera, Observed
from services.camera_worker.isolation import DeviceWatch, isolated
from shared.messages import TrackBatch
from vision.inference.detection import Detections
from vision.inference.models import Models
from vision.video.source import Frame, SourceState

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Seen:
    """The result of one camera at a tick."""

    camera: Camera
    frame: Frame | None
    observed: Observed | None
    time_ns: int
    """Steady site time."""
    batch: TrackBatch
    payload: bytes
    """The encoded batch."""


class Perception:
    """Runs the detector and the embedder once per tick for all cameras."""

    def __init__(
        self,
        models: Models,
        target_fps: float,
        *,
        virtual: bool,
        timed: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """`virtual`: wait for a file's picture as long as it takes, and leave none out after an error.

        `timed` measures a stage, given by its name.
        """
        self._timed = timed
        self._models, self._target_fps, self._virtual = models, target_fps, virtual
        self._watch = DeviceWatch()

    def perceive(self, cameras: Iterable[Camera], started_ns: int) -> list[Seen]:
        """The results of the cameras at the tick that began at `started_ns` (site time), sorted by name.

        A camera whose pictures cannot be handled is retried with backoff, and has none meanwhile.

        Raises:
            Exception: the pictures of every camera have failed for a while, so a new process should try; in virtual
                mode, one has failed.
        """
        cameras = sorted(cameras, key=lambda camera: camera.name)
        with self._timed("pictures"):
            frames = self._frames(cameras, started_ns)
        new = [camera for camera in cameras if (frame := frames[camera.name]) is not None and camera.is_new(frame)]
        observed: dict[str, Observed | None] = dict.fromkeys(frames)
        times = {camera.name: camera.time_ns(frames[camera.name], started_ns) for camera in cameras}
        tried = [camera for camera in new if not camera.suspended]
        handled = self._detect_and_track(tried, frames, observed, times)
        with self._timed("embed"):
            embeddings = self._embed(handled, frames, observed)
        for camera in cameras:
            if camera.name in embeddings:
                camera.resume()
            elif camera in new:
                if observed[camera.name] is None:  # otherwise only the embedder failed
                    camera.coast(times[camera.name] / 1e9)
            elif frames[camera.name] is not None:
                observed[camera.name] = camera.repeated()
            elif camera.ended or camera.leaving:
                camera.end_tracks()
            elif camera.source.state is SourceState.DOWN or camera.is_in_gap(times[camera.name] / 1e9):
                camera.coast(times[camera.name] / 1e9)
        self._watch.check(new)
        ticks = []
        with self._timed("encode"):
            for camera in cameras:
                seen = observed[camera.name]
                due = len(seen.due) if seen is not None else 0
                vectors = embeddings.get(camera.name, np.zeros((due, self._models.embedder.dimension), np.float32))
                batch = camera.batch(seen, vectors, self._models.embedder.checksum)
                ticks.append(Seen(camera, frames[camera.name], seen, times[camera.name], batch, batch.encode()))
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
    ) -> list[Camera]:
        """Runs each detector once for all cameras that use it, then each camera's tracker; the cameras that worked."""
        pictures = {camera.name: frame for camera in cameras if (frame := frames[camera.name]) is not None}

        def detect(some: Sequence[Camera]) -> list[Detections]:
            images = [pictures[camera.name].image for camera in some]
            return some[0].detector.detect(images, [camera.thresholds for camera in some])

        found: list[tuple[Camera, Detections]] = []
        with self._timed("detect"):
            for detector in dict.fromkeys(camera.detector for camera in cameras):
                found += self._isolated([camera for camera in cameras if camera.detector is detector], detect)
        detections = {camera.name: each for camera, each in found}

        def track(some: Sequence[Camera]) -> list[Observed]:
            return [
                camera.observe(pictures[camera.name], detections[camera.name], times[camera.name] / 1e9)
                for camera in some
            ]

        with self._timed("track"):
            tracked = [pair for camera, _ in found for pair in self._isolated([camera], track)]
        observed |= {camera.name: seen for camera, seen in tracked}
        return [camera for camera, _ in tracked]

    def _embed(
        self, cameras: list[Camera], frames: dict[str, Frame | None], observed: dict[str, Observed | None]
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Runs the embedder once on the due crops of all cameras; camera → `(m, D)` float32, if it worked."""

        def embed(some: Sequence[Camera]) -> list[npt.NDArray[np.float32]]:
            parts = []
            for camera in some:
                frame, seen = frames[camera.name], observed[camera.name]
                assert frame is not None
                assert seen is not None
                parts.append((frame.image, seen.tracked.boxes_xyxy[seen.due]))
            vectors = self._models.embedder.embed(parts)
            return np.split(vectors, np.cumsum([len(boxes) for _, boxes in parts])[:-1])

        return {camera.name: rows for camera, rows in self._isolated(cameras, embed)}

    def _isolated(
        self, cameras: list[Camera], call: Callable[[Sequence[Camera]], Sequence[_Result]]
    ) -> list[tuple[Camera, _Result]]:
        if not cameras:
            return []
        if self._virtual:  # A run must be exact, so an error ends it.
            return list(zip(cameras, call(cameras), strict=True))
        return isolated(cameras, call)
