"""One tick of several cameras, with real trackers and fake sources and networks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.camera_worker.camera import Camera
from services.camera_worker.isolation import GIVE_UP_S, DeviceWatch
from services.camera_worker.perception import Perception, Seen
from shared.camera_config import CameraConfig
from shared.errors import InferenceFailed
from shared.keys import Keys
from shared.leases import Lease
from vision.inference.detection import Detections
from vision.tracking.settings import TrackerSettings
from vision.video.source import Frame, SourceState
from vision.video.timing import Timing
from vision.video.video_file import GAP_S

S = 1_000_000_000
T0 = 1_790_000_000 * S
FPS = 10
MAX_LOST_S = 1.0


class Source:
    """A source that returns each of `pictures` once."""

    def __init__(self) -> None:
        self.state, self.error, self.dropped = SourceState.LIVE, None, 0
        self.fault = self.moved = None
        self.answered = threading.Event()
        self.pictures: list[Frame] = []
        self.index = 0

    def show(self, time_ns: int) -> None:
        self.pictures.append(Frame(np.zeros((480, 640, 3), np.uint8), time_ns, self.index, 0))
        self.index += 1

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None:
        return self.pictures.pop(0) if self.pictures else None

    def close(self) -> None: ...


class Detector:
    """A detector that finds the same object in every picture, and counts the pictures of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def detect(self, frames: Sequence[Any], thresholds: Sequence[Any]) -> list[Detections]:
        self.calls.append(len(frames))
        box = np.array([[100, 100, 200, 300]], np.float32)
        return [Detections(box, np.full(1, 0.9, np.float32), np.zeros(1, np.int16)) for _ in frames]


class Embedder:
    dimension, checksum = 2, "c0ffee"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def embed(self, crops: Sequence[tuple[Any, Any]]) -> np.ndarray:
        count = sum(len(boxes) for _, boxes in crops)
        self.calls.append(count)
        return np.tile(np.array([[0.6, 0.8]], np.float32), (count, 1))


class Worker:
    """Cameras that share one detector, and the next tick."""

    def __init__(self, *names: str, source: str = "rtsp://cam/1") -> None:
        self.source = source
        self.detector, self.embedder = Detector(), Embedder()
        models: Any = SimpleNamespace(embedder=self.embedder)
        self.perception = Perception(models, FPS, virtual=False)
        self.sources = {name: Source() for name in names}
        self.cameras = {name: self._camera(name) for name in names}
        self.tick = 0

    def _camera(self, name: str) -> Camera:
        unused: Any = None
        return Camera(
            CameraConfig(name=name, source=self.source),
            Lease(unused, Keys("yard"), f"camera:{name}", "5:ab", 2.0),
            self.sources[name],  # type: ignore[arg-type]
            self.detector,  # type: ignore[arg-type]
            unused,
            TrackerSettings(min_hits=1, max_lost_seconds=MAX_LOST_S),
            mask=None,
            refresh_seconds=0.5,
            timing=Timing(0, 0, 1.0),
        )

    def perceive(self, *showing: str) -> dict[str, Seen]:
        """Handles the next tick, at which the cameras `showing` have a new picture."""
        self.tick += 1
        began_ns = T0 + self.tick * S // FPS
        for name in showing:
            self.sources[name].show(began_ns)
        return {seen.camera.name: seen for seen in self.perception.perceive(self.cameras.values(), began_ns)}


def ended_within(worker: Worker, name: str, ticks: int, *showing: str) -> float | None:
    """After how many seconds the camera reports that its track ended."""
    for count in range(1, ticks + 1):
        if len(worker.perceive(*showing)[name].batch.ended):
            return count / FPS
    return None


def test_the_tracks_of_a_source_that_is_down_time_out() -> None:
    worker = Worker("north", "south")
    first = worker.perceive("north", "south")["north"].batch.track_ids
    worker.sources["north"].state = SourceState.DOWN
    ended_s = ended_within(worker, "north", 30, "south")
    assert ended_s is not None
    assert MAX_LOST_S < ended_s <= MAX_LOST_S + 0.2
    worker.sources["north"].state = SourceState.LIVE
    assert worker.perceive("north", "south")["north"].batch.track_ids != first, "it may be another object by now"


def test_a_source_that_is_down_changes_nothing_for_the_other_cameras() -> None:
    worker = Worker("north", "south")
    before = worker.perceive("north", "south")["south"].batch.track_ids
    worker.sources["north"].state = SourceState.DOWN
    for _ in range(30):
        seen = worker.perceive("south")
        assert seen["south"].batch.track_ids == before
        assert not len(seen["south"].batch.ended)
        assert not len(seen["north"].batch.track_ids)


