"""Crops of tracks: what a worker writes to `crops:{camera}`, and that it stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from services.camera_worker import preparation
from services.camera_worker.crop_publisher import LONGEST_SIDE, CropDropReason, CropPublisher, Crops
from shared.crops import (
    MOST_BYTES,
    MOST_BYTES_OF_A_CAMERA,
    MOST_TRACKS,
    TrackCrops,
    fields_of,
    read_crops,
    read_jpeg,
    tracks_with_crops,
)
from shared.keys import Keys
from shared.redis_connection import Client
from tests.integration.worker_parts import StillSource, WorkerSite, running, wait_for
from tests.running_hall import KEYS as HALL
from tests.running_hall import RunningHall

KEYS = Keys("yard")
S = 10**9


@pytest.fixture
def publisher(redis_client: Client) -> Iterator[CropPublisher]:
    publisher = CropPublisher(redis_client, KEYS, retention_seconds=60)
    yield publisher
    publisher.close()


def picture(value: int = 0, size: tuple[int, int] = (480, 640)) -> Any:
    return np.full((*size, 3), value, np.uint8)


def publish(
    publisher: CropPublisher,
    tick: int,
    tracks: dict[int, float],
    *,
    box: tuple[float, float, float, float] = (100, 100, 200, 300),
    image: Any = None,
    camera: str = "north",
) -> None:
    """Offers crops of `tracks` (track id → quality), and waits until they are published or dropped."""
    before = publisher.published + sum(publisher.dropped.values())
    image = picture(tick % 256) if image is None else image
    boxes = np.array([box] * len(tracks), np.float32)
    publisher.offer(Crops(camera, tick, tick * S, image, list(tracks), boxes, list(tracks.values())))
    wait_for(lambda: publisher.published + sum(publisher.dropped.values()) == before + len(tracks))


def shown(client: Client, track_id: int) -> TrackCrops:
    return read_crops(client, KEYS, "north", [track_id])[track_id]


def grey(client: Client, track_id: int, which: Any) -> int:
    jpeg = read_jpeg(client, KEYS, "north", track_id, which)
    assert jpeg is not None
    return int(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).mean().round())


def test_best_and_newest_crop_of_a_track_are_kept(publisher: CropPublisher, redis_client: Client) -> None:
    for tick, quality in ((50, 0.5), (100, 0.9), (150, 0.7)):
        publish(publisher, tick, {7: quality})
    crops = shown(redis_client, 7)
    assert (crops.best.tick, crops.best.quality, crops.newest.tick, crops.newest.quality) == (100, 0.9, 150, 0.7)
    assert (crops.newest.width, crops.newest.height) == (LONGEST_SIDE // 2, LONGEST_SIDE)
    assert crops.newest.bytes == len(read_jpeg(redis_client, KEYS, "north", 7, "newest") or b"")
    assert grey(redis_client, 7, "best") == pytest.approx(100, abs=3)
    assert grey(redis_client, 7, "newest") == pytest.approx(150, abs=3)
    assert 0 < redis_client.ttl(KEYS.crops("north")) <= 60


def test_crops_of_a_camera_are_bounded_in_number_and_bytes(publisher: CropPublisher, redis_client: Client) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    for first in range(0, 3 * MOST_TRACKS, 8):
        publish(publisher, 1, dict.fromkeys(range(first, first + 8), 0.5), image=noise, box=(0, 0, 480, 480))
    assert tracks_with_crops(redis_client, KEYS, "north") == list(range(3 * MOST_TRACKS - 1, 2 * MOST_TRACKS - 1, -1))
    assert redis_client.hlen(KEYS.crops("north")) == 3 * MOST_TRACKS
    content = redis_client.hgetall(KEYS.crops("north"))
    assert max(map(len, content.values())) <= MOST_BYTES
    assert sum(len(name) + len(value) for name, value in content.items()) <= MOST_BYTES_OF_A_CAMERA
    assert publisher.dropped[CropDropReason.ENCODING] == 0


def test_a_track_in_view_keeps_its_crops_however_many_others_pass(
    publisher: CropPublisher, redis_client: Client
) -> None:
    for tick in range(1, MOST_TRACKS + 10):
        publish(publisher, tick, {1: 0.5, 1000 + tick: 0.5})
    assert 1 in tracks_with_crops(redis_client, KEYS, "north")


def test_crops_go_after_the_retention_time(publisher: CropPublisher, redis_client: Client) -> None:
    publish(publisher, 10, {7: 0.5, 8: 0.5})
    publish(publisher, 40, {8: 0.5})
    publish(publisher, 71, {9: 0.5})
    assert tracks_with_crops(redis_client, KEYS, "north") == [9, 8]
    assert redis_client.hlen(KEYS.crops("north")) == 6


def test_another_worker_continues_with_what_is_there(publisher: CropPublisher, redis_client: Client) -> None:
    publish(publisher, 10, {7: 0.9})
    other = CropPublisher(redis_client, KEYS, retention_seconds=60)
    try:
        publish(other, 20, {7: 0.5, 8: 0.5})
        assert (shown(redis_client, 7).best.tick, shown(redis_client, 7).newest.tick) == (10, 20)
        publisher.forget("north")
        publish(publisher, 30, {8: 0.6})
        publish(publisher, 90, {8: 0.6})
        assert tracks_with_crops(redis_client, KEYS, "north") == [8]
    finally:
        other.close()


def test_garbage_in_the_key_is_deleted(publisher: CropPublisher, redis_client: Client) -> None:
    key = KEYS.crops("north")
    publish(publisher, 10, {7: 0.9})
    redis_client.hset(key, mapping={b"\xff": b"\xfe", "8": "{", "9:best": "x", "x": "[1]"})
    for tick in (20, 30):
        publish(publisher, tick, {7: 0.5})
    assert {name.decode() for name in redis_client.hkeys(key)} == set(fields_of(7))
    redis_client.delete(key)
    redis_client.set(key, "x")
    publish(publisher, 40, {7: 0.5})
    publish(publisher, 50, {7: 0.5})
    assert publisher.dropped[CropDropReason.REDIS] == 1
    assert shown(redis_client, 7).best.tick == 50


@pytest.mark.parametrize(
    "box",
    [(0, 0, 5, 400), (700, 100, 900, 300), (float("nan"), 0, 10, 10), (1e30, 0, -1e30, 10), (200, 200, 100, 100)],
)
def test_a_box_that_shows_nothing_has_no_crop(
    publisher: CropPublisher, redis_client: Client, box: tuple[float, float, float, float]
) -> None:
    publish(publisher, 10, {7: 0.9}, box=box)
    assert publisher.dropped[CropDropReason.ENCODING] == 1
    assert not redis_client.exists(KEYS.crops("north"))


def test_descriptions_that_cannot_be_read_are_left_out(redis_client: Client) -> None:
    good = {"tick": 1, "time_ns": 2, "width": 3, "height": 4, "quality": 0.5, "bytes": 6}
    for text in (b"", b"\xff", b"[]", b"{}", b'{"best": 1, "newest": 2}', b"[" * 100_000):
        assert TrackCrops.decode(text) is None
    for bad in ({"tick": -1}, {"tick": 2**63}, {"width": True}, {"quality": 1e999}, {"quality": "x"}, {"bytes": 1.5}):
        text = str({"best": good, "newest": good | bad}).replace("'", '"').replace("True", "true")
        assert TrackCrops.decode(text.replace("inf", "Infinity").encode()) is None, bad


def test_a_running_worker_publishes_crops(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: StillSource())
    hall = RunningHall(redis_client, redis_url, tmp_path)
    try:
        hall.wait_until_healthy("the start")
        wait_for(lambda: tracks_with_crops(redis_client, HALL, "a") and tracks_with_crops(redis_client, HALL, "b"))
        (track_id, *_) = tracks_with_crops(redis_client, HALL, "a")
        assert str(track_id).encode() in redis_client.hgetall(HALL.gids("a"))
        wait_for(lambda: hall.pages.json("/api/v1/identities?present=true&camera=a")["identities"])
        (identity, *_) = hall.pages.json("/api/v1/identities?present=true&camera=a")["identities"]
        wait_for(lambda: hall.pages.json(f"/api/v1/identities/{identity['gid']}")["crops"])
        found = hall.pages.json(f"/api/v1/identities/{identity['gid']}")
        assert found["class"] == "person"
        assert "a" in {box["camera"] for box in found["boxes"]}
        for crops in found["crops"]:
            assert hall.pages.get(crops["newest"]["url"])[2].startswith(b"\xff\xd8")
        assert "appeared" in {event["kind"] for event in hall.pages.json("/api/v1/events")["events"]}
    finally:
        hall.stop()
    assert hall.errors == []


@pytest.mark.parametrize("crops", [True, False])
def test_the_setting_decides_whether_there_are_crops(redis_client: Client, tmp_path: Path, *, crops: bool) -> None:
    site = WorkerSite(redis_client, tmp_path, "a", worker={"lease_seconds": 1.5, "crops": crops})
    with running(site) as worker:
        assert (worker.crops is not None) is crops
