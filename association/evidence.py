"""All evidence for and against two groups of tracks being one object, as one sum of log-likelihood ratios. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from association.appearance import Appearance, Gains, Groups
from association.beside import Beside
from association.ground import Ground
from association.learned_layout import LearnedAppearance
from association.likeness import Gallery
from association.motion import MotionHistory
from association.outcome import CameraTick
from association.passages import Passages
from association.positions import Positions
from association.switches import Switches
from association.time_offsets import TimeOffsets
from association.track_table import TrackTable, crop_weights
from association.view_pairs import Couple, ViewPairs

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
_DECIMALS = 4
"""See `reference_grouping._DECIMALS`: the last bits must not decide."""


class Evidence:
    """What is known about the tracks of a table beyond times and cameras."""

    def __init__(self, table: TrackTable, near: Sequence[Set[int]], ground: Ground) -> None:
        """`near`: for each camera the cameras whose views overlap it."""
        self._table, self._ground = table, ground
        self._appearance = Appearance(table)
        self._motion = MotionHistory(table, ground)
        self.switches = Switches(table, self._appearance)
        self.view_pairs = ViewPairs(self._motion, ground)
        self.time_offsets = TimeOffsets(self._motion, self.view_pairs)
        self.positions = Positions(self._motion, ground)
        self.passages = Passages(table)
        self._beside = Beside(table, near, self._motion, self.view_pairs)
        self._at_one_place: dict[tuple[int, int], int] = {}
        """Rows of two tracks of one camera → pictures in which their boxes showed one place."""

    def observe(self, seen: CameraTick, rows: npt.NDArray[np.intp]) -> None:
        """Learn from the tracks of one camera at one tick; the table has them already."""
        batch = seen.batch
        embedded = np.flatnonzero(batch.embedding_rows >= 0)
        if len(embedded):
            vectors = batch.embeddings[batch.embedding_rows[embedded]].astype(np.float32)
            self._appearance.changed(*rows[embedded].tolist())
            weights = crop_weights(batch.qualities[embedded])
            self.switches.observe(rows[embedded], seen.tick, seen.time_ns, vectors, weights)
        self._note_pose(seen)
        # The places of a camera that moves say nothing.
        shown = slice(0, 0) if batch.pose == "moving" else slice(None)
        boxes = batch.boxes_xyxy[shown]
        if self._motion.observe(seen.camera, rows[shown], seen.time_ns, boxes, batch.width, batch.height):
            self._beside.changed()
        places, is_metric = self._motion.newest_feet(seen.camera, rows[shown])
        time_ns = seen.time_ns - self._motion.offsets_ns.get(seen.camera, 0)
        self.passages.observe(rows[shown], time_ns, places, -1 if is_metric else seen.camera)
        first, second = np.nonzero(np.triu(_covered(batch.boxes_xyxy) > _COVERED, 1))
        for one, other in zip(rows[first].tolist(), rows[second].tolist(), strict=True):
            pair = min(one, other), max(one, other)
            self._at_one_place[pair] = self._at_one_place.get(pair, 0) + 1

    def _note_pose(self, seen: CameraTick) -> None:
        """Begin anew with the places of a camera that shows another view since its last picture."""
        is_moved = seen.batch.pose == "moved"
        if seen.batch.pose == "moving" or not seen.batch.width or is_moved == (seen.camera in self._ground.moved):
            return
        (self._ground.moved.add if is_moved else self._ground.moved.remove)(seen.camera)
        self._motion.restart(seen.camera)
        self.passages.restart(seen.camera)
        self.view_pairs.restart(seen.camera)
        self.time_offsets.restart(seen.camera)
        self._beside.changed()

    def learn_places(self, couples: Sequence[Couple]) -> None:
        """Learn from tracks that have one identity; see `ViewPairs.collect` and `TimeOffsets`."""
        tracks = np.array([rows for _, rows, _ in couples], np.intp).reshape(-1, 2)
        here, there = (self._motion.feet(own, (2, 1, 0)) for own in tracks.T)
        self.view_pairs.collect(couples, here, there)
        self.time_offsets.learn(couples, here, there)
        if self.view_pairs.fit():
            self._beside.changed()

    def pictures_at_one_place(self, row: int, other: int) -> int:
        """In how many pictures the boxes of two tracks of one camera showed one place."""
        return self._at_one_place.get((min(row, other), max(row, other)), 0)

    def refresh(self, *, means: bool) -> None:
        """Bring the features up to date; see `Appearance.refresh`."""
        self._appearance.refresh(means=means)

    def learn_dimensions(self) -> None:
        """See `Appearance.learn_dimensions`."""
        self._appearance.learn_dimensions()

    def gallery(self, embedder: str, camera: int | None, groups: Groups) -> Gallery | None:
        """How the groups look; see `Appearance.gallery`."""
        return self._appearance.gallery(embedder, camera, groups)

    def learned_appearance(self) -> list[LearnedAppearance]:
        """See `Appearance.learned`."""
        return self._appearance.learned()

    def gains(self, a: Groups, b: Groups) -> Gains:
        """Log-likelihood ratio of "one object" against "two" for each group of `a` with each of `b`, rounded.

        Returns:
            `(len(a), len(b))` float64; -inf for groups that cannot be compared.
        """
        if not len(a) or not len(b):
            return np.zeros((len(a), len(b)))
        pairs = self._beside.ratios([row for group in a for row in group], [row for group in b for row in group])
        starts_a, starts_b = (np.cumsum([0, *map(len, groups)])[:-1] for groups in (a, b))
        beside = np.add.reduceat(np.add.reduceat(pairs, starts_a, axis=0), starts_b, axis=1)
        differ = self._classes(a)[:, None] != self._classes(b)
        return np.round(self._appearance.gains(a, b) + np.clip(beside, *_CLIP) - _OTHER_CLASS * differ, _DECIMALS)

    def at_first_sight(self, rows: Sequence[int], groups: Groups) -> tuple[Gains, Gains]:
        """What is known of new tracks at once: ratios as in `gains`, and what the newest places say.

        Returns:
            Twice `(len(rows), len(groups))` float64.
        """
        if not len(rows) or not len(groups):
            return np.zeros((len(rows), len(groups))), np.zeros((len(rows), len(groups)))
        beside = self._beside.at_first_sight(rows, [row for group in groups for row in group])
        starts = np.cumsum([0, *map(len, groups)])[:-1]
        places = np.clip(np.add.reduceat(beside, starts, axis=1), *_CLIP)
        singles = [[row] for row in rows]
        differ = self._classes(singles)[:, None] != self._classes(groups)
        ratios = self._appearance.gains(singles, groups) + places - _OTHER_CLASS * differ
        return np.round(ratios, _DECIMALS), np.round(places, _DECIMALS)

    def terms(self, a: Sequence[int], b: Sequence[int]) -> dict[str, float]:
        """The parts of what `gains` says of two groups, by name. A group that cannot be compared looks different."""
        appearance = max(float(self._appearance.gains([a], [b])[0, 0]), _UNLIKE)
        motion, position = self._beside.parts(a, b)
        beside, motion = (float(np.clip(value, *_CLIP)) for value in (motion + position, motion))
        class_a, class_b = self._classes([a, b]).tolist()
        other_class = -_OTHER_CLASS if class_a != class_b else 0.0
        terms = {"appearance": appearance, "motion": motion, "position": beside - motion, "class": other_class}
        return {name: round(value, 3) for name, value in terms.items()}

    def compare(self, a: Sequence[int], b: Sequence[int]) -> Gains:
        """What appearance and motion say of each track of one camera with each of another one, `(len(a), len(b))`."""
        moved = self._motion.ratios(np.array(a, np.intp), np.array(b, np.intp))
        looks = self._appearance.gains([[row] for row in a], [[row] for row in b])
        return np.round(looks + np.clip(moved, *_CLIP), _DECIMALS)

    def at_home(self, groups: Groups) -> Gains:
        """For each track the ratio with all the others of its group, as in `gains`.

        Returns:
            One float64 for each track of all groups, in their order; -inf for a track that cannot be compared.
        """
        rows = [row for group in groups for row in group]
        numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        beside = (self._beside.ratios(rows, rows) * (numbers[:, None] == numbers)).sum(axis=1)
        differ = self._table.rows["class"][rows] != self._classes(groups)[numbers]
        ratios = self._appearance.at_home(groups) + np.clip(beside, *_CLIP) - _OTHER_CLASS * differ
        return np.round(ratios, _DECIMALS)

    def _classes(self, groups: Groups) -> npt.NDArray[np.intp]:
        """The class that most of the embeddings of each group were made with."""
        rows = self._table.rows[[row for group in groups for row in group]]
        numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        votes = np.zeros((len(groups), int(rows["class"].max(initial=-1)) + 2))
        np.add.at(votes, (numbers, rows["class"] + 1), np.minimum(rows["embedded"], _CLASS_VOTES))
        return votes.argmax(axis=1) - 1

    def retire(self, rows: Sequence[int]) -> None:
        """Keep what is needed of tracks that the table is about to forget; see `CameraMeans.retire`."""
        self._appearance.retire(rows)

    def cut(self, row: int) -> int:
        """Divide a track before its newest crops, see `TrackTable.cut`; the row of the part that ended."""
        newest = self.switches.newest(row)
        ended = self._table.cut(row, newest)
        self._motion.cut(row, ended, newest.first.time_ns)
        self.passages.cut(row, ended)
        self._appearance.changed(row, ended)
        for pair in self._pairs_of(row):
            other = sum(pair) - row
            self._at_one_place[min(ended, other), max(ended, other)] = self._at_one_place.pop(pair)
        self._beside.changed()
        return ended

    def forget(self, row: int) -> None:
        """Clear a row, which another track may use from now on."""
        self._appearance.forget(row)
        self.switches.forget(row)
        self._motion.forget(row)
        self.passages.forget(row)
        self._beside.changed()
        for pair in self._pairs_of(row):
            del self._at_one_place[pair]

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now; their order is the same."""
        self._appearance.renumber_rows(new_rows)
        self._motion.renumber_rows(new_rows)
        self.passages.renumber_rows(new_rows)
        self.switches.renumber_rows(new_rows)
        self._beside.changed()
        pairs = self._at_one_place.items()
        self._at_one_place = {(int(new_rows[one]), int(new_rows[other])): count for (one, other), count in pairs}

    def _pairs_of(self, row: int) -> list[tuple[int, int]]:
        return [pair for pair in self._at_one_place if row in pair]

    def to_dict(self) -> dict[str, Any]:
        """Everything learned, for a checkpoint."""
        return {
            "appearance": self._appearance.to_dict(),
            "motion": self._motion.to_dict(),
            "passages": self.passages.to_dict(),
            "view_pairs": self.view_pairs.to_dict(),
            "switches": self.switches.to_dict(),
            "time_offsets": self.time_offsets.to_dict(),
            "moved": sorted(self._ground.moved),
            "at_one_place": [[*pair, count] for pair, count in sorted(self._at_one_place.items())],
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`, also of a state without it. The table is restored already."""
        self._ground.moved = {camera_index[camera] for camera in data.get("moved", ()) if camera_index[camera] >= 0}
        self._appearance.restore(data.get("appearance", {}), camera_index)
        self._motion.restore(data.get("motion", {}), camera_index)
        self.passages.restore(data.get("passages", {}), camera_index)
        before = data.get("view_pairs", {}).get("calibrations", ())
        for camera in sorted(self._ground.changed_since({camera_index[camera]: mark for camera, mark in before})):
            self.passages.restart(camera)
        self.view_pairs.restore(data.get("view_pairs", {}), camera_index)
        self.time_offsets.restore(data.get("time_offsets", {}), camera_index)
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
