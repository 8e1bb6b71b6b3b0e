from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from services.streamer.pictures import Pictures
from shared.frames import FrameEntry


def picture(tick: int, camera: str = "a") -> FrameEntry:
    return FrameEntry(camera, tick, 0, 1, 1, b"jpeg %d" % tick)


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    made = Pictures()
    yield made
    made.close()


def test_the_newest_picture_wins(pictures: Pictures) -> None:
    for tick in range(3):
        pictures.put(picture(tick))
    shown = pictures.shown("a")
    assert shown is not None
    assert (shown.picture, shown.count) == (picture(2), 3)
    assert pictures.shown("a") is shown


def test_a_viewer_is_told_of_its_own_camera_after_the_change() -> None:
    told = []
    pictures = Pictures(lambda camera: told.append((camera, pictures.shown(camera))))
    pictures.put(picture(1, "b"))
    pictures.put(picture(7, "a"))
    assert [(camera, shown.picture.tick) for camera, shown in told if shown and shown.picture] == [("b", 1), ("a", 7)]


def test_closing_ends_every_wait(pictures: Pictures) -> None:
    thread = threading.Thread(target=pictures.newest, args=("a", 60))
    thread.start()
    pictures.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_placeholder_is_repeated_only_after_a_second_and_a_new_one_is_shown_at_once(pictures: Pictures) -> None:
    waiting, down = b"waiting", b"down"
    now = time.monotonic()
    pictures.put_placeholder("a", waiting, now)
    first = pictures.shown("a")
    assert first is not None
    pictures.put_placeholder("a", waiting, now)
    assert pictures.shown("a") is first
    pictures.put_placeholder("a", down, now)
    second = pictures.shown("a")
    assert second is not None
    assert (second.jpeg, second.picture) == (down, None)


def test_an_outdated_placeholder_does_not_hide_the_newest_picture(pictures: Pictures) -> None:
    judged_at = time.monotonic()
    pictures.put(picture(1))
    pictures.put_placeholder("a", b"stalled", judged_at)
    shown = pictures.shown("a")
    assert shown is not None
    assert shown.picture == picture(1)


def test_an_old_picture_is_not_shown_as_new(pictures: Pictures) -> None:
    pictures.put(picture(1))
    pictures.open("a")
    assert pictures.shown("a") is None
    pictures.was_read(["a"], time.monotonic())
    pictures.end_placeholder("a")
    shown = pictures.shown("a")
    assert shown is not None
    assert shown.picture == picture(1)
