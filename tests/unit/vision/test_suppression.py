from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.inference import suppression
from vision.inference.suppression import suppress

A_FEW = 300


def iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = max(float(width), 0) * max(float(height), 0)
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / union if union > 0 else 0


def one_by_one(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], classes: npt.NDArray[np.int16], threshold: float
) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if all(classes[index] != classes[k] or iou(boxes[index], boxes[k]) <= threshold for k in kept):
            kept.append(index)
    return kept


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    classes=st.integers(1, 4),
    threshold=st.sampled_from([0.31, 0.5001, 0.6501]),
    block=st.sampled_from([1, 7, 128]),
)
@settings(max_examples=150, deadline=None)
def test_the_result_equals_that_of_comparing_one_by_one(
    seed: int, count: int, classes: int, threshold: float, block: int
) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (count, 2))
    boxes = np.hstack([corners, corners + rng.integers(0, 10, (count, 2))]).astype(np.float32)
    scores = rng.integers(1, 6, count).astype(np.float32) / 5
    class_ids = rng.integers(0, classes, count).astype(np.int16)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "_BLOCK", block)
        kept = suppress(boxes, scores, class_ids, threshold, A_FEW).tolist()
        some = suppress(boxes, scores, class_ids, threshold, 3).tolist()

    assert kept == one_by_one(boxes, scores, class_ids, threshold)
    assert some == kept[:3]


def test_of_equal_scores_the_first_is_kept() -> None:
    boxes = np.tile(np.array([0, 0, 10, 10], np.float32), (5, 1))

    assert suppress(boxes, np.full(5, 0.5, np.float32), np.zeros(5, np.int16), 0.5, A_FEW).tolist() == [0]


def test_boxes_of_two_classes_do_not_compete() -> None:
    boxes = np.tile(np.array([3000, 2000, 3010, 2010], np.float32), (2, 1))

    kept = suppress(boxes, np.array([0.5, 0.9], np.float32), np.array([0, 79], np.int16), 0.1, A_FEW)

    assert kept.tolist() == [1, 0]


def test_no_boxes_leave_no_boxes() -> None:
    assert (
        suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int16), 0.5, 10).tolist() == []
    )


def test_boxes_without_an_area_raise_no_warning() -> None:
    boxes = np.zeros((3, 4), np.float32)

    assert len(suppress(boxes, np.ones(3, np.float32), np.zeros(3, np.int16), 0.5, A_FEW)) == 3
