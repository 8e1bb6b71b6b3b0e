"""Evaluates calibrated cameras without ground truth, by comparing the positions of objects on the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from evaluation.tracks import NO_GID, PublishedTracks
from shared.calibration import Calibration

SAME_WITHIN_M = 0.5
DIFFERENT_BEYOND_M = 1.5
_FOOT_MARGIN_PX = 4
"""A box whose lower edge is this close to the picture's border does not show the feet."""


def feet(calibration: Calibration, boxes_xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Floor position of the middle of each box's lower edge.

    Args:
        calibration: of the camera, with the size of its pictures.
        boxes_xyxy: `(n, 4)` float, pixels.

    Returns:
        `(n, 2)` float64, metres; NaN if the lower edge is truncated by the picture's border.
    """
    boxes = boxes_xyxy.astype(np.float64)
    ground = calibration.to_ground(np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]]))
    ground[boxes[:, 3] >= calibration.height - _FOOT_MARGIN_PX] = np.nan
    return ground


@dataclass(frozen=True)
class PairCounts:
    """Counts of pairs of boxes from two cameras at the same tick, both with a gid."""

    same: int
    """Pairs that show the same object."""
    same_with_one_gid: int
    """Those of them with equal gids."""
    different: int
    """Pairs that show different objects."""
    different_with_one_gid: int
    """Those of them with equal gids."""
    same_at_most: int
    """Most pairs of the same object that can have equal gids if no two boxes of one camera do: where objects are close
    together, two boxes of one camera are near one box of another."""

    @property
    def same_share(self) -> float | None:
        """Share of equal gids among pairs of the same object, 0 to 1; None without pairs."""
        return self.same_with_one_gid / self.same if self.same else None

    @property
    def same_bound(self) -> float | None:
        """Highest possible `same_share`; None without pairs."""
        return self.same_at_most / self.same if self.same else None

    @property
    def different_share(self) -> float | None:
        """Share of equal gids among pairs of different objects, 0 to 1; None without pairs."""
        return self.different_with_one_gid / self.different if self.different else None


def count_pairs(cameras: Sequence[PublishedTracks], calibrations: Sequence[Calibration]) -> PairCounts:
    """Count pairs of boxes over all pairs of cameras and all ticks.

    Boxes whose feet are within `SAME_WITHIN_M` show the same object, those beyond `DIFFERENT_BEYOND_M` different ones.
    Pairs in between, and boxes without visible feet, are not counted.
    """
    counts = np.zeros(5, np.int64)
    places = [feet(calibration, tracks.boxes_xyxy) for tracks, calibration in zip(cameras, calibrations, strict=True)]
    for one, other in combinations(range(len(cameras)), 2):
        for tick in np.intersect1d(cameras[one].ticks, cameras[other].ticks).tolist():
            rows, others = cameras[one].rows_of(tick), cameras[other].rows_of(tick)
            gids, other_gids = cameras[one].gids[rows], cameras[other].gids[others]
            apart = np.linalg.norm(places[one][rows][:, None] - places[other][others][None, :], axis=2)
            known = (gids != NO_GID)[:, None] & (other_gids != NO_GID)
            equal = gids[:, None] == other_gids
            for at, meant in ((0, apart <= SAME_WITHIN_M), (2, apart >= DIFFERENT_BEYOND_M)):
                counts[at] += np.count_nonzero(known & meant)
                counts[at + 1] += np.count_nonzero(known & meant & equal)
            near = known & (apart <= SAME_WITHIN_M)
            counts[4] += np.count_nonzero(near[linear_sum_assignment(near, maximize=True)])
    return PairCounts(*counts.tolist())
