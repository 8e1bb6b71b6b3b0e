"""What motion and places say of every two tracks that overlapping views show at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from association.motion import MotionHistory, Places, Ratios, Rows
from association.track_table import TrackTable
from association.view_pairs import Pair, ViewPairs


class Beside:
    """Log-likelihood ratios of "one object" against "two"; all those of two cameras are computed at once, and kept."""

    def __init__(
        self, table: TrackTable, near: Sequence[Set[int]], motion: MotionHistory, view_pairs: ViewPairs
    ) -> None:
        """`near`: for each camera the cameras whose views overlap it."""
        self._table, self._near = table, near
        self._motion, self._view_pairs = motion, view_pairs
        self._blocks: dict[Pair, tuple[Ratios, Ratios]] = {}

    def changed(self) -> None:
        """Take note that there is a new moment, that tracks were divided or forgotten, or that mappings changed."""
        self._blocks = {}

    def ratios(self, a: Sequence[int], b: Sequence[int]) -> Ratios:
        """What motion and places say of each track of `a` with each of `b`, `(len(a), len(b))`; 0: nothing."""
        motion, places = self._ratios(a, b)
        return motion + places

    def at_first_sight(self, a: Sequence[int], b: Sequence[int]) -> Ratios:
        """What the places in the newest pictures say of each track of `a` with each of `b`, `(len(a), len(b))`."""
        found = np.zeros((len(a), len(b)))
        of_a, of_b = self._shown_by_camera(a), self._shown_by_camera(b)
        for camera, (numbers_a, own) in of_a.items():
            for other in sorted(self._near[camera] & of_b.keys()):
                numbers_b, places = of_b[other]
                here, there = (own, places) if camera < other else (places, own)
                ratios = self._view_pairs.ratios((min(camera, other), max(camera, other)), here, there)
                if ratios is not None:
                    found[numbers_a[:, None], numbers_b] = ratios if camera < other else ratios.T
        return found

    def _shown_by_camera(self, rows: Sequence[int]) -> dict[int, tuple[Rows, Places]]:
        """Camera → for its tracks in the newest pictures, their numbers in `rows` and their places."""
        tracks = np.array(rows, np.intp)
        shown, cameras = self._motion.is_shown(tracks), self._table.rows["camera"][tracks]
        found = {}
        for camera in sorted(set(cameras[shown].tolist())):
            numbers = np.flatnonzero(shown & (cameras == camera))
            found[camera] = numbers, self._motion.newest_places(camera, tracks[numbers])
        return found

    def parts(self, a: Sequence[int], b: Sequence[int]) -> tuple[float, float]:
        """What motion says of two groups of tracks, and what places say."""
        motion, places = self._ratios(a, b)
        return float(motion.sum()), float(places.sum())

    def _ratios(self, a: Sequence[int], b: Sequence[int]) -> tuple[Ratios, Ratios]:
        motion, places = np.zeros((len(a), len(b))), np.zeros((len(a), len(b)))
        of_a, of_b = self._by_camera(a), self._by_camera(b)
        for camera, (numbers_a, at_a) in of_a.items():
            for other in sorted(self._near[camera] & of_b.keys()):
                numbers_b, at_b = of_b[other]
                moved, placed = self._block(camera, other)
                into, source = (numbers_a[:, None], numbers_b), (at_a[:, None], at_b)
                motion[into], places[into] = moved[source], placed[source]
        return motion, places

    def _by_camera(self, rows: Sequence[int]) -> dict[int, tuple[Rows, Rows]]:
        """Camera → for its tracks that were seen recently, their numbers in `rows` and in `MotionHistory.recent`."""
        tracks = np.array(rows, np.intp)
        at, cameras = self._motion.index(tracks), self._table.rows["camera"][tracks]
        found = {}
        for camera in set(cameras[at >= 0].tolist()):
            numbers = np.flatnonzero((cameras == camera) & (at >= 0))
            found[camera] = numbers, at[numbers]
        return found

    def _block(self, camera: int, other: int) -> tuple[Ratios, Ratios]:
        """What motion and places say of all recent tracks of two cameras."""
        if (camera, other) not in self._blocks:
            first, second = pair = min(camera, other), max(camera, other)
            recent = self._motion.recent()
            here, there = recent[first], recent[second]
            moved = self._motion.ratios(here.rows, there.rows)
            found = self._view_pairs.ratios(pair, here.places, there.places)
            placed = np.zeros_like(moved) if found is None else found
            self._blocks[first, second], self._blocks[second, first] = (moved, placed), (moved.T, placed.T)
        return self._blocks[camera, other]
