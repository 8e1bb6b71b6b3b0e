from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from services.streamer import scaling
from services.streamer.pictures import Shown
from services.streamer.scaling import Scaling, wall_topic
from shared.frames import FrameEntry
from tests.integration.streamer_site import numbered_jpeg, wait_until


def shown(version: int) -> Shown:
    jpeg = numbered_jpeg(version)
    return Shown(version, version, jpeg, FrameEntry("a", version, 0, 320, 180, jpeg))


def image_of(jpeg: bytes) -> npt.NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def size_of(jpeg: bytes) -> tuple[int, int]:
    height, width = image_of(jpeg).shape[:2]
    return width, height


class Announced:
    """Counts what was announced."""

    def __init__(self) -> None:
        self.topics: list[Hashable] = []

    def __call__(self, topic: Hashable) -> None:
        self.topics.append(topic)


@pytest.fixture
def announced() -> Announced:
    return Announced()


@pytest.fixture
def made(announced: Announced) -> Iterator[Scaling]:
    scaling = Scaling(80, announced)
    yield scaling
    scaling.close()


def test_it_keeps_the_proportions_and_never_enlarges(made: Scaling) -> None:
    assert size_of(made.once(numbered_jpeg(1), 160)) == (160, 90)
    jpeg = numbered_jpeg(1)
    assert made.once(jpeg, 320) is jpeg
    assert made.once(jpeg, 640) is jpeg
    assert made.once(jpeg, 320, width_before=10_000) is jpeg, "a wrong width does no harm"
    assert made.once(b"\xff\xd8 no picture", 160) == b"\xff\xd8 no picture"


@pytest.mark.parametrize("width", [160, 240, 320, 480])
def test_a_much_wider_picture_keeps_its_colours(made: Scaling, width: int) -> None:
    jpeg = numbered_jpeg(7, size=(1280, 720))
    small = made.once(jpeg, width, width_before=1280)
    assert size_of(small) == (width, width * 9 // 16)
    difference = np.abs(image_of(small).astype(int) - image_of(made.once(jpeg, width)))
    assert difference.mean() < 2


def test_a_picture_is_scaled_once_for_all_viewers_of_a_width(
    made: Scaling, announced: Announced, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    all_wait = threading.Event()
    scaled_jpeg = scaling.scaled_jpeg

    def scale(*options: Any) -> bytes:
        calls.append(options)
        all_wait.wait(60)
        return scaled_jpeg(*options)

    monkeypatch.setattr(scaling, "scaled_jpeg", scale)
    viewers = [made.open("a", 160) for _ in range(3)]
    assert [viewer.newest(shown(1), -1) for viewer in viewers] == [None] * 3
    all_wait.set()
    wait_until(lambda: announced.topics, "it was scaled")
    got = [viewer.newest(shown(1), -1) for viewer in viewers]
    assert got[0] is not None
    assert got == [got[0]] * 3
    assert size_of(got[0].jpeg) == (160, 90)
    assert (got[0].version, got[0].picture) == (1, shown(1).picture)
    assert len(calls) == 1


def test_nothing_is_scaled_that_nobody_waits_for(made: Scaling, announced: Announced) -> None:
    viewer = made.open("a", 160)
    assert viewer.newest(shown(1), -1) is None
    wait_until(lambda: announced.topics == [("a", 160)], "it was scaled")
    for version in range(2, 6):
        made.arrived("a", shown(version), None)
    assert viewer.newest(shown(5), 1) is None
    wait_until(lambda: len(announced.topics) == 2, "the newest one was scaled")
    newest = viewer.newest(shown(5), 1)
    assert newest is not None
    assert newest.version == 5


def test_viewers_get_pictures_even_if_a_newer_one_always_arrives_first(
    made: Scaling, announced: Announced, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()
    monkeypatch.setattr(scaling, "scaled_jpeg", lambda jpeg, *others: may_end.wait(60) and jpeg)
    viewer = made.open("a", 160)
    assert viewer.newest(shown(1), -1) is None
    made.arrived("a", shown(2), None)
    may_end.set()
    wait_until(lambda: announced.topics, "the first one was scaled")
    got = viewer.newest(shown(2), -1)
    assert got is not None
    assert got.version == 1


def test_a_page_that_has_a_newer_picture_does_not_get_an_older_one(made: Scaling, announced: Announced) -> None:
    page = made.open("a", 160, for_wall=True)
    assert page.newest(shown(1), -1) is None
    wait_until(lambda: announced.topics == [wall_topic(160)], "it was scaled")
    assert page.newest(shown(3), 2) is None
    wait_until(lambda: len(announced.topics) == 2, "the newest one was scaled")
    newest = page.newest(shown(3), 2)
    assert newest is not None
    assert newest.version == 3


def test_a_picture_that_is_not_wider_is_passed_on_at_once(made: Scaling, announced: Announced) -> None:
    page = made.open("a", 320, for_wall=True)
    picture = shown(1)
    assert page.newest(picture, -1) is None
    assert announced.topics == [wall_topic(320)]
    assert page.newest(picture, -1) is picture


def test_pages_get_the_pictures_that_placeholders_stand_in_for(made: Scaling, announced: Announced) -> None:
    page, viewer = made.open("a", 320, for_wall=True), made.open("a", 320)
    assert page.newest(None, -1) is None
    assert viewer.newest(None, -1) is None
    placeholder, picture = replace(shown(2), picture=None), shown(1)
    made.arrived("a", placeholder, picture)
    wait_until(lambda: len(announced.topics) == 2, "both were scaled")
    assert page.newest(picture, -1) is picture
    found = viewer.newest(placeholder, -1)
    assert found is not None
    assert found.picture is None


def test_nothing_is_kept_after_the_last_viewer_has_left(made: Scaling, announced: Announced) -> None:
    first, second = made.open("a", 160), made.open("a", 160)
    assert first.newest(shown(1), -1) is None
    wait_until(lambda: announced.topics, "it was scaled")
    made.left(first)
    assert made.open("a", 160) is second
    made.left(second)
    made.left(second)
    assert made.open("a", 160).newest(None, -1) is None
