"""Pictures in a stream of bytes."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from vision.video.picture_splitter import PictureSplitter

BETWEEN = [b"", b"--b\r\nContent-Type: image/jpeg\r\n\r\n", b"\r\n--x\r\n\r\n\xff\xfe", b"text \xff\xd8 and text"]


def pictures() -> list[bytes]:
    """Baseline and progressive JPEG, with and without restart markers, and PNG, of pixels that hold any byte."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(24):
        image = rng.integers(0, 256, (60 + number, 80, 3), np.uint8)
        options = [cv2.IMWRITE_JPEG_PROGRESSIVE, number % 2, cv2.IMWRITE_JPEG_RST_INTERVAL, 3 * (number % 3)]
        kind, options = (".png", []) if number % 4 == 3 else (".jpg", options)
        found.append(cv2.imencode(kind, image, options)[1].tobytes())
    return found


@pytest.mark.parametrize("size", [1, 7, 1000, 10**7])
def test_every_picture_is_found_whatever_is_between_and_however_the_stream_is_cut(size: int) -> None:
    whole, rng, splitter = pictures(), random.Random(size), PictureSplitter()
    stream = b"".join(rng.choice(BETWEEN) + picture for picture in whole)
    found = [
        picture for start in range(0, len(stream), size) for picture in splitter.feed(stream[start : start + size])
    ]
    assert found == whole
    assert splitter.damaged == 0


def test_a_picture_that_was_cut_off_costs_no_other() -> None:
    jpegs = [picture for picture in pictures() if picture.startswith(b"\xff\xd8")]
    splitter = PictureSplitter()
    found = splitter.feed(jpegs[0] + jpegs[1][:500] + jpegs[2] + jpegs[3][:10] + b"junk" * 10 + jpegs[4])
    assert found == [jpegs[0], jpegs[2], jpegs[4]]
    assert splitter.damaged == 2


def test_random_bytes_hold_no_picture_and_no_memory() -> None:
    splitter, rng = PictureSplitter(), np.random.default_rng(0)
    for _ in range(50):
        splitter.feed(rng.integers(0, 256, 20_000, np.uint8).tobytes())
    assert len(splitter._data) < 1_100_000
