"""Matches published boxes with true boxes, tick by tick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from evaluation.tracks import PublishedTracks
from evaluation.truth import CameraTruth
from vision.tracking.matching import iou_matrix

MIN_IOU = 0.5
"""MOTChallenge's threshold for a match, with counted and with ignored true boxes."""
NOBODY = -1


@dataclass(frozen=True)
class TickMatch:
    """One camera at one tick, without ignored boxes."""

    identities: npt.NDArray[np.int64]
    """`(t,)` int64: the true objects that must be found."""
    rows: npt.NDArray[np.intp]
    """`(p,)` intp: rows of the camera's tracks that are scored."""
    iou: npt.NDArray[np.float64]
    """`(t, p)` float64 in [0, 1]."""


@dataclass(frozen=True)
class CameraMatch:
    """One camera over all scored ticks."""

    tracks: PublishedTracks
    ticks: tuple[TickMatch, ...]
    shown: npt.NDArray[np.int64]
    """`(n,)` int64: the true identity that each row of `tracks` shows, including ignored ones; `NOBODY` for none."""
    overlaps: npt.NDArray[np.float64]
    """`(n,)` float64: IoU with that identity's box, 0 to 1; 0 for none."""
    true_rows: npt.NDArray[np.intp]
    """`(n,)` intp: the matching row of the ground truth; -1 for none."""

    @classmethod
    def without_truth(cls, tracks: PublishedTracks) -> CameraMatch:
        """For tracks without ground truth: no box shows a known object."""
        n = len(tracks)
        return cls(tracks, (), np.full(n, NOBODY, np.int64), np.zeros(n), np.full(n, -1, np.intp))


def match_camera(
    truth: CameraTruth, tracks: PublishedTracks, ticks: npt.NDArray[np.int64], frames: npt.NDArray[np.int64]
) -> CameraMatch:
    """Match the published boxes of one camera with its true boxes.

    At each tick, boxes are matched one to one, maximising the sum of IoU over pairs with at least `MIN_IOU`. Boxes
    matched with an ignored true box are left out (MOTChallenge's preprocessing, as in TrackEval's `MotChallenge2DBox`),
    and so are boxes in ignored regions that show no true object.

    Args:
        truth: the true boxes.
        tracks: the published boxes.
        ticks: `(k,)` int64, ascending: the ticks to score.
        frames: `(k,)` int64: the frame number that the source shows at each tick.
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
        shows_nothing = np.ones(len(indices), np.bool_)
        shows_nothing[by] = False
        kept &= ~(shows_nothing & in_regions(tracks.boxes_xyxy[rows], truth.regions.at(frame)))
        per_tick.append(TickMatch(truth.identities[true][counted], indices[kept], iou[counted][:, kept]))
    return CameraMatch(tracks, tuple(per_tick), shown, overlaps, true_rows)


def in_regions(boxes_xyxy: npt.NDArray[np.floating], regions_xyxy: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which boxes have more than half of their area in one of the regions: `(p, 4)` and `(k, 4)` to `(p,)` bool.

    As TrackEval's `Kitti2DBox` does with the regions that nobody annotated.
    """
    boxes, regions = boxes_xyxy.astype(np.float64)[:, None], regions_xyxy[None]
    sides = np.minimum(boxes[..., 2:], regions[..., 2:]) - np.maximum(boxes[..., :2], regions[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=2)
    areas = np.prod(boxes[..., 2:] - boxes[..., :2], axis=2)
    inside: npt.NDArray[np.bool_] = (shared > (0.5 + np.finfo(np.float64).eps) * areas).any(axis=1)
    return inside


def pairs(iou: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """One-to-one pairs that maximise the sum of IoU, none below `MIN_IOU`.

    `iou` is `(t, p)` float64. Returns row and column indices, `(m,)` intp each.
    """
    near = np.where(iou >= MIN_IOU - np.finfo(np.float64).eps, iou, 0.0)
    rows, columns = linear_sum_assignment(near, maximize=True)
    made = near[rows, columns] > 0.0
    return rows[made], columns[made]
