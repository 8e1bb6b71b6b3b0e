"""How well a crop shows what its object looks like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Re-identification networks take crops 256 pixels high; a box a quarter as high gets a size weight of about two thirds.
_REFERENCE_HEIGHT_PX = 64.0
# Detected boxes of truncated objects end about a pixel before the border.
_BORDER_PX = 2.0
# How much of the object is beyond the border is unknown, so every truncated side has the same factor.
_TRUNCATED = 0.7
LEAST_HEIGHT_PX = 24.0
"""A lower box has too few pixels for any network."""
_LEAST_VISIBLE = 0.5
_MOST_CUT_SIDES = 2


def box_quality(
    boxes_xyxy: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    frame_width: int,
    frame_height: int,
) -> npt.NDArray[np.float32]:
    """Weight of each box's appearance. Pass all boxes of a frame together, because they occlude each other.

    The quality is the product of

    - the detection score;
    - the size, `1 - exp(-height / 64 px)`;
    - the visible share. A box whose lower edge is further down in the picture is nearer to the camera (true for a
      camera that looks down at a floor) and occludes the overlap; the shares of several occluders are multiplied;
    - 0.7 for each side at which the picture's border truncates the box.

    Args:
        boxes_xyxy: `(N, 4)` float32 xyxy, pixels of the frame.
        scores: `(N,)` float32 in [0, 1].
        frame_width: pixels.
        frame_height: pixels.

    Returns:
        `(N,)` float32 in [0, 1]; 0 for a box without area.
    """
    if not len(boxes_xyxy):
        return np.zeros(0, np.float32)
    boxes = boxes_xyxy.astype(np.float32, copy=False)
    width, height = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).T
    size = np.where(width * height > 0, 1 - np.exp(-height / _REFERENCE_HEIGHT_PX), 0)
    truncated = _TRUNCATED ** cut_sides(boxes, frame_width, frame_height).sum(axis=1, dtype=np.float32)
    quality: npt.NDArray[np.float32] = np.clip(scores, 0, 1) * size * _visible_share(boxes) * truncated
    return quality.astype(np.float32, copy=False)


def usable_crops(boxes_xyxy: npt.NDArray[np.float32], frame_width: int, frame_height: int) -> npt.NDArray[np.bool_]:
    """Which boxes show enough of their object to describe its appearance, `(N,)` bool; arguments as for `box_quality`.

    Not usable are boxes of which more than half is hidden, that are lower than `LEAST_HEIGHT_PX`, or that the border of
    the picture truncates at two sides or more.
    """
    if not len(boxes_xyxy):
        return np.zeros(0, np.bool_)
    boxes = boxes_xyxy.astype(np.float32, copy=False)
    usable: npt.NDArray[np.bool_] = _visible_share(boxes) >= _LEAST_VISIBLE
    usable &= boxes[:, 3] - boxes[:, 1] >= LEAST_HEIGHT_PX
    usable &= cut_sides(boxes, frame_width, frame_height).sum(axis=1) < _MOST_CUT_SIDES
    return usable


def cut_sides(boxes_xyxy: npt.NDArray[np.floating], frame_width: int, frame_height: int) -> npt.NDArray[np.bool_]:
    """Which sides of each box the border of the picture cuts off, `(N, 4)` bool: left, top, right, bottom.

    `boxes_xyxy` are `(N, 4)` pixels.
    """
    low, high = boxes_xyxy[:, :2] <= _BORDER_PX, boxes_xyxy[:, 2:] >= np.array([frame_width, frame_height]) - _BORDER_PX
    return np.concatenate([low, high], axis=1)


def _visible_share(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    left, top, right, bottom = boxes.T
    area = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    shared_width = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    shared_height = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    shared = np.maximum(shared_width, 0) * np.maximum(shared_height, 0)
    hidden = np.where(bottom[None, :] > bottom[:, None], shared / np.maximum(area, 1e-6)[:, None], 0)
    visible: npt.NDArray[np.float32] = np.prod(1 - np.minimum(hidden, 1), axis=1)
    return visible
