from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.camera_worker import preparation
from services.camera_worker.claims import Claims
from services.camera_worker.worker import CameraWorker
from shared.camera_config import CameraConfig
from shared.camera_settings import add_camera, remove_cameras
from shared.redis_connection import Client
from tests.integration.worker_parts import StillSource, WorkerSite, running, wait_for
from tests.stopwatch import Stopwatch, pulse
from tests.unit.vision.model_files import write_constant_model
from vision.inference.detection import Detector

LONGEST_GAP_S = 1.8
"""Between two ticks of a healthy camera, also on a busy machine. What hangs in these tests hangs for longer.

The stalls of the machine do not count.
"""
LEASE = {"lease_seconds": 2.0}
CLOSE_SECONDS, LOAD_SECONDS = 2.5, 3.0


class Gaps:
    """Measures the longest time that the worker's cameras go without a tick."""

    def __init__(self, site: WorkerSite, *cameras: str) -> None:
        self._site, self._cameras, self._pulse = site, cameras, pulse()
        self._epochs = {name: site.epoch(name) for name in cameras}
        self._from = {name: site.client.xinfo_stream(site.keys.tracks(name))["last-generated-id"] for name in cameras}

    def longest_s(self) -> float:
        longest, ahead_s = 0.0, time.time() - time.monotonic()
        for name in self._cameras:
            ids = [entry_id for entry_id, _ in self._site.client.xrange(self._site.keys.tracks(name), self._from[name])]
            times_s = [int(entry_id.split(b"-")[0]) / 1000 - ahead_s for entry_id in ids]
            assert len(times_s) > 5, f"{name} has handled only {len(times_s)} ticks"
            for before_s, after_s in itertools.pairwise(times_s):
                longest = max(longest, after_s - before_s - self._pulse.stalled_s(before_s, after_s))
        return longest

    def assert_undisturbed(self) -> None:
        assert {name: self._site.epoch(name) for name in self._cameras} == self._epochs, "no lease was lost"
        assert self.longest_s() < LONGEST_GAP_S


def running_cameras(site: WorkerSite, worker: CameraWorker, *names: str) -> bool:
    return set(names) <= set(worker.loop.cameras) and all(site.entries(name) for name in names)


def test_removing_four_hung_cameras_does_not_affect_the_others(
    redis_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = WorkerSite(redis_client, tmp_path, "abwxyz", worker=LEASE)
    hanging = {name: StillSource(close_seconds=CLOSE_SECONDS) for name in "wxyz"}
    open_source = preparation.open_source

    def opened(source: str, *, camera: str, **options: Any) -> Any:
        return hanging.get(camera) or open_source(source, camera=camera, **options)

    monkeypatch.setattr(preparation, "open_source", opened)
    with running(site) as worker:
        wait_for(lambda: running_cameras(site, worker, *"abwxyz"))
        gaps = Gaps(site, "a", "b")
        remove_cameras(site.client, site.keys, list("wxyz"), kept_seconds=60)
        wait_for(lambda: all(source.closed.is_set() for source in hanging.values()))
        gaps.assert_undisturbed()


def test_a_camera_whose_model_loads_slowly_does_not_affect_the_others(
    redis_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = WorkerSite(redis_client, tmp_path, "ab", worker=LEASE)
    large = write_constant_model(tmp_path / "large.onnx", np.zeros((5, 21), np.float32), ("batch", 3, 32, 32))
    load = Detector.load

    def slowly(path: Path, **options: Any) -> Detector:
        if path == large:
            time.sleep(LOAD_SECONDS)
        return load(path, **options)

    monkeypatch.setattr(Detector, "load", slowly)
    with running(site) as worker:
        wait_for(lambda: running_cameras(site, worker, "a", "b"))
        gaps = Gaps(site, "a", "b")
        source = site.config_of("a").source
        own = CameraConfig.model_validate(
            {"name": "c", "source": source, "loop": True, "detector": {"model": str(large)}}
        )
        assert add_camera(site.client, site.keys, own)
        wait_for(lambda: site.owned("c"))
        epoch = site.epoch("c")
        wait_for(lambda: running_cameras(site, worker, "c"))
        assert site.epoch("c") == epoch, "its lease was kept while its model was loaded"
        gaps.assert_undisturbed()


def test_a_roster_that_fails_unexpectedly_is_retried_and_the_loop_continues(
    redis_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = WorkerSite(redis_client, tmp_path, "ab", worker=LEASE)
    with running(site) as worker:
        wait_for(lambda: running_cameras(site, worker, "a", "b"))
        gaps = Gaps(site, "a", "b")
        look, failures = Claims.look, []

        def fail(claims: Claims, mine: Any) -> Any:
            if len(failures) < 3:
                failures.append(mine)
                raise KeyError("something unexpected")
            return look(claims, mine)

        monkeypatch.setattr(Claims, "look", fail)
        wait_for(lambda: len(failures) == 3)
        remove_cameras(site.client, site.keys, ["b"], kept_seconds=60)
        wait_for(lambda: set(worker.loop.cameras) == {"a"})
        Gaps(site, "a")
        assert gaps.longest_s() < LONGEST_GAP_S


def test_a_closing_worker_releases_its_cameras_at_once_even_if_their_sources_hang(
    redis_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = WorkerSite(redis_client, tmp_path, "wxyz")
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: StillSource(close_seconds=0.9))
    with running(site) as worker:
        wait_for(lambda: running_cameras(site, worker, *"wxyz"))
        watch = Stopwatch()
    assert watch.within(3 * 0.9), "four sources one after the other would take 3.6 s"
    assert not any(site.owned(name) for name in "wxyz")
    assert {site.state(name)["state"] for name in "wxyz"} == {"released"}
    assert not site.client.zcard(site.keys.workers)


def quantisation(jpeg: bytes) -> int:
    """The first number of a JPEG's first quantisation table: the lower the quality, the larger it is."""
    return jpeg[jpeg.index(b"\xff\xdb") + 5]


def test_the_settings_of_the_site_reach_the_tracker_and_the_pictures(redis_client: Client, tmp_path: Path) -> None:
    site = WorkerSite(
        redis_client,
        tmp_path,
        "a",
        tracker={"min_hits": 4, "high_score": 0.6, "new_track_score": 0.7},
        streamer={"max_width": 64, "jpeg_quality": 10},
        clock={"target_fps": 10, "stall_seconds": 5},  # the frame rate of the file
    )
    # Always one person, with a score of 0.9, in the middle of the picture.
    output = np.zeros((5, 21), np.float32)
    output[:, 0] = (16, 16, 10, 16, 0.9)
    person = {"names": "{0: 'person'}"}
    write_constant_model(tmp_path / "detector.onnx", output, ("batch", 3, 32, 32), metadata=person)
    with running(site):
        wait_for(lambda: any(len(entry.batch) for entry in site.entries("a")))
        wait_for(lambda: site.client.xlen(site.keys.frames("a")))
        counts = [len(entry.batch) for entry in site.entries("a") if entry.batch.width]
        ((_, fields), *_) = site.client.xrevrange(site.keys.frames("a"), count=1)
    # On a busy machine a picture may count for two ticks, which only makes it later.
    assert counts.index(1) >= 3, "four detections in a row confirm a track"
    assert (int(fields[b"width"]), quantisation(fields[b"jpeg"])) == (64, 80)
