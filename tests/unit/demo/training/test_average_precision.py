"""Average precision on cases small enough to be counted by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from demo.training.average_precision import Found, Present, average_precision, iou, judge_detections

BOX = (0.0, 0.0, 10.0, 10.0)
OTHER = (50.0, 50.0, 70.0, 60.0)
FAR = (200.0, 200.0, 220.0, 210.0)


def found(*rows: tuple[Sequence[float], float]) -> Found:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Found(boxes, np.array([score for _, score in rows], np.float32))


def present(*rows: tuple[Sequence[float], bool]) -> Present:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Present(boxes, np.array([counts for _, counts in rows], np.bool_))


def test_finding_everything_and_nothing_else_is_perfect() -> None:
    pictures = [(found((BOX, 0.9), (OTHER, 0.4)), present((OTHER, True), (BOX, True))), (found(), present())]

    assert average_precision(pictures) == 1.0


def test_a_false_detection_above_the_only_right_one_halves_the_precision() -> None:
    assert average_precision([(found((FAR, 0.9), (BOX, 0.8)), present((BOX, True)))]) == pytest.approx(0.5)


def test_a_false_detection_below_all_right_ones_costs_nothing() -> None:
    assert average_precision([(found((FAR, 0.1), (BOX, 0.8)), present((BOX, True)))]) == 1.0


def test_a_missed_object_costs_its_share_of_the_recall() -> None:
    # Recall ends at one half; 51 of the 101 levels are at or below it.
    assert average_precision([(found((BOX, 0.8)), present((BOX, True), (OTHER, True)))]) == pytest.approx(51 / 101)


def test_the_second_detection_of_an_object_is_false() -> None:
    right, counts = judge_detections(found((BOX, 0.9), (BOX, 0.8)), present((BOX, True)), 0.5)

    assert (right.tolist(), counts.tolist()) == ([True, False], [True, True])


def test_an_object_that_does_not_count_is_neither_missed_nor_false() -> None:
    hidden = present((BOX, True), (OTHER, False))

    assert average_precision([(found((BOX, 0.5)), hidden)]) == 1.0
    assert average_precision([(found((OTHER, 0.9), (BOX, 0.5)), hidden)]) == 1.0


def test_an_object_that_counts_is_taken_before_one_that_does_not() -> None:
    # The hidden vehicle overlaps more, and yet the detection is right.
    right, counts = judge_detections(found((BOX, 0.9)), present((BOX, False), ((0, 0, 10, 8), True)), 0.5)

    assert (right.tolist(), counts.tolist()) == ([True], [True])


def test_scores_are_compared_across_pictures() -> None:
    wrong_and_sure, right_and_unsure = (found((FAR, 0.9)), present()), (found((BOX, 0.3)), present((BOX, True)))

    assert average_precision([right_and_unsure, wrong_and_sure]) == pytest.approx(0.5)


def test_too_small_an_overlap_is_not_a_match() -> None:
    assert iou(np.array([BOX], np.float32), np.array([[0, 5, 10, 15]], np.float32))[0, 0] == pytest.approx(1 / 3)
    assert average_precision([(found(((0, 5, 10, 15), 0.9)), present((BOX, True)))]) == 0.0


def test_without_objects_there_is_no_precision() -> None:
    assert math.isnan(average_precision([(found((BOX, 0.9)), present((BOX, False)))]))
