"""Which published box shows which true object, tick by tick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from evaluation.tracks import PublishedTracks
from evaluation.truth import CameraTruth
from vision.tracking.matching import iou_matrix

MIN_IOU = 0.5
"""MOTChallenge's threshold, for what counts as found and for what is ignored."""
NOBODY = -1


@dataclass(frozen=True)
class TickMatch:
    """One camera at one tick, without what is ignored."""

    identities: npt.NDArray[np.int64]
    """`(t,)`: the true objects that had to be found."""
    rows: npt.NDArray[np.intp]
    """`(p,)`: rows of the camera's tracks that count for or against."""
    iou: npt.NDArray[np.float64]
    """`(t, p)`, 0 to 1."""


@dataclass(frozen=True)
class CameraMatch:
    """One camera over all ticks that are scored."""

    tracks: PublishedTracks
    ticks: tuple[TickMatch, ...]
    shown: npt.NDArray[np.int64]
    """`(n,)`: the identity that each row of `tracks` shows, ignored ones included; `NOBODY` for none."""
    overlaps: npt.NDArray[np.float64]
    """`(n,)`: its IoU with that identity's box; 0 for none."""
    true_rows: npt.NDArray[np.intp]
    """`(n,)`: the row of the truth that shows it; -1 for none."""

    @classmethod
    def without_truth(cls, tracks: PublishedTracks) -> CameraMatch:
        """Where nobody knows what the boxes show."""
        n = len(tracks)
        return cls(tracks, (), np.full(n, NOBODY, np.int64), np.zeros(n), np.full(n, -1, np.intp))


def match_camera(
    truth: CameraTruth, tracks: PublishedTracks, ticks: npt.NDArray[np.int64], frames: npt.NDArray[np.int64]
) -> CameraMatch:
    """Compares every tick of `ticks` `(k,)`, ascending, at which the source shows its picture `frames` `(k,)`.

    Boxes and true boxes are paired one to one, by the greatest sum of IoU among pairs of at least `MIN_IOU`; what is
    paired with an ignored true box is left out (MOTChallenge's preprocessing, as in TrackEval's `MotChallenge2DBox`).
    """
    shown = np.full(len(tracks), NOBODY, np.int64)
    overlaps, true_rows = np.zeros(len(tracks)), np.full(len(tracks), -1, np.intp)
    per_tick = []
    for tick, frame in zip(ticks.tolist(), frames.tolist(), strict=True):
        true, rows = truth.rows_of(frame), tracks.rows_of(tick)
        iou = iou_matrix(truth.boxes_xyxy[true], tracks.boxes_xyxy[rows])
        found, by = pairs(iou)
        indices = np.arange(rows.start, rows.stop)
        shown[indices[by]] = truth.identities[true][found]
        overlaps[indices[by]] = iou[found, by]
        true_rows[indices[by]] = true.start + found
        counted = truth.counted[true]
        kept = np.ones(len(indices), np.bool_)
        kept[by[truth.ignored[true][found]]] = False
        per_tick.append(TickMatch(truth.identities[true][counted], indices[kept], iou[counted][:, kept]))
    return CameraMatch(tracks, tuple(per_tick), shown, overlaps, true_rows)


def pairs(iou: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """One-to-one pairs (rows, columns) of the greatest sum of IoU, none below `MIN_IOU`."""
    near = np.where(iou >= MIN_IOU - np.finfo(np.float64).eps, iou, 0.0)
    rows, columns = linear_sum_assignment(near, maximize=True)
    made = near[rows, columns] > 0.0
    return rows[made], columns[made]
