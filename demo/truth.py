"""The ground truth of one camera at one tick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Truth:
    """The vehicles of which at least `MIN_VISIBLE_PX` pixels are visible."""

    ids: npt.NDArray[np.int64]
    """`(n,)`, the same in every camera."""
    boxes_xyxy: npt.NDArray[np.float32]
    """`(n, 4)` pixels: bounding the visible pixels; the right and lower edges are one past the last pixel."""
    class_ids: npt.NDArray[np.int16]
    """`(n,)`, indices into `CLASS_NAMES`."""
    visibility: npt.NDArray[np.float32]
    """`(n,)` 0..1: visible share of the whole silhouette; parts outside the picture count as hidden."""
    world_xy: npt.NDArray[np.float32]
    """`(n, 2)` metres: the centre of the vehicle on the ground."""

    def __len__(self) -> int:
        return len(self.ids)


MIN_VISIBLE_PX = 40
