"""Truth for the four real cameras by geometry: where on the floor the feet of a box stand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

SAME_WITHIN_M = 0.5
DIFFERENT_BEYOND_M = 1.5
_FOOT_MARGIN_PX = 4
"""A box that ends at the picture's edge shows no feet."""


@dataclass(frozen=True)
class Calibration:
    """Of one camera: pixels to the floor (world z = 0, metres)."""

    intrinsic: npt.NDArray[np.float64]
    distortion: npt.NDArray[np.float64]
    world_to_camera: npt.NDArray[np.float64]
    width: int
    height: int

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """From `camN.calibration.json`."""
        data = json.loads(path.read_text())
        return cls(
            np.array(data["intrinsic"]["doubles"]).reshape(3, 3),
            np.array(data["distortion"]["doubles"]),
            np.array(data["extrinsic"][0]["tf"]["doubles"]).reshape(4, 4),
            data["resolution"]["width"],
            data["resolution"]["height"],
        )

    def image_to_ground(self, points_px: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """`(n, 2)` pixels to `(n, 2)` metres on the floor."""
        straight = cv2.undistortPoints(points_px.reshape(-1, 1, 2), self.intrinsic, self.distortion).reshape(-1, 2)
        rays = np.column_stack([straight, np.ones(len(straight))]) @ self.world_to_camera[:3, :3]
        centre = -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]
        return (centre + rays * (-centre[2] / rays[:, 2])[:, None])[:, :2]

    def feet(self, boxes_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """`(n, 2)` metres: the middle of each box's lower edge on the floor; nan where the picture cuts it off."""
        boxes = boxes_xyxy.astype(np.float64)
        points = np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]])
        ground = self.image_to_ground(points) if len(points) else np.zeros((0, 2))
        ground[boxes[:, 3] >= self.height - _FOOT_MARGIN_PX] = np.nan
        return ground


@dataclass(frozen=True)
class PairCounts:
    """Pairs of boxes of two cameras at one tick, and how many of them carry one gid."""

    same: int
    same_with_one_gid: int
    different: int
    different_with_one_gid: int


def count_pairs(seen: dict[tuple[int, str], tuple[npt.NDArray[np.float64], list[int]]]) -> PairCounts:
    """`seen`: (tick, camera) → feet `(n, 2)` in metres, and the gid of each box (0: none yet)."""
    counts = [0, 0, 0, 0]
    cameras = sorted({camera for _, camera in seen})
    for tick in sorted({tick for tick, _ in seen}):
        for one, other in combinations(cameras, 2):
            if (tick, one) not in seen or (tick, other) not in seen:
                continue
            (feet_a, gids_a), (feet_b, gids_b) = seen[tick, one], seen[tick, other]
            for i, gid_a in enumerate(gids_a):
                for j, gid_b in enumerate(gids_b):
                    apart = float(np.linalg.norm(feet_a[i] - feet_b[j]))
                    if gid_a and gid_b and apart <= SAME_WITHIN_M:
                        counts[0] += 1
                        counts[1] += gid_a == gid_b
                    elif gid_a and gid_b and apart >= DIFFERENT_BEYOND_M:
                        counts[2] += 1
                        counts[3] += gid_a == gid_b
    return PairCounts(*counts)
