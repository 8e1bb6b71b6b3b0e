from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from vision.tracking.quality import LEAST_HEIGHT_PX, box_quality, usable_crops

WIDTH, HEIGHT = 640, 360


def quality(*boxes: tuple[float, ...], scores: list[float] | None = None) -> npt.NDArray[np.float32]:
    return box_quality(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores or [1.0] * len(boxes), np.float32),
        WIDTH,
        HEIGHT,
    )


edge = st.floats(-50, 700, width=32)


@given(st.lists(st.tuples(edge, edge, edge, edge, st.floats(0, 1, width=32)), max_size=12))
def test_quality_is_always_between_zero_and_one(rows: list[tuple[float, ...]]) -> None:
    result = quality(*(row[:4] for row in rows), scores=[row[4] for row in rows])

    assert result.dtype == np.float32
    assert result.shape == (len(rows),)
    assert ((result >= 0) & (result <= 1)).all()


def test_a_higher_score_and_a_larger_box_have_a_higher_quality() -> None:
    assert quality((100, 100, 140, 200), scores=[0.9]) > quality((100, 100, 140, 200), scores=[0.5])
    small, middle, large, huge = (quality((100, 10, 140, 10 + height))[0] for height in (20, 80, 160, 320))
    assert small < middle < large < huge
    assert middle - small > large - middle > huge - large


def test_the_nearer_box_occludes_the_farther_one_and_not_vice_versa() -> None:
    behind, nearer = (100, 50, 160, 200), (130, 60, 190, 260)
    alone_behind, alone_nearer = quality(behind)[0], quality(nearer)[0]

    together = quality(behind, nearer)

    hidden = 30 * 140 / (60 * 150)
    np.testing.assert_allclose(together, [alone_behind * (1 - hidden), alone_nearer], rtol=1e-5)


def test_a_fully_occluded_box_has_quality_zero() -> None:
    assert quality((100, 100, 120, 150), (90, 90, 140, 300))[0] == 0


def test_two_boxes_with_the_same_lower_edge_do_not_occlude_each_other() -> None:
    box = (100, 50, 160, 200)

    assert quality(box, box).tolist() == quality(box).tolist() * 2


def test_every_truncated_side_lowers_the_quality() -> None:
    free = quality((100, 100, 150, 200))[0]

    np.testing.assert_allclose(quality((0, 100, 50, 200))[0], free * 0.7, rtol=1e-5)
    np.testing.assert_allclose(quality((590, 260, 640, 360))[0], free * 0.49, rtol=1e-5)
    np.testing.assert_allclose(quality((100, 1, 150, 101))[0], free * 0.7, rtol=1e-5)


def test_a_box_without_area_has_quality_zero() -> None:
    assert quality((100, 100, 100, 200), (50, 50, 40, 60)).tolist() == [0, 0]
    assert quality().shape == (0,)


def test_a_crop_is_usable_unless_it_is_hidden_small_or_cut_at_two_sides() -> None:
    def usable(*boxes: tuple[float, ...]) -> list[bool]:
        return usable_crops(np.array(boxes, np.float32).reshape(-1, 4), WIDTH, HEIGHT).tolist()

    assert usable() == []
    assert usable((100, 100, 150, 200)) == [True]
    assert usable((100, 100, 150, 200), (100, 140, 150, 260)) == [False, True]  # more than half is hidden
    assert usable((100, 100, 150, 200), (100, 160, 150, 260)) == [True, True]
    assert usable((100, 100, 120, 100 + LEAST_HEIGHT_PX - 1)) == [False]
    assert usable((0, 100, 50, 200)) == [True]
    assert usable((0, 0, 50, 100)) == [False]
    assert usable((590, 260, 640, 360)) == [False]
