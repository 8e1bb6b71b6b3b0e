from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from services.camera_worker import picture_publisher as pictures_module
from services.camera_worker.annotation import annotate
from services.camera_worker.names import Names
from services.camera_worker.picture_failures import DropReason
from services.camera_worker.picture_publisher import Drawing, PicturePublisher
from shared.backoff import Backoff
from shared.config import StreamerConfig
from shared.frames import FrameEntry
from shared.keys import Keys
from shared.redis_connection import Client, connect

KEYS = Keys("yard")
SETTINGS = StreamerConfig.model_construct(max_width=30, jpeg_quality=80)


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def picture(camera: str, tick: int, image: Any = None, gid: Any = 7) -> Drawing:
    return Drawing(
        camera,
        tick,
        tick * 100,
        None,
        np.full((40, 60, 3), 90, np.uint8) if image is None else image,
        np.array([[5, 5, 20, 30]], np.float32),
        np.array([1], np.int64),
        {1: gid},
        np.array([0], np.int16),
        ["car"],
    )


class Annotating:
    """Blocks the annotation of pictures until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.order: list[int] = []
        original = annotate

        def slow(image: Any, boxes: Any, tracks: Any, gids: Any, tick: int, *rest: Any) -> Any:
            self.order.append(tick)
            self.entered.set()
            assert self.go_on.wait(10)
            return original(image, boxes, tracks, gids, tick, *rest)

        monkeypatch.setattr(pictures_module, "annotate", slow)


@pytest.fixture
def publisher(redis_client: Client) -> Iterator[PicturePublisher]:
    publisher = PicturePublisher(redis_client, KEYS, SETTINGS)
    yield publisher
    publisher.close()


def published(publisher: PicturePublisher, count: int) -> bool:
    return publisher.published == count


def dropped(publisher: PicturePublisher, reason: DropReason, count: int) -> bool:
    return publisher.dropped[reason] == count


def shown(client: Client, camera: str) -> list[int]:
    return [int(fields[b"tick"]) for _, fields in client.xrange(KEYS.frames(camera))]


def test_a_picture_is_published_with_its_size_and_time(redis_client: Client, publisher: PicturePublisher) -> None:
    publisher.offer(picture("north", 4))
    wait_for(lambda: publisher.published == 1)
    fields = redis_client.xrange(KEYS.frames("north"))[0][1]
    assert (fields[b"tick"], fields[b"time_ns"], fields[b"width"], fields[b"height"]) == (b"4", b"400", b"30", b"20")
    decoded = cv2.imdecode(np.frombuffer(fields[b"jpeg"], np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (20, 30, 3)


def test_a_picture_comes_with_the_boxes_that_are_drawn_in_it(redis_client: Client, publisher: PicturePublisher) -> None:
    publisher.offer(
        dataclasses.replace(
            picture("north", 4),
            boxes_xyxy=np.array([[5, 5, 20, 30], [-9, 10, 90, np.nan], [0, 0, 60, 40]], np.float32),
            track_ids=np.array([1, 2, 3], np.int64),
            gids={1: 7, 2: 8},
            class_ids=np.array([1, 0, 9], np.int16),
            class_names=["person", "car"],
        )
    )
    wait_for(lambda: publisher.published == 1)
    fields = redis_client.xrange(KEYS.frames("north"))[0][1]
    found = FrameEntry.decode("north", fields).boxes
    assert found == ((7, 2, 2, 10, 15, "car"), (8, 0, 5, 30, 0, "person"), (None, 0, 0, 30, 20, ""))


def test_only_the_last_two_pictures_are_kept_for_an_hour(redis_client: Client, publisher: PicturePublisher) -> None:
    for tick in range(1, 6):
        publisher.offer(picture("north", tick))
        wait_for(partial(published, publisher, tick))
    assert shown(redis_client, "north") == [4, 5]
    assert 3590 < redis_client.ttl(KEYS.frames("north")) <= 3600


def test_a_newer_picture_replaces_a_waiting_one_and_the_drop_is_counted(
    redis_client: Client, publisher: PicturePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotating = Annotating(monkeypatch)
    publisher.offer(picture("north", 1))
    assert annotating.entered.wait(10)
    for tick in (2, 3, 4):
        publisher.offer(picture("north", tick))
    publisher.offer(picture("south", 5))
    publisher.offer(picture("north", 6))
    annotating.go_on.set()
    wait_for(lambda: publisher.published == 3)
    assert annotating.order == [1, 6, 5], "a camera with many pictures keeps its place in the queue"
    assert publisher.dropped[DropReason.REPLACED] == sum(publisher.dropped.values()) == 3
    assert shown(redis_client, "north") == [1, 6]


def test_offering_never_waits_for_the_drawing(publisher: PicturePublisher, monkeypatch: pytest.MonkeyPatch) -> None:
    annotating = Annotating(monkeypatch)
    for tick in range(200):
        publisher.offer(picture("north", tick))
    assert len(annotating.order) <= 1
    annotating.go_on.set()


@pytest.mark.parametrize("image", [np.zeros((0, 9, 3), np.uint8), np.zeros((9, 9, 2), np.uint8)])
def test_a_picture_that_cannot_be_drawn_does_not_stop_the_others(
    redis_client: Client, publisher: PicturePublisher, image: Any
) -> None:
    publisher.offer(picture("bad", 1, image))
    wait_for(lambda: publisher.dropped[DropReason.ENCODING] == 1)
    publisher.offer(picture("north", 2))
    wait_for(lambda: shown(redis_client, "north") == [2])


def test_a_picture_that_cannot_be_encoded_is_counted_and_logged_once(
    redis_client: Client, publisher: PicturePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures_module.cv2, "imencode", lambda *_: (False, np.zeros(0, np.uint8)))
    with capture_logs() as logs:
        for tick in (1, 2):
            publisher.offer(picture("north", tick))
            wait_for(partial(dropped, publisher, DropReason.ENCODING, tick))
    assert publisher.published == 0
    assert shown(redis_client, "north") == []
    assert [(entry["camera"], entry["tick"], entry["reason"]) for entry in logs] == [
        ("north", 1, "OpenCV encoded no JPEG of 30×20 pixels")
    ]


@pytest.mark.parametrize("gid", ["seven", 10**400], ids=["text", "huge"])
def test_an_unexpected_exception_delays_no_other_camera_and_is_retried(redis_client: Client, gid: Any) -> None:
    with capture_logs() as logs:
        publisher = PicturePublisher(redis_client, KEYS, SETTINGS, make_backoff=lambda: Backoff(600.0, 600.0))
        publisher.offer(picture("bad", 1, gid=gid))
        wait_for(lambda: publisher.restarts == 1)
        publisher.offer(picture("bad", 2))
        publisher.offer(picture("north", 3))
        wait_for(lambda: shown(redis_client, "north") == [3])
        assert publisher.dropped[DropReason.ERROR] == 2, "the failed one, and the one that came before the retry"
        publisher._failures._failing["bad"].retry_at_s = 0.0  # ten minutes later
        ticks = iter(range(4, 10**6))

        def shown_again() -> bool:
            publisher.offer(picture("bad", next(ticks)))
            return shown(redis_client, "bad") != []

        wait_for(shown_again)
        publisher.close()
    assert publisher.restarts == 1
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [(entry["camera"], entry["tick"], entry["retry_in_s"]) for entry in errors] == [("bad", 1, 600.0)]
    assert isinstance(errors[0]["exc_info"], TypeError | OverflowError)


def test_a_full_redis_stops_nothing(redis_client: Client, publisher: PicturePublisher) -> None:
    redis_client.set(KEYS.frames("north"), "of a wrong type, so that Redis refuses")
    publisher.offer(picture("north", 1))
    wait_for(lambda: publisher.dropped[DropReason.REDIS] == 1)
    publisher.offer(picture("south", 2))
    wait_for(lambda: shown(redis_client, "south") == [2])


def test_pictures_continue_when_redis_is_back(redis_process: Any) -> None:
    client = connect(redis_process.url)
    publisher = PicturePublisher(client, KEYS, SETTINGS)
    redis_process.kill()
    publisher.offer(picture("north", 1))
    wait_for(lambda: publisher.dropped[DropReason.REDIS] == 1)
    redis_process.start()
    publisher.offer(picture("north", 2))
    wait_for(lambda: shown(client, "north") == [2])
    publisher.close()


def test_closing_drops_waiting_pictures_and_returns_soon(
    publisher: PicturePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotating = Annotating(monkeypatch)
    publisher.offer(picture("north", 1))
    assert annotating.entered.wait(10)
    publisher.offer(picture("north", 2))
    annotating.go_on.set()
    publisher.close()
    assert publisher.published == 1


def test_names_of_identities_are_read_once_a_second_and_survive_an_outage(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.camera_worker.names._READ_EVERY_S", 3600.0)
    names = Names(redis_client, KEYS)
    redis_client.hset(KEYS.names, mapping={"7": "Zoë", "x": "no gid", "8": b"\xff\xfe"})
    assert names.current() == {7: "Zoe"}
    redis_client.hset(KEYS.names, "7", "Ann")
    assert names.current() == {7: "Zoe"}, "it was read a moment ago"
    names._read_at = 0.0
    assert names.current() == {7: "Ann"}
    redis_client.delete(KEYS.names)
    redis_client.set(KEYS.names, "something else")
    names._read_at = 0.0
    assert names.current() == {7: "Ann"}


def test_a_published_picture_shows_the_name(redis_client: Client, redis_url: str) -> None:
    seen = []
    for name in ("", "Ann"):
        if name:
            redis_client.hset(KEYS.names, "7", name)
        publisher = PicturePublisher(redis_client, KEYS, SETTINGS, names=Names(redis_client, KEYS))
        publisher.offer(picture("a", len(seen) + 1))
        wait_for(lambda done=publisher: done.published)
        seen.append(redis_client.xrevrange(KEYS.frames("a"), count=1)[0][1][b"jpeg"])
        publisher.close()
    assert seen[0] != seen[1]
