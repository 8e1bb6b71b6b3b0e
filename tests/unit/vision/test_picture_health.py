"""Whether pictures show anything."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vision.video.picture_health import BLANK_S, FaultKind, PictureHealth

SIZE = (240, 320)


def plain(blue: int, green: int, red: int) -> NDArray[np.uint8]:
    return np.full((*SIZE, 3), (blue, green, red), np.uint8)


def scene(seed: int = 0) -> NDArray[np.uint8]:
    return np.kron(np.random.default_rng(seed).integers(0, 256, (15, 20, 3), np.uint8), np.ones((16, 16, 1), np.uint8))


def kind_after(health: PictureHealth, pictures: list[NDArray[np.uint8]], step_s: float = 0.5) -> FaultKind | None:
    for number, image in enumerate(pictures):
        health.look(image, 100 + number * step_s, 0)
    return None if health.fault is None else health.fault.kind


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (plain(0, 0, 0), "black"),
        (plain(16, 18, 14), "black"),
        (plain(130, 130, 130), "grey"),  # what a decoder shows for missing pictures
        (plain(0, 135, 0), "green"),  # zeros, converted from YUV
        (plain(255, 255, 255), "white"),
    ],
)
def test_a_picture_of_one_colour_is_a_fault_after_a_while(image: NDArray[np.uint8], colour: str) -> None:
    noise = np.random.default_rng(0).integers(0, 3, image.shape, np.uint8)
    noisy = np.minimum(image.astype(int) + noise, 255).astype(np.uint8)
    health = PictureHealth(0)
    assert kind_after(health, [noisy] * 4) is None
    assert kind_after(health, [noisy] * 5) is FaultKind.BLANK
    assert health.fault is not None
    assert f"all {colour}" in health.fault.message


@pytest.mark.parametrize("image", [plain(90, 90, 90), plain(200, 120, 30), scene(), plain(110, 140, 160)])
def test_other_pictures_are_no_fault(image: NDArray[np.uint8]) -> None:
    assert kind_after(PictureHealth(0), [image] * 30) is None


def test_a_dark_scene_with_a_light_in_it_is_no_fault() -> None:
    night = plain(8, 8, 8)
    night[100:140, 100:160] = 90
    assert kind_after(PictureHealth(0), [night] * 30) is None


def test_a_short_black_moment_is_no_fault() -> None:
    pictures = [scene(), *[plain(0, 0, 0)] * int(BLANK_S / 0.5), scene(1)]
    assert kind_after(PictureHealth(0), pictures) is None


def test_a_picture_that_does_not_change_is_frozen_until_it_changes() -> None:
    health = PictureHealth(3.0)
    assert kind_after(health, [scene()] * 6) is None
    assert kind_after(health, [scene()] * 7) is FaultKind.FROZEN
    assert health.fault is not None
    assert "has not changed for 3 s" in health.fault.message
    health.look(scene(1), 110.0, 0)
    assert health.fault is None


def test_a_small_object_that_moves_is_a_change() -> None:
    pictures = []
    for number in range(20):
        image = scene()
        image[64:80, 8 * number : 8 * number + 16] = 255
        pictures.append(image)
    assert kind_after(PictureHealth(3.0), pictures) is None


def test_the_noise_of_encoding_is_no_change() -> None:
    rng = np.random.default_rng(0)
    base = scene().astype(int)
    pictures = [np.clip(base + rng.integers(-2, 3, base.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    assert kind_after(PictureHealth(3.0), pictures) is FaultKind.FROZEN


def test_freezing_can_be_turned_off_and_reopening_forgets() -> None:
    assert kind_after(PictureHealth(0), [scene()] * 100) is None
    health = PictureHealth(3.0)
    assert kind_after(health, [scene()] * 7) is FaultKind.FROZEN
    health.reset()
    assert health.fault is None
    health.look(scene(), 200.0, 0)
    assert health.fault is None


def test_it_looks_only_now_and_then_also_when_time_goes_back() -> None:
    health = PictureHealth(3.0)
    assert health.is_due(5.0)
    health.look(scene(), 5.0, 0)
    assert not health.is_due(5.4)
    assert health.is_due(5.5)
    assert health.is_due(0.0)
