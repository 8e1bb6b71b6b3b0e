"""All evidence for and against two groups of tracks being one object, as one sum of log-likelihood ratios. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from association.appearance import Appearance, Gains, Groups
from association.ground import Ground
from association.motion import MotionHistory, Rows
from association.outcome import CameraTick
from association.positions import Positions
from association.switches import Switches
from association.track_table import TrackTable, crop_weights
from association.view_pairs import Couple, Pair, ViewPairs

_OTHER_CLASS = 2.0
"""What a different class costs. Detectors confuse classes, so it is evidence and no wall."""
_CLIP = (-14.0, 12.0)
"""Bounds of what motion and places say about two groups."""
_UNLIKE = -20.0
"""What is said of the appearance of groups that have no embedder in common, in an explanation."""
_COVERED = 0.6
"""Two boxes show one place if this share of the smaller one lies in the other."""
_CLASS_VOTES = 10
"""Most embeddings of a track that count as votes for the class of its identity."""
_FEW = 3
"""For so few tracks it is faster to compute what is asked for than a whole block."""
_DECIMALS = 4
"""See `reference_grouping._DECIMALS`: the last bits must not decide."""


class Evidence:
    """What is known about the tracks of a table beyond times and cameras."""

    def __init__(self, table: TrackTable, near: Sequence[Set[int]], ground: Ground) -> None:
        """`near`: for each camera the cameras whose views overlap it."""
        self._table, self._near = table, near
        self._appearance = Appearance(table)
        self._motion = MotionHistory(table, ground)
        self.switches = Switches(table, self._appearance)
        self.view_pairs = ViewPairs(self._motion, ground)
        self.positions = Positions(self._motion, ground)
        self._place: npt.NDArray[np.intp] | None = None
        """Row → its place among the recent tracks of its camera; None before the first use at a moment."""
        self._recent: dict[int, npt.NDArray[np.intp]] = {}
        self._blocks: dict[Pair, Gains] = {}
        self._at_one_place: dict[tuple[int, int], int] = {}
        """Rows of two tracks of one camera → pictures in which their boxes showed one place."""

    def observe(self, seen: CameraTick, rows: npt.NDArray[np.intp]) -> None:
        """Learn from the tracks of one camera at one tick; the table has them already."""
        batch = seen.batch
        embedded = np.flatnonzero(batch.embedding_rows >= 0)
        if len(embedded):
            vectors = batch.embeddings[batch.embedding_rows[embedded]].astype(np.float32)
            self._appearance.observe(seen.camera, rows[embedded], vectors)
            weights = crop_weights(batch.qualities[embedded])
            self.switches.observe(rows[embedded], seen.tick, seen.time_ns, vectors, weights)
        self._new_moment()
        self._motion.observe(seen.camera, rows, seen.time_ns, batch.boxes_xyxy, batch.width, batch.height)
        first, second = np.nonzero(np.triu(_covered(batch.boxes_xyxy) > _COVERED, 1))
        for one, other in zip(rows[first].tolist(), rows[second].tolist(), strict=True):
            pair = min(one, other), max(one, other)
            self._at_one_place[pair] = self._at_one_place.get(pair, 0) + 1

    def learn_places(self, couples: Iterable[Couple]) -> None:
        """Learn from tracks that have one identity; see `ViewPairs.collect`."""
        self.view_pairs.collect(couples)
        self.view_pairs.fit()
        self._new_moment()

    def pictures_at_one_place(self, row: int, other: int) -> int:
        """In how many pictures the boxes of two tracks of one camera showed one place."""
        return self._at_one_place.get((min(row, other), max(row, other)), 0)

    def refresh(self, *, means: bool) -> None:
        """Bring the features up to date; see `Appearance.refresh`."""
        self._appearance.refresh(means=means)

    def learn_dimensions(self) -> None:
        """See `Appearance.learn_dimensions`."""
        self._appearance.learn_dimensions()

    def gains(self, a: Groups, b: Groups) -> Gains:
        """Log-likelihood ratio of "one object" against "two" for each group of `a` with each of `b`, rounded.

        Returns:
            `(len(a), len(b))` float64; -inf for groups that cannot be compared.
        """
        if not len(a) or not len(b):
            return np.zeros((len(a), len(b)))
        pairs = self.pairs([row for group in a for row in group], [row for group in b for row in group])
        starts_a, starts_b = (np.cumsum([0, *map(len, groups)])[:-1] for groups in (a, b))
        beside = np.add.reduceat(np.add.reduceat(pairs, starts_a, axis=0), starts_b, axis=1)
        classes_a, classes_b = (np.array([self._class(group) for group in groups]) for groups in (a, b))
        differ = classes_a[:, None] != classes_b[None, :]
        return np.round(self._appearance.gains(a, b) + np.clip(beside, *_CLIP) - _OTHER_CLASS * differ, _DECIMALS)

    def terms(self, a: Sequence[int], b: Sequence[int]) -> dict[str, float]:
        """The parts of what `gains` says of two groups, by name. A group that cannot be compared looks different."""
        appearance = max(float(self._appearance.gains([a], [b])[0, 0]), _UNLIKE)
        motion = position = 0.0
        recent_a, recent_b = self._by_camera(a), self._by_camera(b)
        for camera, rows_a in recent_a.items():
            for other in sorted(self._near[camera] & recent_b.keys()):
                moved, places = self._parts(camera, other, rows_a, recent_b[other])
                motion += float(moved.sum())
                position += 0.0 if places is None else float(places.sum())
        beside, motion = (float(np.clip(value, *_CLIP)) for value in (motion + position, motion))
        other_class = -_OTHER_CLASS if self._class(a) != self._class(b) else 0.0
        terms = {"appearance": appearance, "motion": motion, "position": beside - motion, "class": other_class}
        return {name: round(value, 3) for name, value in terms.items()}

    def _by_camera(self, group: Sequence[int]) -> dict[int, Rows]:
        """Camera → those of its tracks in a group that were seen recently."""
        rows = np.array(group, np.intp)
        rows = rows[self._motion.is_recent(rows)]
        cameras = self._table.rows["camera"][rows]
        return {camera: rows[cameras == camera] for camera in np.unique(cameras).tolist()}

    def compare(self, a: Sequence[int], b: Sequence[int]) -> Gains:
        """What appearance and motion say of each track of one camera with each of another one, `(len(a), len(b))`."""
        moved = self._motion.ratios(np.array(a, np.intp), np.array(b, np.intp))
        looks = self._appearance.gains([[row] for row in a], [[row] for row in b])
        return np.round(looks + np.clip(moved, *_CLIP), _DECIMALS)

    def pairs(self, a: Sequence[int], b: Sequence[int]) -> Gains:
        """What motion and places say of each track of `a` with each of `b`, `(len(a), len(b))`; 0: nothing."""
        rows_a, rows_b = np.array(a, np.intp), np.array(b, np.intp)
        cameras_a, cameras_b = self._table.rows["camera"][rows_a], self._table.rows["camera"][rows_b]
        found = np.zeros((len(rows_a), len(rows_b)))
        recent_a, recent_b = self._motion.is_recent(rows_a), self._motion.is_recent(rows_b)
        others = set(cameras_b[recent_b].tolist())
        for camera in np.unique(cameras_a[recent_a]).tolist():
            for other in sorted(self._near[camera] & others):
                of_a = np.flatnonzero(recent_a & (cameras_a == camera))
                of_b = np.flatnonzero(recent_b & (cameras_b == other))
                if len(of_a) <= _FEW and (camera, other) not in self._blocks:
                    found[np.ix_(of_a, of_b)] = self._ratios(camera, other, rows_a[of_a], rows_b[of_b])
                else:
                    block, place = self._block(camera, other)
                    found[np.ix_(of_a, of_b)] = block[np.ix_(place[rows_a[of_a]], place[rows_b[of_b]])]
        return found

    def _ratios(self, camera: int, other: int, a: Rows, b: Rows) -> Gains:
        """What motion and places say of tracks of two cameras."""
        moved, places = self._parts(camera, other, a, b)
        return moved if places is None else moved + places

    def _parts(self, camera: int, other: int, a: Rows, b: Rows) -> tuple[Gains, Gains | None]:
        """What motion says of tracks of two cameras, and what places say if a mapping is known."""
        if camera > other:
            moved, places = self._parts(other, camera, b, a)
            return moved.T, None if places is None else places.T
        return self._motion.ratios(a, b), self.view_pairs.ratios((camera, other), a, b)

    def _block(self, camera: int, other: int) -> tuple[Gains, npt.NDArray[np.intp]]:
        """What motion and places say of all recent tracks of two cameras; computed once for each moment."""
        if self._place is None:
            self._place = np.zeros(len(self._table.rows), np.intp)
            recent = np.flatnonzero(self._table.rows["used"] & self._motion.is_recent(np.arange(len(self._place))))
            cameras = self._table.rows["camera"][recent]
            self._recent = {index: recent[cameras == index] for index in np.unique(cameras).tolist()}
            for rows in self._recent.values():
                self._place[rows] = np.arange(len(rows))
        if (camera, other) not in self._blocks:
            first, second = min(camera, other), max(camera, other)
            block = self._ratios(first, second, self._recent[first], self._recent[second])
            self._blocks[first, second], self._blocks[second, first] = block, block.T
        return self._blocks[camera, other], self._place

    def _new_moment(self) -> None:
        self._place, self._blocks = None, {}

    def at_home(self, group: Sequence[int]) -> Gains:
        """For each track of a group of two or more the ratio with all the others, `(len(group),)`, as in `gains`."""
        beside = np.clip(self.pairs(group, group).sum(axis=1), *_CLIP)
        differ = self._table.rows["class"][list(group)] != self._class(group)
        return np.round(self._appearance.at_home(group) + beside - _OTHER_CLASS * differ, _DECIMALS)

    def _class(self, group: Sequence[int]) -> int:
        """The class that most of the group's embeddings were made with."""
        rows = self._table.rows[list(group)]
        votes = np.bincount(rows["class"] + 1, np.minimum(rows["embedded"], _CLASS_VOTES))
        return int(votes.argmax())

    def cut(self, row: int) -> int:
        """Divide a track before its newest crops, see `TrackTable.cut`; the row of the part that ended."""
        newest = self.switches.newest(row)
        ended = self._table.cut(row, newest)
        self._motion.cut(row, ended, newest.first.time_ns)
        self._appearance.changed(row, ended)
        for pair in self._pairs_of(row):
            other = sum(pair) - row
            self._at_one_place[min(ended, other), max(ended, other)] = self._at_one_place.pop(pair)
        self._new_moment()
        return ended

    def forget(self, row: int) -> None:
        """Clear a row, which another track may use from now on."""
        self.switches.forget(row)
        self._motion.forget(row)
        self._new_moment()
        for pair in self._pairs_of(row):
            del self._at_one_place[pair]

    def _pairs_of(self, row: int) -> list[tuple[int, int]]:
        return [pair for pair in self._at_one_place if row in pair]

    def to_dict(self) -> dict[str, Any]:
        """Everything learned, for a checkpoint."""
        return {
            "appearance": self._appearance.to_dict(),
            "motion": self._motion.to_dict(),
            "view_pairs": self.view_pairs.to_dict(),
            "switches": self.switches.to_dict(),
            "at_one_place": [[*pair, count] for pair, count in sorted(self._at_one_place.items())],
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`, also of a state without it. The table is restored already."""
        self._appearance.restore(data.get("appearance", {}), camera_index)
        self._motion.restore(data.get("motion", {}), camera_index)
        self.view_pairs.restore(data.get("view_pairs", {}), camera_index)
        self.switches.restore(data.get("switches", {}))
        self._at_one_place = {(one, other): count for one, other, count in data.get("at_one_place", ())}


def _covered(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Which share of the smaller box of each two lies in the other: `(n, 4)` float32 xyxy to `(n, n)`."""
    wide = boxes.astype(np.float64)
    size = np.clip(wide[:, 2:] - wide[:, :2], 0.0, None)
    corner = np.maximum(wide[:, None, :2], wide[None, :, :2])
    common = np.clip(np.minimum(wide[:, None, 2:], wide[None, :, 2:]) - corner, 0.0, None).prod(axis=2)
    area = size.prod(axis=1)
    covered: npt.NDArray[np.float64] = common / np.maximum(np.minimum(area[:, None], area[None, :]), 1e-9)
    return covered
