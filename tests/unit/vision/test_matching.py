from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vision.tracking.matching import assign, iou_matrix


def test_overlaps_have_the_iou_computed_by_hand() -> None:
    tracks = np.array([[0, 0, 10, 10], [100, 100, 120, 140]], np.float32)
    detections = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [105, 110, 115, 130]], np.float32)

    similarity = iou_matrix(tracks, detections)

    assert similarity == pytest.approx(np.array([[1, 1 / 3, 0, 0], [0, 0, 0, 0.25]]))


def test_a_margin_compares_boxes_as_if_both_were_larger() -> None:
    tracks = np.array([[0, 0, 10, 10], [40, 0, 60, 20]], np.float64)
    detections = np.array([[12, 0, 22, 10], [30, 0, 38, 30]], np.float64)
    margins = np.array([[4.0, 2.0], [5.0, 0.0]])

    similarity = iou_matrix(tracks, detections, margins)

    for row, (x, y) in enumerate(margins):
        grow = np.array([-x, -y, x, y])
        assert similarity[row] == pytest.approx(iou_matrix(tracks[row : row + 1] + grow, detections + grow)[0])
    assert similarity[0, 0] > 0 == iou_matrix(tracks, detections)[0, 0]


def test_a_box_without_area_has_zero_iou() -> None:
    point = np.array([[5, 5, 5, 5]], np.float32)

    assert iou_matrix(point, point) == pytest.approx(0.0)


@pytest.mark.parametrize(("tracks", "detections"), [(0, 0), (0, 3), (3, 0)])
def test_no_boxes_give_an_empty_matrix_and_no_pairs(tracks: int, detections: int) -> None:
    similarity = iou_matrix(np.zeros((tracks, 4)), np.zeros((detections, 4)))
    rows, columns = assign(similarity, 0.3)

    assert similarity.shape == (tracks, detections)
    assert len(rows) == len(columns) == 0


def test_two_good_pairs_are_preferred_to_the_single_best() -> None:
    rows, columns = assign(np.array([[0.9, 0.8], [0.8, 0.1]]), 0.2)

    assert list(zip(rows, columns, strict=True)) == [(0, 1), (1, 0)]


def test_a_good_pair_is_not_given_up_for_two_poor_ones() -> None:
    rows, columns = assign(np.array([[0.9, 0.31], [0.31, 0.0]]), 0.3)

    assert list(zip(rows, columns, strict=True)) == [(0, 0)]


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(0, 1)))
def test_no_other_assignment_gains_more(similarity: np.ndarray) -> None:
    rows, columns = assign(similarity, 0.25)

    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert (similarity[rows, columns] > 0.25).all()
    gain = np.maximum(similarity - 0.25, 0.0)
    wide = gain if gain.shape[0] <= gain.shape[1] else gain.T
    best = max(
        sum(wide[row, column] for row, column in enumerate(order))
        for order in permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert gain[rows, columns].sum() == pytest.approx(best)
