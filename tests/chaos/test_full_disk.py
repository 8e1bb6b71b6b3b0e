"""`mtmc up` while the disk of its data folder is full, and processes are killed at the same time."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from launcher.address import find_redis
from shared.config_file import read_site_file
from shared.keys import Keys
from shared.lenient_values import whole
from shared.messages import TrackEntry
from shared.redis_connection import Client
from tests.command_line import CommandLine, command_line
from tests.running_site import RunningSite
from tests.small_disk import full, small_disk
from tests.small_site import small_site
from tests.stopwatch import Stopwatch
from tests.unit.vision.model_files import write_constant_model

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]
KEYS = Keys("room")
KILLED = ("aggregator", "clock", "streamer")
OBJECTS = {"a": ((16, 24), (0, 0, 230)), "b": ((48, 24), (230, 0, 0))}
"""Centre of each object in the picture of 64 by 48 pixels, and its colour, by which it is recognised."""
FAULT_S = 5.0
"""Longer than a lease, and than a worker without a heartbeat counts as alive."""
HEALTHY_S = 15.0
CAUSE = "Redis refuses writes, so the site waits: it cannot write to its disk"


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, for the data folder and the output of `mtmc up`."""
    with small_disk(tmp_path / "site") as mounted:
        if mounted is None:
            pytest.skip("a file system can only be mounted by root")
        yield mounted


@pytest.fixture
def site_file(disk: Path) -> Path:
    """A camera in front of two objects that stand still."""
    site = small_site(disk, "")
    boxes = np.zeros((5, 21), np.float32)
    picture = np.full((48, 64, 3), 120, np.uint8)
    for column, ((x, y), colour) in enumerate(OBJECTS.values(), start=10):
        boxes[:, column] = [x / 2, y / 2 + 4, 8, 20, 0.9]  # the model sees 32 by 32 pixels, with bars above and below
        cv2.rectangle(picture, (x - 8, y - 20), (x + 8, y + 20), colour, cv2.FILLED)
    write_constant_model(disk / "detector.onnx", boxes, ("batch", 3, 32, 32), metadata={"names": "{0: 'person'}"})
    video = cv2.VideoWriter(str(disk / "north.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(6000):
        video.write(picture)
    video.release()
    site |= {"site": "room", "cameras": [{"name": "north", "source": "north.avi"}], "clock": {"target_fps": 10}}
    site |= {"association": {"min_track_frames": 1, "checkpoint_seconds": 1}, "worker": {"lease_seconds": 2}}
    path = disk / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return path


def gids_by_track(client: Client) -> dict[int, tuple[str, int]]:
    """Track in the newest entry → which object it is, and its gid; 0: none."""
    newest = client.xrevrange(KEYS.tracks("north"), count=1)
    if not newest:
        return {}
    batch, gids = TrackEntry.decode(newest[0][1]).batch, client.hgetall(KEYS.gids("north"))
    found = {}
    for track, box in zip(batch.track_ids.tolist(), batch.boxes_xyxy, strict=True):
        name = "a" if (box[0] + box[2]) / 2 < 32 else "b"
        found[track] = (name, whole(gids.get(str(track).encode())) or 0)
    return found


def everybody_is_known(client: Client) -> bool:
    found = gids_by_track(client)
    return len(found) == len(OBJECTS) and all(gid for _, gid in found.values())


def api(page: str) -> dict[str, Any]:
    """`/api/v1/site` with the status of the page; empty while it does not answer."""
    try:
        with urllib.request.urlopen(page, timeout=5) as answer:  # noqa: S310
            assert answer.status == 200
        with urllib.request.urlopen(f"{page}api/v1/site", timeout=5) as answer:  # noqa: S310
            return dict(json.load(answer))
    except OSError:
        return {}


def codes(found: dict[str, Any]) -> list[str]:
    """Of the problems; `-` if the site cannot be read."""
    return [one["code"] for one in found.get("problems", [{"code": "-"}])]


def test_processes_that_are_killed_while_the_disk_is_full_say_so_and_go_on_once_there_is_space(
    start: Callable[..., RunningSite], mtmc: CommandLine, site_file: Path, disk: Path
) -> None:
    up = start(site_file)
    page = up.wait_for_words(r"http://127\.0\.0\.1:\d+/").group()
    address = find_redis(None, read_site_file(site_file, os.environ), site_file, up.state, os.environ)
    with closing(address.connect()) as client:
        up.wait_for(lambda: everybody_is_known(client))
        up.wait_for(lambda: codes(api(page)) == [])
        before, pids = gids_by_track(client), [up.pid(name) for name in KILLED]
        with full(disk, up.output_file):
            up.wait_for(lambda: codes(api(page)) == ["redis_refuses"])
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            up.wait_for(lambda: api(page) == {})
            time.sleep(FAULT_S)
            up.wait_for(lambda: codes(api(page)) == ["redis_refuses"])
            status = mtmc("status", site_file)
            as_json = up.status()
        watch = Stopwatch()
        up.wait_for(lambda: codes(api(page)) == [] and codes(up.status()) == [])
        tick = int(client.get(KEYS.tick))
        up.wait_for(lambda: any(int(f[b"tick"]) > tick + 5 for _, f in client.xrevrange(KEYS.cycles, count=1)))
        up.wait_for(lambda: everybody_is_known(client))
        assert watch.within(HEALTHY_S)

        def others_are_ready() -> bool:
            services = up.status().get("services", ())
            return set(KILLED) < {one["role"] for one in services if one["ready"] and one["pid"] not in pids}

        up.wait_for(others_are_ready)
        after = gids_by_track(client)
        appeared = [int(fields[b"gid"]) for _, fields in client.xrange(KEYS.events) if fields[b"kind"] == b"appeared"]
    assert dict(after.values()) == dict(before.values())
    assert all(after[track] == before[track] for track in after.keys() & before.keys())
    assert len(appeared) == len(OBJECTS)
    assert status.returncode == 0, status
    assert f"{CAUSE}: free disk space there" in status.stdout
    assert "north" in status.stdout
    assert codes(as_json) == ["redis_refuses"]
    said = up.output()
    assert "Redis accepts writes again" in said
    assert "Traceback" not in said
    assert up.end(signal.SIGINT)[0] == 0
