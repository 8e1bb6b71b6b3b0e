"""The shift of the background, from pictures."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vision.tracking.background_motion import BackgroundMotion

WIDTH, HEIGHT = 640, 360
NO_BOXES = np.zeros((0, 4), np.float32)
Picture = npt.NDArray[np.uint8]


@pytest.fixture
def scene() -> Picture:
    """A picture much larger than what the camera shows, with structures of many sizes."""
    rng = np.random.default_rng(3)
    scene = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.float32)
    for size in (4, 16, 64):
        coarse = rng.normal(0.0, 1.0, (2 * HEIGHT // size + 1, 2 * WIDTH // size + 1, 1)).astype(np.float32)
        scene += cv2.resize(coarse, (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)[:, :, None]
    return np.clip(128.0 + 25.0 * scene, 0, 255).astype(np.uint8)


def view(scene: Picture, x: int, y: int, noise: int = 0) -> Picture:
    """What the camera shows when it looks at `x`, `y` of the scene."""
    part = scene[y : y + HEIGHT, x : x + WIDTH].astype(np.float32)
    return np.clip(part + np.random.default_rng(noise).normal(0.0, 3.0, part.shape), 0, 255).astype(np.uint8)


def with_object(picture: Picture, left: int, width: int) -> Picture:
    """An object with a strong pattern that covers the whole height."""
    picture = picture.copy()
    stripes = (np.arange(width) // 12 % 2 * 200).astype(np.uint8)
    picture[:, left : left + width] = stripes[None, :, None]
    return picture


@pytest.mark.parametrize("step", [(4, 0), (-30, 8), (120, -60)])
def test_a_camera_that_pans_and_tilts(scene: Picture, step: tuple[int, int]) -> None:
    motion = BackgroundMotion()
    motion.shift(view(scene, 300, 150, 1), NO_BOXES)
    found = motion.shift(view(scene, 300 + step[0], 150 + step[1], 2), NO_BOXES)
    assert found.tolist() == pytest.approx([-step[0], -step[1]], abs=1.5)


def test_a_camera_that_stands_still(scene: Picture) -> None:
    motion = BackgroundMotion()
    for noise in range(20):
        assert not motion.shift(view(scene, 300, 150, noise), NO_BOXES).any()


def test_a_large_object_that_passes_is_not_the_background(scene: Picture) -> None:
    motion, still = BackgroundMotion(), view(scene, 300, 150)
    for step in range(8):
        left = 20 + 30 * step
        boxes = np.array([[left, 0, left + 400, HEIGHT]], np.float32)
        assert not motion.shift(with_object(still, left, 400), boxes).any()


def test_detections_do_not_count_as_background(scene: Picture) -> None:
    """The camera moves, and the detected object stays where it is in the picture, because the camera follows it."""
    motion = BackgroundMotion()
    boxes = np.array([[200, 0, 420, HEIGHT]], np.float32)
    motion.shift(with_object(view(scene, 300, 150, 1), 200, 220), boxes)
    found = motion.shift(with_object(view(scene, 340, 150, 2), 200, 220), boxes)
    assert found.tolist() == pytest.approx([-40, 0], abs=1.5)


def test_another_view_is_no_shift(scene: Picture) -> None:
    motion = BackgroundMotion()
    motion.shift(view(scene, 0, 0), NO_BOXES)
    assert not motion.shift(view(scene[::-1, ::-1], 100, 100), NO_BOXES).any()


def test_a_picture_without_structure_says_nothing() -> None:
    motion, grey = BackgroundMotion(), np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    motion.shift(grey, NO_BOXES)
    assert not motion.shift(grey, NO_BOXES).any()


def test_the_first_picture_and_one_of_another_size(scene: Picture) -> None:
    motion = BackgroundMotion()
    assert not motion.shift(view(scene, 300, 150), NO_BOXES).any()
    assert not motion.shift(view(scene, 340, 150)[:200], NO_BOXES).any()
    motion.forget()
    assert not motion.shift(view(scene, 300, 150)[:200], NO_BOXES).any()


def test_pictures_stay_as_they_are(scene: Picture) -> None:
    one, other = view(scene, 300, 150), view(scene, 310, 150)
    before = one.copy(), other.copy()
    motion = BackgroundMotion()
    first = [motion.shift(picture, NO_BOXES).tolist() for picture in (one, other, one)]
    assert (one == before[0]).all()
    assert (other == before[1]).all()
    assert first[2] == pytest.approx([-value for value in first[1]], abs=0.2)
