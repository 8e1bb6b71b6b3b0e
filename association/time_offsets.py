"""How late the pictures of each camera are, learned from objects that two cameras see at once. Pure.

A camera that delivers its pictures late shows a moving object behind the place at which the others see it. How far
behind, divided by its speed, is how late the picture is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from association.learned_layout import LearnedOffset
from association.motion import SLOT_NS, MotionHistory
from association.view_pairs import Couple, Pair, ViewPairs
from shared.homography import Points, mapped
from shared.learned import LARGEST_OFFSET_S

_GATE = 6.0
"""Larger differences are no offsets of time, but different objects: object sizes."""
_SLOWEST = 0.3
"""Objects that move slower say nothing: sizes per second."""
_NOISE = 0.5
"""Standard deviation of the difference of two places, in object sizes."""
_ASSUMED_S = 0.5
"""Standard deviation of the offsets that is assumed before anything is seen."""
_MEMORY = 2000.0
"""Older moments are scaled down so that they never count more than this many, because delays change."""
_CERTAIN_S = 0.1
"""An offset is applied once its standard deviation is this small."""
_STEP_S, _STEP_DEVIATIONS = 0.1, 3.0
"""The offset that is applied changes only by more than this, and by more than so many standard deviations."""

Sums = npt.NDArray[np.float64]


class TimeOffsets:
    """For each camera how much later its pictures are than those of the others."""

    def __init__(self, motion: MotionHistory, view_pairs: ViewPairs) -> None:
        self._motion, self._view_pairs = motion, view_pairs
        self._sums: dict[Pair, Sums] = {}
        """Sums over moments: 1, velocity (2), difference (2), velocity², velocity · difference."""

    def learn(self, couples: Sequence[Couple], here: Points, there: Points) -> None:
        """Learn from the newest complete moment of tracks that are one object, and apply what is certain.

        The arguments are those of `ViewPairs.collect`.
        """
        sizes = there[:, 1, 2:]
        velocities = (there[:, 2, :2] - there[:, 0, :2]) / (2e-9 * SLOT_NS) / sizes
        # False also if one of the places is not known.
        moves = (np.hypot(*velocities.T) > _SLOWEST) & ~np.isnan(here[:, 1]).any(axis=1)
        for i in np.flatnonzero(moves).tolist():
            cameras, velocity = couples[i][0], velocities[i]
            mapping = self._view_pairs.mapping(cameras)
            if mapping is None:
                continue
            difference = (mapped(mapping, here[i, 1:2, :2])[0] - there[i, 1, :2]) / sizes[i]
            if not np.hypot(*difference) < _GATE:
                continue
            applied_s = self._applied_s(cameras[1]) - self._applied_s(cameras[0])
            difference = difference + velocity * applied_s
            sums = self._sums.setdefault(cameras, np.zeros(7))
            sums += [1.0, *velocity, *difference, float(velocity @ velocity), float(velocity @ difference)]
            sums *= min(1.0, _MEMORY / sums[0])
        for cameras, sums in self._sums.items():
            self._sums[cameras] = np.round(sums, 6)
        self._apply()

    def _applied_s(self, camera: int) -> float:
        return self._motion.offsets_ns.get(camera, 0) * 1e-9

    def restart(self, camera: int) -> None:
        """Forget what is known of a camera, which shows another view; what is applied stays."""
        self._sums = {cameras: sums for cameras, sums in self._sums.items() if camera not in cameras}

    def learned(self) -> list[LearnedOffset]:
        """The offsets of all cameras that see something together with another one."""
        return [
            LearnedOffset(camera, round(offset_s, 3), round(deviation_s, 3), round(self._applied_s(camera), 3))
            for camera, (offset_s, deviation_s) in self.estimates().items()
        ]

    def estimates(self) -> dict[int, tuple[float, float]]:
        """Camera → its offset and the standard deviation of that, seconds.

        Relative to the mean of all cameras that are connected by what they see together: it is not known which is late.
        """
        cameras = sorted({camera for pair in self._sums for camera in pair})
        place = {camera: number for number, camera in enumerate(cameras)}
        if not cameras:
            return {}
        # Every offset is about 0 until something else is seen.
        information, weighted = np.eye(len(cameras)) / _ASSUMED_S**2, np.zeros(len(cameras))
        connected = np.zeros_like(information)
        for (one, other), (count, *rest) in sorted(self._sums.items()):
            velocity, difference, squares, products = np.array(rest[:2]), np.array(rest[2:4]), *rest[4:]
            # Objects are seen from different sides, so their places differ by a constant, which is left out.
            spread = squares - float(velocity @ velocity) / count
            if spread <= 0:
                continue
            offset_s = (products - float(velocity @ difference) / count) / spread
            weight = spread / _NOISE**2
            i, j = place[one], place[other]
            connected[i, j] = 1.0
            information[[i, j], [i, j]] += weight
            information[[i, j], [j, i]] -= weight
            weighted[i] -= weight * offset_s
            weighted[j] += weight * offset_s
        _, groups = connected_components(connected, directed=False)
        same = groups[:, None] == groups
        relative = np.eye(len(cameras)) - same / same.sum(axis=1, keepdims=True)
        covariance = np.linalg.inv(information)
        found = relative @ covariance @ weighted
        deviations = np.sqrt(np.diag(relative @ covariance @ relative.T))
        return {camera: (round(float(found[i]), 4), round(float(deviations[i]), 4)) for camera, i in place.items()}

    def _apply(self) -> None:
        for camera, (offset_s, deviation_s) in self.estimates().items():
            wanted_s = round(max(-LARGEST_OFFSET_S, min(offset_s, LARGEST_OFFSET_S)), 2)
            step_s = max(_STEP_S, _STEP_DEVIATIONS * deviation_s)
            if deviation_s < _CERTAIN_S and abs(wanted_s - self._applied_s(camera)) > step_s:
                self._motion.offsets_ns[camera] = round(wanted_s * 1e9)

    def to_dict(self) -> dict[str, Any]:
        """The sums for a checkpoint; the offsets in use are part of `MotionHistory`."""
        return {"sums": [[*cameras, sums.tolist()] for cameras, sums in sorted(self._sums.items())]}

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`; camera `i` has index `camera_index[i]` now, -1 if it is gone."""
        for one, other, sums in data.get("sums", ()):
            cameras = camera_index[one], camera_index[other]
            if min(cameras) >= 0:
                self._sums[cameras] = np.array(sums)
