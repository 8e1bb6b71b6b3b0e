"""Which detections can be the object of a track."""

from __future__ import annotations

import numpy as np
import pytest

from vision.tracking import motion
from vision.tracking.gating import class_agreement, reach, within_reach

SIZE = (640, 360)


def box(x: float, y: float, width: float = 60.0, height: float = 40.0) -> list[float]:
    return [x, y, x + width, y + height]


def near(expected: list[float], detected: list[float], may_move: float = 0.0) -> bool:
    found = within_reach(np.array([expected]), np.full((1, 2), may_move), np.array([detected]), SIZE)
    return bool(found.item())


@pytest.mark.parametrize(
    ("dx", "dy", "may_move", "expected"),
    [
        (15, 0, 0.0, True),  # a quarter of the width
        (21, 0, 0.0, False),  # 0.35
        (21, 0, 0.1, True),
        (0, 10, 0.0, True),
        (0, 14, 0.0, False),
        (15, 10, 0.0, True),  # each axis counts alone
        (-21, 0, 0.0, False),
        (0, -14, 0.1, True),
    ],
)
def test_a_box_may_be_off_by_a_share_of_its_size_and_what_it_may_have_moved(
    dx: float, dy: float, may_move: float, expected: bool
) -> None:
    assert near(box(300, 150), box(300 + dx, 150 + dy), may_move) is expected


def test_a_much_larger_box_at_the_same_place_is_another_object() -> None:
    assert not near(box(300, 150, 60, 40), box(270, 130, 120, 80))
    assert near(box(300, 150, 60, 40), box(294, 146, 72, 48))


@pytest.mark.parametrize(
    ("expected", "detected"),
    [(box(0, 100, 40, 40), box(0, 109, 38, 40)), (box(600, 100, 40, 40), box(604, 91, 36, 40))],
    ids=["left", "right"],
)
def test_boxes_that_the_border_cuts_off_at_the_side_must_stand_at_one_height(
    expected: list[float], detected: list[float]
) -> None:
    assert not near(expected, detected)
    assert near(expected, detected, 0.1)
    inside = np.array([50, 0, 50, 0])
    clear = [(np.array(one) * [0.8, 1, 0.8, 1] + inside).tolist() for one in (expected, detected)]
    assert near(clear[0], clear[1])  # the same boxes away from the border


def test_at_the_border_the_upper_edge_and_the_width_say_little() -> None:
    assert near(box(0, 100, 40, 40), box(0, 110, 26, 30))


def test_without_the_size_of_the_picture_nothing_is_cut_off() -> None:
    boxes = np.array([box(0, 100, 40, 40)]), np.array([box(0, 109, 38, 40)])
    assert not within_reach(boxes[0], np.zeros((1, 2)), boxes[1], SIZE).item()
    assert within_reach(boxes[0], np.zeros((1, 2)), boxes[1], None).item()


def test_reach_is_in_sizes_and_grows_with_speed_doubt_and_time() -> None:
    states = np.zeros((3, 5, 4))
    states[:, motion.POSITION] = [100, 100, 50, 20]
    states[1, motion.SPEED, :2] = [-100, 10]
    states[2, motion.SPEED_VARIANCE, :2] = 400
    found = reach(states, np.array([0.2, 0.2, 0.5]))
    assert found == pytest.approx(np.array([[0, 0], [0.4, 0.1], [0.2, 0.5]]))


def agreement(votes: list[float], detected: int) -> float:
    return class_agreement(np.array([votes]), np.int16([2, 7]), np.int16([detected])).item()


@pytest.mark.parametrize(
    ("votes", "detected", "expected"),
    [
        ([4.0, 0.0], 2, 1.0),
        ([4.0, 0.0], 7, 0.5),
        ([0.0, 4.0], 7, 1.0),
        ([3.0, 1.0], 2, 0.875),
        ([3.0, 1.0], 7, 0.625),
        ([3.0, 1.0], 5, 0.5),  # no track has had this class
        ([0.5, 0.0], 7, 0.875),  # the class of a new track is not sure
        ([0.0, 0.0], 7, 1.0),
    ],
)
def test_a_track_agrees_with_the_classes_that_it_has_had(votes: list[float], detected: int, expected: float) -> None:
    assert agreement(votes, detected) == pytest.approx(expected)


def test_before_any_class_is_known_all_agree() -> None:
    assert class_agreement(np.zeros((2, 0)), np.zeros(0, np.int16), np.int16([2, 7])).tolist() == [1, 1]
