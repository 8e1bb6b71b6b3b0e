from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from services.streamer.placeholders import Placeholders, rendered
from shared.site_state.states import CameraState


def image_of(jpeg: bytes) -> npt.NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def white(width: int, height: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), 255, np.uint8))[1].tobytes())


def test_it_is_as_large_as_the_last_picture_and_darker() -> None:
    image = image_of(rendered("gate", "stalled", "no new picture", white(480, 640)))
    assert image.shape == (640, 480, 3)
    assert image[:100].mean() < 100


@pytest.mark.parametrize("last", [None, b"", b"no picture"])
def test_without_a_picture_it_has_a_plain_background(last: bytes | None) -> None:
    assert image_of(rendered("gate", "waiting", "waiting", last)).shape == (360, 640, 3)


def test_the_text_is_visible() -> None:
    said = image_of(rendered("gate", "down", "connection refused", None)).astype(int)
    other = image_of(rendered("gate", "down", "no route to host", None)).astype(int)
    assert abs(said - other).max() > 60


@pytest.mark.parametrize("size", [(16, 16), (64, 2000), (3000, 40)])
def test_odd_sizes_and_long_texts_work(size: tuple[int, int]) -> None:
    jpeg = rendered("n" * 64, "down", "é" * 500 + " word" * 200, white(*size))
    assert image_of(jpeg).shape[:2] == (size[1], size[0])


def test_it_is_rendered_once_while_nothing_changes() -> None:
    placeholders, last = Placeholders(), white(64, 36)
    first = placeholders.jpeg(CameraState("gate", "down", "refused"), last)
    assert placeholders.jpeg(CameraState("gate", "down", "refused"), last) is first
    assert placeholders.jpeg(CameraState("gate", "down", "timed out"), last) is not first