def test_a_live_source_without_a_new_picture_ends_no_tracks() -> None:
    worker = Worker("north")
    worker.perceive("north")
    assert ended_within(worker, "north", 30) is None


@pytest.mark.parametrize("why", ["ended", "leaving"])
def test_a_camera_whose_file_ended_ends_its_tracks_at_once(why: str) -> None:
    worker = Worker("north")
    worker.perceive("north")
    if why == "ended":
        worker.sources["north"].state = SourceState.ENDED
    else:
        worker.cameras["north"].leaving = True
    assert ended_within(worker, "north", 1) is not None


def test_all_cameras_share_one_call_of_each_network() -> None:
    worker = Worker("south", "north", "east")
    seen = worker.perceive("south", "north", "east")
    assert list(seen) == ["east", "north", "south"]
    assert (worker.detector.calls, worker.embedder.calls) == ([3], [3])
    worker.perceive("north")
    assert worker.detector.calls == [3, 1], "only new pictures are looked at"


def test_in_a_gap_of_a_file_nothing_is_seen_so_its_tracks_end() -> None:
    worker = Worker("north", source="/videos/north.mp4")
    worker.perceive("north")
    ended_s = ended_within(worker, "north", 40)
    assert ended_s is not None
    assert GAP_S < ended_s <= max(GAP_S, MAX_LOST_S) + 0.3


class Failing:
    """Makes a network fail when it gets a picture whose first pixel is 255."""

    def __init__(self, network: Any) -> None:
        self.network, self.dimension, self.checksum = network, 2, "c0ffee"

    def detect(self, frames: Sequence[Any], thresholds: Sequence[Any]) -> list[Detections]:
        self._check(frames)
        return list(self.network.detect(frames, thresholds))

    def embed(self, crops: Sequence[tuple[Any, Any]]) -> Any:
        self._check([image for image, _ in crops])
        return self.network.embed(crops)

    def _check(self, images: Sequence[Any]) -> None:
        if any(image.flat[0] == 255 for image in images):
            raise InferenceFailed("out of memory")


def show_bad(worker: Worker, name: str) -> None:
    worker.sources[name].show(T0 + worker.tick * S // FPS)
    worker.sources[name].pictures[-1].image[:] = 255


@pytest.mark.parametrize("network", ["detector", "embedder"])
def test_a_picture_that_a_network_cannot_handle_suspends_only_its_camera(network: str) -> None:
    worker = Worker("north", "south")
    if network == "detector":
        failing: Any = Failing(worker.detector)
        for camera in worker.cameras.values():
            camera.detector = failing
    else:
        worker.perception._models.embedder = Failing(worker.embedder)  # type: ignore[assignment]
    worker.perceive("north", "south")
    show_bad(worker, "north")
    seen = worker.perceive("south")
    assert len(seen["south"].batch) == 1
    assert "out of memory" in (worker.cameras["north"].failure or "")
    assert worker.cameras["south"].failure is None
    worker.detector.calls.clear()
    seen = worker.perceive("north", "south")
    assert len(seen["south"].batch) == 1
    assert worker.detector.calls == [1], "the suspended camera waits for its next attempt"
    worker.cameras["north"]._retry_at_s = 0.0
    seen = worker.perceive("north", "south")
    assert worker.cameras["north"].failure is None
    assert len(seen["north"].batch) == 1


def test_a_bug_in_the_tracker_of_one_camera_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker("north", "south")

    def broken(*_: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr(worker.cameras["north"], "observe", broken)
    seen = worker.perceive("north", "south")
    assert len(seen["south"].batch) == 1
    assert worker.cameras["north"].failure == "an unexpected error (KeyError); see the worker's log"


def test_if_every_picture_fails_for_a_while_the_process_ends_so_that_a_new_one_can_try() -> None:
    now = 0.0
    worker = Worker("north", "south")
    worker.perception._watch = DeviceWatch(lambda: now)
    failing: Any = Failing(worker.detector)
    for name, camera in worker.cameras.items():
        camera.detector = failing
        show_bad(worker, name)
    worker.perceive()
    now = GIVE_UP_S - 1
    worker.perceive("north", "south")  # suspended
    now = GIVE_UP_S
    with pytest.raises(InferenceFailed) as failed:
        worker.perceive("north", "south")
    assert failed.value.exit_code == 1
