"""What a detection needs to continue a track. Pure.

At a few pictures per second, IoU alone takes a track over to a neighbour: where one object has just left the picture
another one enters it, and a box in front of a waiting object overlaps it. Their sizes, places and classes differ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vision.tracking import motion
from vision.tracking.quality import cut_sides

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SLACK_S = 1e-6
"""Tolerance for rounding in sums of times: a gap of exactly the limit must not exceed it."""
_MATCH_IOU, _LEAST_MATCH_IOU = 0.33, 0.2
"""Minimum IoU of a confident detection with a predicted box that is certain, and with one that is not."""
_FAST_S, _SLOW_S = 0.1, 0.2
"""Predictions are certain for pictures up to the first time apart, and uncertain from the second one on."""
_JUST_SEEN_S = 0.25
"""Predictions are uncertain for an object that has been hidden for longer."""
_APART = 0.3
"""Edges of a detection may be off by this share of the object's size, plus what it may have moved."""
_BOTTOMS_APART = 0.2
"""The same for the lower edges, where objects touch the ground, if the left or right border cuts off both boxes: their
widths say little then, and the upper part of a person leaves the picture first."""
_OTHER_CLASS = 0.5
"""Factor on the overlap with a detection of a class that the track has never had."""
_SURE_VOTES = 2.0
"""Sum of the scores from which the class of a track is sure."""


def usual_match_iou(unseen_s: Floats, elapsed_s: float, *, camera_moves: bool) -> Floats:
    """The minimum IoU of a match of each track, `(T,)`.

    The higher one keeps a track from going on with a neighbour. While the camera moves, at low rates, and for objects
    that were hidden, predicted boxes are too far off for it.

    Args:
        unseen_s: `(T,)` seconds since each track was detected.
        elapsed_s: seconds since the last picture.
        camera_moves: whether the camera has moved lately.
    """
    usual = float(np.interp(elapsed_s, (_FAST_S, _SLOW_S), (_MATCH_IOU, _LEAST_MATCH_IOU)))
    certain = (unseen_s <= _JUST_SEEN_S + SLACK_S) & (not camera_moves)
    return np.where(certain, usual, _LEAST_MATCH_IOU)


def reach(states: motion.States, unseen_s: Floats) -> Floats:
    """How far each object may have moved since it was last seen, `(T, 2)`: x and y, in widths and heights.

    Args:
        states: `(T, 5, 4)` predicted states.
        unseen_s: `(T,)` seconds since each track was detected.
    """
    fastest = np.abs(states[:, motion.SPEED, :2]) + np.sqrt(states[:, motion.SPEED_VARIANCE, :2])
    moved: Floats = fastest * unseen_s[:, None] / states[:, motion.POSITION, 2:]
    return moved


def within_reach(
    expected_xyxy: Floats,
    may_move: Floats,
    detections_xyxy: npt.NDArray[np.floating],
    frame_size: tuple[int, int] | None,
) -> Flags:
    """Whether each detection lies near enough to the predicted box of its pair, `(P,)` bool.

    Horizontally and vertically, both edges together may be off by 0.3 of the size plus the track's reach. If the left
    or right border of the picture cuts off both boxes, their lower edges may be off by 0.2 of the height plus the
    reach.

    Args:
        expected_xyxy: `(P, 4)` predicted boxes, pixels.
        may_move: `(P, 2)`, see `reach`.
        detections_xyxy: `(P, 4)` pixels.
        frame_size: width and height of the picture, pixels; None: unknown, so nothing is cut off.
    """
    boxes = np.asarray(detections_xyxy, np.float64)
    apart = np.abs(expected_xyxy - boxes)
    sizes = (expected_xyxy[:, 2:] - expected_xyxy[:, :2] + boxes[:, 2:] - boxes[:, :2]) / 2.0
    near: Flags = np.all(apart[:, :2] + apart[:, 2:] <= 2.0 * (_APART + may_move) * sizes, axis=1)
    if frame_size is not None:
        cut = cut_sides(expected_xyxy, *frame_size) & cut_sides(boxes, *frame_size)
        near &= ~(cut[:, 0] | cut[:, 2]) | (apart[:, 3] <= (_BOTTOMS_APART + may_move[:, 1]) * sizes[:, 1])
    return near


def class_agreement(votes: Floats, classes: npt.NDArray[np.int16], detected: npt.NDArray[np.int16]) -> Floats:
    """Factor on the overlap of the track and the detection of each pair, `(P,)`: 1 if the track always had that class.

    A detector that confuses the classes of an object makes the class of its track unsure, and so counts for little.

    Args:
        votes: `(P, C)` sum of the scores of the track per class.
        classes: `(C,)` int16, sorted: the classes of the columns of `votes`.
        detected: `(P,)` int16: the class of the detection.
    """
    total = votes.sum(axis=1)
    agreeing = np.where(classes == detected[:, None], votes, 0.0).sum(axis=1)
    doubt = np.minimum(total / _SURE_VOTES, 1.0) * (1.0 - agreeing / np.maximum(total, 1e-9))
    factor: Floats = 1.0 - (1.0 - _OTHER_CLASS) * doubt
    return factor
