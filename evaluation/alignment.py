"""Finds out whether ground truth is off by one frame, as if it counted frames from 0 and was read as from 1."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from evaluation.matching import pairs
from evaluation.verdict import CameraInput
from recording.rows import Ids
from vision.tracking.matching import iou_matrix

_SHIFTS = (-2, -1, 0, 1, 2)
_MOST_TICKS = 200
"""Ticks of each camera that are looked at."""
_LEAST_PAIRS = 50
_LEAST_GAIN = 1.005
"""Detections of MOT17 gain 1.006 to 1.06 with the right frame over the one beside it, at 30, 10 and 5 Hz, and nothing
with another frame than the right one; those of CAMPUS, whose truth is less exact, gain 1.004 at most."""


def frames_off(cameras: Iterable[CameraInput], ticks: Ids) -> int:
    """By how many frames the published boxes fit the ground truth better: -1 or 1; 0 if they fit best as they are.

    -1 means that the boxes of a picture fit the true boxes of the frame before. `ticks`: `(k,)` int64, those to score.
    """
    fits = np.zeros(len(_SHIFTS))
    found = 0
    for camera in cameras:
        seen = np.flatnonzero(np.isin(ticks, camera.tracks.ticks))
        for at in seen[:: max(1, len(seen) // _MOST_TICKS)].tolist():
            boxes = camera.tracks.boxes_xyxy[camera.tracks.rows_of(int(ticks[at]))]
            for number, shift in enumerate(_SHIFTS):
                true = camera.truth.boxes_xyxy[camera.truth.rows_of(int(camera.frames[at]) + shift)]
                iou = iou_matrix(true, boxes)
                rows, columns = pairs(iou)
                fits[number] += iou[rows, columns].sum()
                found += len(rows)
    best = _SHIFTS[int(fits.argmax())]
    is_clear = found >= _LEAST_PAIRS and fits.max() >= _LEAST_GAIN * fits[_SHIFTS.index(0)]
    return best if is_clear and abs(best) == 1 else 0


def note_on_frames(off: int) -> str:
    """What to tell a person if the ground truth is off by one frame, -1 or 1."""
    if off < 0:
        return (
            "the boxes fit the ground truth of the frame before better than that of their own frame; if the ground "
            "truth counts frames from 0, say so with --first-frame 0"
        )
    return (
        "the boxes fit the ground truth of the frame after better than that of their own frame; if the recording was "
        "imported from text that counts frames from 0, import it with --first-frame 0"
    )
