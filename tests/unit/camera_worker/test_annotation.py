from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from services.camera_worker.annotation import annotate, colour_of
from services.camera_worker.names import drawable

Image = npt.NDArray[np.uint8]


def blank(width: int = 640, height: int = 480) -> Image:
    return np.full((height, width, 3), 90, np.uint8)


def drawn(image: Image, box: list[float], gids: dict[int, int], max_width: int = 10_000) -> Image:
    return annotate(image, np.array([box], np.float32), np.array([1], np.int64), gids, 7, max_width)


def has_colour(image: Image, colour: tuple[int, int, int]) -> bool:
    return bool((image == np.array(colour, np.uint8)).all(axis=2).any())


def test_the_colour_of_an_identity_never_changes() -> None:
    """Because recorded pictures, and pictures from another version, must have the same colours."""
    known = {1: (236, 82, 19), 2: (76, 240, 172), 3: (159, 15, 179), 1000: (19, 63, 236)}
    assert {gid: colour_of(gid) for gid in known} == known


def test_consecutive_identities_have_different_colours() -> None:
    colours = [np.array(colour_of(gid), int) for gid in range(1, 200)]
    for i, one in enumerate(colours):
        for other in colours[max(0, i - 4) : i]:
            assert np.abs(one - other).sum() > 60


@given(st.integers(0, 2**62))
def test_every_identity_has_a_colour(gid: int) -> None:
    assert all(0 <= part <= 255 for part in colour_of(gid))


def test_the_input_picture_is_not_changed() -> None:
    image = blank()
    image.flags.writeable = False
    before = image.copy()
    picture = drawn(image, [10, 10, 100, 100], {1: 3})
    np.testing.assert_array_equal(image, before)
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8
    assert (picture != image).any()


def test_a_box_has_its_identitys_colour_where_it_is() -> None:
    colour = colour_of(3)
    picture = drawn(blank(), [100, 200, 300, 400], {1: 3})
    assert has_colour(picture[196:204, 150:250], colour)
    assert has_colour(picture[250:350, 96:104], colour)
    assert not has_colour(picture[220:380, 120:280], colour)


def test_a_track_without_identity_is_grey_and_has_no_number() -> None:
    known, unknown = drawn(blank(), [100, 200, 300, 400], {1: 3}), drawn(blank(), [100, 200, 300, 400], {9: 3})
    assert (unknown[:, :, :1] == unknown).all(), "something is not grey"
    assert unknown[199:202, 150:250].max() > 120
    plate = (slice(150, 198), slice(100, 200))
    assert (known[plate] != 90).any()
    assert (unknown[plate] == 90).all()


def test_the_tick_is_in_the_corner() -> None:
    none = np.zeros((0, 4), np.float32)
    one, other = (annotate(blank(), none, np.zeros(0, np.int64), {}, tick, 10_000) for tick in (7, 8))
    assert (one[:30, :80] != other[:30, :80]).any()
    assert (one[100:] == 90).all()


@pytest.mark.parametrize(
    ("size", "max_width", "expected"),
    [
        ((640, 480), 320, (320, 240)),
        ((640, 480), 641, (640, 480)),
        ((1920, 1080), 960, (960, 540)),
        ((4000, 2), 64, (64, 1)),
    ],
)
def test_a_wide_picture_is_scaled_down_and_a_narrow_one_is_left(
    size: tuple[int, int], max_width: int, expected: tuple[int, int]
) -> None:
    picture = drawn(blank(*size), [0, 0, 10, 10], {1: 3}, max_width)
    assert picture.shape == (expected[1], expected[0], 3)


def test_boxes_are_scaled_with_the_picture() -> None:
    picture = drawn(blank(), [200, 200, 400, 400], {1: 3}, 320)
    assert has_colour(picture[97:103, 110:190], colour_of(3))


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(np.float32, (3, 4), elements=st.floats(width=32)),
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(-(2**63), 2**63 - 1),
)
def test_boxes_anywhere_and_pictures_of_any_size_can_be_drawn(
    boxes: npt.NDArray[np.float32], width: int, height: int, gid: int
) -> None:
    picture = annotate(blank(width, height), boxes, np.arange(3), {0: gid, 1: 2**62}, 2**62, 30)
    assert picture.shape[1] == min(30, width)


def test_a_box_far_outside_leaves_the_picture_as_it_is() -> None:
    picture = drawn(blank(), [5000, 5000, 1e9, 1e30], {2: 3})
    empty = annotate(blank(), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), {}, 7, 10_000)
    np.testing.assert_array_equal(picture, empty)


def test_the_title_stands_before_the_tick() -> None:
    none = np.zeros((0, 4), np.float32)
    plain, titled = (
        annotate(blank(), none, np.zeros(0, np.int64), {}, 7, 10_000, title) for title in (None, "Käfertaler Straße")
    )
    assert (plain != titled).any()


def test_a_name_is_drawn_beside_the_id() -> None:
    box = np.array([[100, 200, 300, 400]], np.float32)
    tracks = np.array([1], np.int64)
    plain, named, other = (
        annotate(blank(), box, tracks, {1: 3}, 7, 10_000, None, names)
        for names in (None, {3: "the red van"}, {4: "the red van"})
    )
    assert np.array_equal(plain, other)
    assert (named[170:200, 140:220] != plain[170:200, 140:220]).any()


def test_names_are_drawn_in_letters_that_opencv_has() -> None:
    assert [drawable(name) for name in ("Zoë", "the van", "猫", "Łódź 7")] == ["Zoe", "the van", "", "?odz 7"]
