"""The live mode: groups tracks by the sum of all evidence, and revises what later evidence speaks against. Pure.

A new track gets a gid as soon as its posterior is clear, and after a while in any case. At each revision, tracks move
to the identity that explains them better, tracks that no evidence holds are split off, and identities are merged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from association.changes import IdentityChanges, waiting_tracks
from association.evidence import Evidence
from association.identities import Identities, Identity
from association.learned_layout import LearnedLayout, LearnedOverlap, OverlapSource
from association.outcome import CameraTick, CycleResult
from association.overlap import ViewOverlaps
from association.positions import Position
from association.possibility import Possibility, Visit
from association.settings import AssociationSettings
from association.track_table import TrackTable
from association.travel import TravelTimes

_SEEN_BESIDE = 0.85
"""Prior probability that a track which starts in a view belongs to an identity in an overlapping view, if one may."""
_HOPELESS = -4.0
"""Identities with a lower ratio are no candidates."""
_CERTAIN_RATIO = 12.0
"""Higher ratios count as this one in a posterior, so that no single piece of evidence is certain."""
_SURE = 0.85
"""Posterior at which a young track is decided."""
_LIKELY = 0.5
"""Posterior that suffices for a track that has waited."""
_WAIT_NS = 2_000_000_000
"""How long a track waits for a clear decision."""
_MERGE = 0.8
"""Posterior at which two identities are merged, as seen from both."""
_LEAST_MERGE_RATIO = -1.0
"""Identities with a lower ratio are not merged, however few the rivals."""
_LOWEST_SCORE = -20.0
_MOVE_RATIO = 4.0
"""Hysteresis: a track moves if another identity explains it this much better."""
_SPLIT_RATIO = -2.0
"""Hysteresis: a track is split off if this much speaks against its identity."""
_CANDIDATE_COST = 0.5
"""Another identity must explain a track by this, times the log of the number of candidates, to be worth a move."""
_CONFIRMED_RATIO = 3.0
"""A handover is learned from if this much speaks for it, apart from the travel time."""
_TOLERATED_PICTURES = 3.5
"""Pictures that may show two tracks of one object at two places: a tracker often starts the new one too early."""


class LiveGrouping:
    """Assigns the tracks of a table to identities."""

    def __init__(
        self, table: TrackTable, identities: Identities, possibility: Possibility, settings: AssociationSettings
    ) -> None:
        self._table, self._identities = table, identities
        self._possibility, self._settings = possibility, settings
        self._changes = IdentityChanges(table, identities)
        self.evidence = Evidence(table, possibility.near, possibility.ground)
        self.overlaps = ViewOverlaps(table, possibility.unknown)
        self.travel = TravelTimes(table, identities, possibility.layout)

    def observe(self, seen: CameraTick, rows: npt.NDArray[np.intp]) -> None:
        """Learn from the tracks of one camera at one tick."""
        self._table.rows["class"][rows] = seen.batch.class_ids
        self.evidence.observe(seen, rows)
        self.travel.observe(seen)

    def forget(self, row: int) -> None:
        """Forget a track; another one may use its row."""
        self.evidence.forget(row)
        self.travel.forget(row)
        self.overlaps.forget(row)

    def to_dict(self) -> dict[str, Any]:
        """Everything learned, for a checkpoint."""
        return {
            "evidence": self.evidence.to_dict(),
            "travel": self.travel.to_dict(),
            "overlaps": self.overlaps.to_dict(),
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`, also of a state of the reference mode, which has learned nothing."""
        self.evidence.restore(data.get("evidence", {}), camera_index)
        self.travel.restore(data.get("travel", {}), camera_index)
        self.overlaps.restore(data.get("overlaps", {}), camera_index)
        if "overlaps" not in data:
            self._learn_overlaps_of_identities()
        self._apply_overlaps()

    def learned(self) -> LearnedLayout:
        """What has been learned of the cameras."""
        places, overlaps = self.evidence.view_pairs, []
        for one, other in combinations(range(len(self._possibility.near)), 2):
            pair = one, other
            if pair in self.overlaps.unknown:
                source: OverlapSource = "learned" if pair in self.overlaps.learned else "unknown"
                asked, found = self.overlaps.asked(pair), self.overlaps.found(pair)
                probability = self.overlaps.probability(pair)
                overlaps.append(LearnedOverlap(pair, source, probability, asked, found, places.knows(pair)))
            elif other in self._possibility.near[one]:
                is_open = bool(self._possibility.layout.pairs_unknown[pair])
                overlaps.append(
                    LearnedOverlap(pair, "calibration" if is_open else "layout", None, 0, 0, places.knows(pair))
                )
        return LearnedLayout(tuple(overlaps), tuple(self.travel.learned()))

    def positions(self) -> dict[int, Position]:
        """Gid → where it is, for the identities that calibrated cameras see."""
        rows, found = self._table.rows, {}
        for identity in self._by_gid():
            live = [row for row in identity.rows if not rows["ended"][row]]
            position = self.evidence.positions.of(live, rows["camera"][live].tolist()) if live else None
            if position is not None:
                found[identity.gid] = position
        return found

    # -- new tracks ------------------------------------------------------------------------------------

    def assign(self, result: CycleResult) -> None:
        """Give every waiting track a gid whose decision is clear or has waited long enough, the clearest first."""
        cut = self._cut_switched(result)
        self._assign_waiting(result)
        without = [row for row in cut if not self._table.rows["gid"][row]]
        result.assignments += [self._changes.assignment(row) for row in without]

    def _assign_waiting(self, result: CycleResult) -> None:
        waiting = waiting_tracks(self._table, self._settings.min_track_frames)
        if not waiting:
            return
        self.evidence.refresh(means=False)
        choices = list(self._identities)
        gains = self.evidence.gains([[row] for row in waiting], [identity.rows for identity in choices])
        left = list(range(len(waiting)))
        while left:
            decisions = [(self._decide(waiting[i], choices, gains[i]), i) for i in left]
            clear = [(posterior, -i, j) for (posterior, j), i in decisions if j is not None]
            if not clear:
                break
            _, minus_i, j = max(clear)
            row = waiting[-minus_i]
            left.remove(-minus_i)
            if j < 0:
                choices.append(self._changes.create(row))
                gains = np.hstack([gains, np.zeros((len(waiting), 1))])
                j, score = len(choices) - 1, 0.0
            else:
                score = float(gains[-minus_i, j])
            self._changes.join(row, choices[j], score, result)
            if left:
                gains[left, j] = self.evidence.gains([[waiting[i]] for i in left], [choices[j].rows])[:, 0]

    def _cut_switched(self, result: CycleResult) -> list[int]:
        """Divide the tracks that go on with another object; the rows of those that had a gid.

        The new part waits for a gid like a new track.
        """
        cut = []
        for row in self.evidence.switches.take():
            if self._table.rows["used"][row] and not self._table.rows["ended"][row]:
                ended = self.evidence.cut(row)
                self.travel.forget(row)
                self.overlaps.forget(row)
                if self._changes.cut(row, ended, result):
                    cut.append(row)
        return cut

    def _decide(
        self, row: int, choices: Sequence[Identity], gains: npt.NDArray[np.float64]
    ) -> tuple[float, int | None]:
        """The posterior of the best choice, and its index; -1: a new identity; None: wait."""
        rows = self._table.rows
        candidates = [j for j in np.flatnonzero(gains > _HOPELESS).tolist() if self._may_join(row, choices[j])]
        posteriors, new = self._posteriors(
            [row], [int(rows["camera"][row])], [choices[j] for j in candidates], gains[candidates]
        )
        best = int(posteriors.argmax()) if candidates else -1
        has_waited = bool(rows["ended"][row]) or rows["last_ns"][row] - rows["first_ns"][row] >= _WAIT_NS
        if candidates and posteriors[best] >= (_LIKELY if has_waited else _SURE):
            return float(posteriors[best]), candidates[best]
        if has_waited or new >= _SURE:
            return new, -1
        return 0.0, None

    def _posteriors(
        self,
        group: Sequence[int],
        cameras: Sequence[int],
        candidates: Sequence[Identity],
        gains: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.float64], float]:
        """Posterior of each candidate for a group of tracks seen in `cameras`, and of none of them; rounded.

        Candidates in overlapping views share a prior, so each rival makes a decision harder. Those that left have the
        prior that the travel time gives them.
        """
        beside = np.array([self._is_beside(cameras, identity) for identity in candidates], np.bool_)
        prior_beside = _SEEN_BESIDE if beside.any() else 0.0
        priors, none = np.zeros(len(candidates)), 1.0 - prior_beside
        if beside.any():
            priors[beside] = prior_beside / beside.sum()
        if not beside.all():
            unknown = 1.0 / int((~beside).sum())
            ratios = [self.travel.ratio(group, candidates[k].rows) for k in np.flatnonzero(~beside).tolist()]
            returns = np.array([unknown if ratio is None else ratio for ratio in ratios])
            none /= 1.0 + returns.sum()
            priors[~beside] = none * returns
        weights = priors * np.exp(np.minimum(gains, _CERTAIN_RATIO))
        total = float(weights.sum()) + none
        return np.round(weights / total, 6), round(none / total, 6)

    def _is_alike(self, identity: Identity, row: int) -> bool:
        at_home = self.evidence.at_home(identity.rows)
        return bool(at_home[identity.rows.index(row)] > _CONFIRMED_RATIO)

    def _is_beside(self, cameras: Sequence[int], identity: Identity) -> bool:
        """Whether an identity is in a view that overlaps one of `cameras`."""
        rows = self._table.rows[identity.rows]
        views = set(rows["camera"][~rows["ended"]].tolist())
        return any(not self._possibility.near[camera].isdisjoint(views) for camera in cameras)

    # -- revising --------------------------------------------------------------------------------------

    def revise(self, result: CycleResult) -> None:
        """Correct what newer evidence speaks against. Only identities in view are revised."""
        self.evidence.refresh(means=True)
        if self._settings.learn:
            self._learn()
        self._shed(result)
        self._move(result)
        self._merge(result)

    def _learn(self) -> None:
        """Learn from what is certain, in the order of cycles only."""
        self.evidence.learn_dimensions()
        self._learn_overlaps()
        self._learn_places()
        self.travel.learn(self._is_alike)

    def _learn_places(self) -> None:
        rows, couples = self._table.rows, []
        for identity in self._by_gid():
            live = [row for row in identity.rows if not rows["ended"][row]]
            for one in live:
                for other in live:
                    cameras = int(rows["camera"][one]), int(rows["camera"][other])
                    if cameras[0] < cameras[1] and cameras[1] in self._possibility.near[cameras[0]]:
                        tracks = int(rows["track_id"][one]), int(rows["track_id"][other])
                        couples.append((cameras, (one, other), tracks))
        self.evidence.learn_places([*couples, *self.overlaps.couples()])

    def _learn_overlaps(self) -> None:
        places = self.evidence.view_pairs
        self.overlaps.learn(self.evidence.compare, places.mapped(), places.disagreeing())
        self._apply_overlaps()

    def _apply_overlaps(self) -> None:
        for pair in self.overlaps.unknown:
            self._possibility.set_overlap(*pair, overlap=pair in self.overlaps.learned)

    def _learn_overlaps_of_identities(self) -> None:
        """Keep the identities of an earlier version whole, which took views for overlapping that it knew nothing of."""
        for identity in self._identities:
            live = [row for row in identity.rows if not self._table.rows["ended"][row]]
            cameras = sorted(set(self._table.rows["camera"][live].tolist()))
            self.overlaps.learned |= {pair for pair in combinations(cameras, 2) if pair in self.overlaps.unknown}

    def _shed(self, result: CycleResult) -> None:
        """Split tracks off identities that have become impossible: each time the one that fits least."""
        for identity in self._by_gid():
            while (
                identity.present and len(identity.rows) > 1 and not self._possible(identity.rows, identity.settled_ns)
            ):
                live = [row for row in identity.rows if not self._table.rows["ended"][row]]
                if not live:
                    break
                enough = [row for row in live if self._possible_without(identity, row)] or live
                at_home = dict(zip(identity.rows, self.evidence.at_home(identity.rows).tolist(), strict=True))
                row = min(enough, key=lambda one: (at_home[one], -one))
                self._changes.split(identity, row, max(at_home[row], _LOWEST_SCORE), result)

    def _move(self, result: CycleResult) -> None:
        """Move tracks to identities that explain them better, and split off those that no evidence holds."""
        every = self._by_gid()
        homes = [identity for identity in every if identity.present and len(identity.rows) > 1]
        if not homes:
            return
        tracks = [(row, home) for home in homes for row in home.rows]
        gains = self.evidence.gains([[row] for row, _ in tracks], [identity.rows for identity in every])
        at_home = np.concatenate([self.evidence.at_home(home.rows) for home in homes])
        column = {identity.gid: j for j, identity in enumerate(every)}
        wishes: list[tuple[float, int, int]] = []
        for i, (_, home) in enumerate(tracks):
            cost = _candidate_cost(gains[i])
            gains[i, column[home.gid]] = -np.inf
            for j in np.argsort(-gains[i], kind="stable")[:3].tolist():
                better = float(gains[i, j]) - max(float(at_home[i]), 0.0)
                if gains[i, j] > cost and better > _MOVE_RATIO:
                    wishes.append((-better, i, j))
            if -np.inf < at_home[i] < _SPLIT_RATIO:
                wishes.append((float(at_home[i]) - _SPLIT_RATIO, i, -1))
        changed: set[int] = set()
        for _, i, j in sorted(wishes):
            row, home = tracks[i]
            if home.gid in changed or len(home.rows) < 2 or not self._possible_without(home, row):
                continue
            if j < 0:
                self._changes.split(home, row, float(at_home[i]), result)
            elif every[j].gid not in changed and self._may_join(row, every[j]):
                self._changes.move(row, every[j], float(gains[i, j]), result)
                changed.add(every[j].gid)
            else:
                continue
            changed.add(home.gid)

    def _merge(self, result: CycleResult) -> None:
        """Merge identities that are one object, the clearest pair first."""
        while True:
            every = self._by_gid()
            present = [k for k, identity in enumerate(every) if identity.present]
            if len(every) < 2 or not present:
                return
            groups = [identity.rows for identity in every]
            gains = self.evidence.gains([groups[k] for k in present], groups)
            gains[np.arange(len(present)), present] = -np.inf
            merged = False
            views: dict[int, dict[int, float]] = {}
            pairs = []
            for i, k in enumerate(present):
                for j in np.flatnonzero(gains[i] > _LEAST_MERGE_RATIO).tolist():
                    seen_from_k = self._merge_posteriors(i, every, present, gains, views).get(j, 0.0)
                    mutual = seen_from_k
                    if seen_from_k >= _MERGE and j in present:
                        other = self._merge_posteriors(present.index(j), every, present, gains, views)
                        mutual = min(seen_from_k, other.get(k, 0.0))
                    if mutual >= _MERGE:
                        pairs.append((-mutual, -float(gains[i, j]), min(k, j), max(k, j)))
            gone: set[int] = set()
            for _, minus_gain, kept, lost in sorted(pairs):
                if not {kept, lost} & gone:
                    self._changes.merge(every[kept], every[lost], -minus_gain, result)
                    gone |= {kept, lost}
                    merged = True
            if not merged:
                return

    def _merge_posteriors(
        self,
        i: int,
        every: Sequence[Identity],
        present: Sequence[int],
        gains: npt.NDArray[np.float64],
        known: dict[int, dict[int, float]],
    ) -> dict[int, float]:
        """Posterior of each identity for being the same object as the `i`-th one in view; `known` keeps results."""
        if i not in known:
            one = every[present[i]]
            candidates = [j for j in np.flatnonzero(gains[i] > _HOPELESS).tolist() if self._may_merge(one, every[j])]
            rows = self._table.rows[one.rows]
            cameras = rows["camera"][~rows["ended"]].tolist()
            posteriors, _ = self._posteriors(one.rows, cameras, [every[j] for j in candidates], gains[i, candidates])
            known[i] = dict(zip(candidates, posteriors.tolist(), strict=True))
        return known[i]

    # -- shared ----------------------------------------------------------------------------------------

    def _by_gid(self) -> list[Identity]:
        return sorted(self._identities, key=_gid)

    def _may_join(self, row: int, identity: Identity) -> bool:
        if self._is_elsewhere(row, identity):
            return False
        return self._possible([*identity.rows, row], identity.settled_ns)

    def _is_elsewhere(self, row: int, identity: Identity) -> bool:
        """Whether an identity is seen at this moment in a view that is not known to overlap that of a track."""
        if not self._possibility.has_slack:
            return False
        rows = self._table.rows
        own = int(rows["camera"][row])
        seen = rows[identity.rows]
        now = seen["camera"][(seen["last_ns"] >= rows["last_ns"][row]) & ~seen["ended"]].tolist()
        return any(camera != own and camera not in self._possibility.near[own] for camera in now)

    def _may_merge(self, one: Identity, other: Identity) -> bool:
        return self._possible([*one.rows, *other.rows], max(one.settled_ns, other.settled_ns))

    def _possible_without(self, identity: Identity, row: int) -> bool:
        return self._possible([other for other in identity.rows if other != row], identity.settled_ns)

    def _possible(self, rows: Sequence[int], settled_ns: int) -> bool:
        return self._possibility.holds(self._table.visits(rows), settled_ns, self._clashes)

    def _clashes(self, one: Visit, other: Visit) -> bool:
        """Whether two tracks of one camera were at two places at once for longer than a tracker needs to switch."""
        common_ns = min(one.last_ns, other.last_ns) - max(one.first_ns, other.first_ns)
        pictures = common_ns / self._settings.tick_ns + 1
        return pictures - self.evidence.pictures_at_one_place(one.row, other.row) > _TOLERATED_PICTURES


def _candidate_cost(gains: npt.NDArray[np.float64]) -> float:
    return _CANDIDATE_COST * math.log(max(1, int((gains > _HOPELESS).sum())))


def _gid(identity: Identity) -> int:
    return identity.gid
