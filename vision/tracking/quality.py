"""How far a crop can be trusted to show what its object looks like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Re-identification networks see crops 256 pixels high; at this height (a quarter of it) a box counts about two thirds.
_TELLING_HEIGHT_PX = 64.0
# A detector's boxes stop a pixel or so before the border that cuts the object off.
_BORDER_PX = 2.0
# How much is missing beyond the border cannot be seen, so every cut side costs the same.
_CUT_OFF = 0.7


def box_quality(
    boxes_xyxy: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    frame_width: int,
    frame_height: int,
) -> npt.NDArray[np.float32]:
    """Weight of each box's appearance, `(N,)` float32 in [0, 1]; the boxes are all those of one frame.

    `boxes_xyxy` `(N, 4)` in pixels of the frame, `scores` `(N,)` in [0, 1]. The product of

    - the detection score;
    - the size, `1 - exp(-height / 64 px)`;
    - the share that no other box hides. Who stands with the feet lower in the picture is nearer to the camera (true
      for a camera that looks down at a floor) and hides the overlap; several such boxes multiply;
    - 0.7 for each side at which the picture's border cuts the box off.

    A box without an area has quality 0.
    """
    if not len(boxes_xyxy):
        return np.zeros(0, np.float32)
    left, top, right, bottom = boxes_xyxy.astype(np.float32, copy=False).T
    width, height = np.maximum(right - left, 0), np.maximum(bottom - top, 0)
    area = width * height

    shared_width = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    shared_height = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    shared = np.maximum(shared_width, 0) * np.maximum(shared_height, 0)
    hidden = np.where(bottom[None, :] > bottom[:, None], shared / np.maximum(area, 1e-6)[:, None], 0)
    visible = np.prod(1 - np.minimum(hidden, 1), axis=1)

    cut_sides = (
        (left <= _BORDER_PX).astype(np.float32)
        + (top <= _BORDER_PX)
        + (right >= frame_width - _BORDER_PX)
        + (bottom >= frame_height - _BORDER_PX)
    )
    size = np.where(area > 0, 1 - np.exp(-height / _TELLING_HEIGHT_PX), 0)
    quality: npt.NDArray[np.float32] = np.clip(scores, 0, 1) * size * visible * _CUT_OFF**cut_sides
    return quality.astype(np.float32, copy=False)
