"""Evaluates calibrated cameras without ground truth, by comparing the positions of objects on the floor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from evaluation.tracks import NO_GID, PublishedTracks
from shared.errors import MtmcError

SAME_WITHIN_M = 0.5
DIFFERENT_BEYOND_M = 1.5
_FOOT_MARGIN_PX = 4
"""A box whose lower edge is this close to the picture's border does not show the feet."""


@dataclass(frozen=True)
class FloorCalibration:
    """Calibration of one camera: maps pixels to the floor (world z = 0, metres)."""

    intrinsic: npt.NDArray[np.float64]
    """`(3, 3)` float64, pixels."""
    distortion: npt.NDArray[np.float64]
    """Distortion coefficients in OpenCV's order."""
    world_to_camera: npt.NDArray[np.float64]
    """`(4, 4)` float64, metres."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""

    @classmethod
    def read(cls, path: Path) -> FloorCalibration:
        """Read a `camN.calibration.json` of the data set `ufes-four-cameras`.

        Raises:
            MtmcError: the file cannot be read or is not a calibration.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                np.array(data["intrinsic"]["doubles"]).reshape(3, 3),
                np.array(data["distortion"]["doubles"]),
                np.array(data["extrinsic"][0]["tf"]["doubles"]).reshape(4, 4),
                data["resolution"]["width"],
                data["resolution"]["height"],
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise MtmcError(f"{path}: is not a camera calibration ({error})") from None

    def image_to_ground(self, points_px: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Project points `(n, 2)` float64, pixels, to the floor: `(n, 2)` float64, metres."""
        straight = cv2.undistortPoints(points_px.reshape(-1, 1, 2), self.intrinsic, self.distortion).reshape(-1, 2)
        rays = np.column_stack([straight, np.ones(len(straight))]) @ self.world_to_camera[:3, :3]
        centre = -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]
        return (centre + rays * (-centre[2] / rays[:, 2])[:, None])[:, :2]

    def feet(self, boxes_xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Floor position of the middle of each box's lower edge.

        Args:
            boxes_xyxy: `(n, 4)` float, pixels.

        Returns:
            `(n, 2)` float64, metres; NaN if the lower edge is truncated by the picture's border.
        """
        boxes = boxes_xyxy.astype(np.float64)
        points = np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]])
        ground = self.image_to_ground(points) if len(points) else np.zeros((0, 2))
        ground[boxes[:, 3] >= self.height - _FOOT_MARGIN_PX] = np.nan
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

    @property
    def same_share(self) -> float | None:
        """Share of equal gids among pairs of the same object, 0 to 1; None without pairs."""
        return self.same_with_one_gid / self.same if self.same else None

    @property
    def different_share(self) -> float | None:
        """Share of equal gids among pairs of different objects, 0 to 1; None without pairs."""
        return self.different_with_one_gid / self.different if self.different else None


def count_pairs(cameras: Sequence[PublishedTracks], calibrations: Sequence[FloorCalibration]) -> PairCounts:
    """Count pairs of boxes over all pairs of cameras and all ticks.

    Boxes whose feet are within `SAME_WITHIN_M` show the same object, those beyond `DIFFERENT_BEYOND_M` different ones.
    Pairs in between, and boxes without visible feet, are not counted.
    """
    counts = np.zeros(4, np.int64)
    feet = [calibration.feet(tracks.boxes_xyxy) for tracks, calibration in zip(cameras, calibrations, strict=True)]
    for one, other in combinations(range(len(cameras)), 2):
        for tick in np.intersect1d(cameras[one].ticks, cameras[other].ticks).tolist():
            rows, others = cameras[one].rows_of(tick), cameras[other].rows_of(tick)
            gids, other_gids = cameras[one].gids[rows], cameras[other].gids[others]
            apart = np.linalg.norm(feet[one][rows][:, None] - feet[other][others][None, :], axis=2)
            known = (gids != NO_GID)[:, None] & (other_gids != NO_GID)
            equal = gids[:, None] == other_gids
            for at, meant in ((0, apart <= SAME_WITHIN_M), (2, apart >= DIFFERENT_BEYOND_M)):
                counts[at] += np.count_nonzero(known & meant)
                counts[at + 1] += np.count_nonzero(known & meant & equal)
    return PairCounts(*counts.tolist())
