"""Whether a camera still looks where it looked, from generated and recorded pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vision.video.decoding import Converter
from vision.video.picture_health import FaultKind, PictureHealth
from vision.video.video_file import VideoFile
from vision.video.view_monitor import ViewChange, ViewMonitor

Image = NDArray[np.uint8]
SHARED = Path(os.environ.get("MTMC_SHARED", Path(__file__).parents[3] / ".." / "shared")).resolve()
ROOM = SHARED / "data/ufes-four-cameras/cam1.mp4"
STREET = SHARED / "data/intel-samples/people-detection.264"
PATIENCE = 40


def world(seed: int = 0) -> Image:
    """A large picture with edges everywhere, of which a camera shows a part."""
    rng = np.random.default_rng(seed)
    image = np.full((900, 1600, 3), 90, np.uint8)
    for _ in range(250):
        corner, size = rng.integers((0, 0), (1500, 800)), rng.integers(15, 160, 2)
        cv2.rectangle(image, corner.tolist(), (corner + size).tolist(), rng.integers(0, 255, 3).tolist(), -1)
    return image


def view(x: int, y: int, seed: int = 0, noise: int = 0) -> Image:
    """What a camera of 640 × 360 pixels sees at a place of the world, with walking people and noise."""
    image = world(seed)[y : y + 360, x : x + 640].copy()
    rng = np.random.default_rng((noise, 7))
    for _ in range(4):
        foot = rng.integers((0, 120), (620, 350))
        cv2.rectangle(image, foot.tolist(), np.add(foot, (22, -60)).tolist(), rng.integers(0, 255, 3).tolist(), -1)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def findings(pictures: Iterator[tuple[float, Image]]) -> list[tuple[float, ViewChange | None]]:
    """When the finding changed."""
    monitor, found = ViewMonitor(), list[tuple[float, ViewChange | None]]()
    for time_s, image in pictures:
        monitor.look(image, time_s)
        if not found or found[-1][1] != monitor.change:
            found.append((time_s, monitor.change))
    return found


def seconds(look: Callable[[int], Image], count: int = PATIENCE) -> Iterator[tuple[float, Image]]:
    return ((float(second), look(second)) for second in range(count))


def test_a_camera_that_stands_still_is_fine() -> None:
    assert findings(seconds(lambda s: view(400, 200, noise=s))) == [(0.0, None)]


def test_a_camera_that_shakes_a_little_is_fine() -> None:
    assert findings(seconds(lambda s: view(400 + s % 3, 200 - s % 2, noise=s))) == [(0.0, None)]


def test_light_that_changes_is_no_move() -> None:
    def look(second: int) -> Image:
        return (view(400, 200, noise=second) * (1.0 if second < 12 else 0.35)).astype(np.uint8)

    assert findings(seconds(look)) == [(0.0, None)]


@pytest.mark.parametrize(("x", "y"), [(440, 200), (400, 176), (340, 230), (540, 200)])
def test_a_camera_that_was_turned_is_found_with_direction_and_amount(x: int, y: int) -> None:
    found = findings(seconds(lambda s: view(400, 200, noise=s) if s < 12 else view(x, y, noise=s)))
    when_s, change = found[-1]
    assert change is not None
    assert not change.is_moving
    assert 13 <= when_s <= 20
    # A camera that turns right shifts the picture to the left.
    assert change.share_x == pytest.approx((400 - x) / 640, abs=0.01)
    assert change.share_y == pytest.approx((200 - y) / 360, abs=0.02)


def test_another_view_altogether_is_a_move_of_unknown_amount() -> None:
    found = findings(seconds(lambda s: view(400, 200, noise=s) if s < 12 else view(200, 100, seed=3, noise=s)))
    assert found[-1][1] == ViewChange(is_moving=False, share_x=None, share_y=None)


def test_a_camera_that_is_turned_back_is_fine_again() -> None:
    found = findings(seconds(lambda s: view(460 if 12 <= s < 24 else 400, 200, noise=s)))
    assert [change is None for _, change in found] == [True, False, True]


def test_a_camera_on_tour_is_moving_until_it_stops() -> None:
    found = findings(seconds(lambda s: view(100 + 40 * min(max(s - 8, 0), 14), 200, noise=s)))
    moving = [when for when, change in found if change is not None and change.is_moving]
    assert moving
    assert 9 <= moving[0] <= 12
    last = found[-1][1]
    assert last is not None
    assert not last.is_moving


def test_pictures_without_edges_say_nothing() -> None:
    assert findings(seconds(lambda s: np.full((360, 640, 3), 5 * s, np.uint8))) == [(0.0, None)]


@pytest.mark.parametrize("path", [ROOM, STREET], ids=["room", "street"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_recorded_camera_is_fine_until_it_is_turned(path: Path, turned: bool) -> None:
    if not path.exists():
        pytest.skip(f"{path} is not there; set MTMC_SHARED")

    def pictures() -> Iterator[tuple[float, Image]]:
        video, converter, last_s = VideoFile(path, "c"), Converter(), -1.0
        while (picture := video.read()) is not None:
            if picture.time_s - last_s >= 1.0:
                last_s = picture.time_s
                image = converter.image(picture.frame)
                height, width = image.shape[:2]
                shift = (round(-0.03 * height), round(0.06 * width))
                yield last_s, np.roll(image, shift, (0, 1)) if turned and last_s > 12 else image
        video.close()

    change = findings(pictures())[-1][1]
    assert (change is not None) == turned
    if change is not None and change.share_x is not None:
        assert change.share_x == pytest.approx(0.06, abs=0.015)


def test_the_message_says_when_and_how_much_and_is_remembered() -> None:
    health, ns = PictureHealth(0), 1_790_000_000 * 10**9
    for second in range(25):
        image = view(400, 200, noise=second) if second < 12 else view(440, 182, noise=second)
        health.look(image, float(second), ns + second * 10**9)
    assert health.fault is not None
    assert health.fault.kind is FaultKind.MOVED
    assert "2026-09-21 14:13:3" in health.fault.message
    assert re.search("shifted 6 % left and [45] % down", health.fault.message)
    later = PictureHealth(0, health.moved)
    for second in range(12):
        later.look(view(440, 182, noise=second), float(second), ns)
    assert later.fault == health.fault
