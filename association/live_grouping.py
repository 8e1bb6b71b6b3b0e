"""The live mode: groups tracks by the sum of all evidence, and revises what later evidence speaks against. Pure.

A new track gets a gid as soon as its posterior is clear, and after a while in any case. At each revision, tracks move
to the identity that explains them better, tracks that no evidence holds are split off, and identities are merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from association.changes import IdentityChanges, waiting_tracks
from association.constraints import Constraints
from association.decisions import Decision
from association.departures import Departures, Histories
from association.evidence import Evidence
from association.identities import Identities, Identity
from association.learned_layout import LearnedLayout
from association.learning import Learning
from association.likeness import Gallery, Groups
from association.merging import Merging
from association.odds import Candidates, Weighed, plausible
from association.outcome import CameraTick, CycleResult
from association.positions import Position
from association.possibility import Possibility, Visit
from association.settings import AssociationSettings
from association.track_table import TrackTable

_AT_ONE_PLACE = 3.0
"""A track that has just started is decided at once if its place says so much for an identity."""
_SURE = 0.96
"""Posterior at which a young track is decided."""
_LIKELY = 0.5
"""Posterior that suffices for a track that has waited."""
_LEAD = 2.0
"""An object that left has returned if its posterior is this many times that of each other candidate."""
_WAIT_NS, _WAIT_TICKS = 2_000_000_000, 3
"""How long a track waits for a clear decision: at one tick per second or less, for so many ticks."""
_LIKELY_NEW = 0.8
"""After that, the posterior that suffices for a new object, if the place of the track on the ground is known. Below it,
the track waits: its place often tells who it is, and a gid too many has to be merged away."""
_LONGEST_WAIT_NS = 5_000_000_000
"""How long a track waits at most."""
_EXPLAINED = 5
"""So many identities are looked at to find one that explains why a track is a new object."""
_LOWEST_SCORE = -20.0
_MOVE_RATIO = 4.0
"""Hysteresis: a track moves if another identity explains it this much better."""
_SPLIT_RATIO = -2.0
"""Hysteresis: a track is split off if this much speaks against its identity."""
_CANDIDATE_COST = 0.5
"""Another identity must explain a track by this, times the log of the number of candidates, to be worth a move."""
_TOLERATED_PICTURES = 3.5
"""Pictures that may show two tracks of one object at two places: a tracker often starts the new one too early."""
_TOLERATED_TOGETHER = 0.5
"""The same, if the newest picture of both shows both."""


class _Verdict(NamedTuple):
    """What was decided of a track."""

    choice: int
    """Index of its identity; -1: a new one."""
    posterior: float
    weighed: Weighed


class LiveGrouping:
    """Assigns the tracks of a table to identities."""

    def __init__(
        self, table: TrackTable, identities: Identities, possibility: Possibility, settings: AssociationSettings
    ) -> None:
        self._table, self._identities, self._settings = table, identities, settings
        self._changes = IdentityChanges(table, identities)
        self.evidence = Evidence(table, possibility.near, possibility.ground)
        self._learning = Learning(table, identities, possibility, self.evidence)
        self._constraints = Constraints(table, possibility, self.clashes)
        self._histories = Histories(table, possibility, self.clashes)
        self._candidates = Candidates(table, possibility, self.evidence, self._learning.travel)
        self._merging = Merging(table, identities, self.evidence, self._constraints, self._histories, self._candidates)

    def observe(self, seen: CameraTick, rows: npt.NDArray[np.intp]) -> None:
        """Learn from the tracks of one camera at one tick."""
        self._table.rows["class"][rows] = seen.batch.class_ids
        self.evidence.observe(seen, rows)
        self._learning.observe(seen)

    def retire(self, rows: Sequence[int]) -> None:
        """Keep what is needed of tracks that the table is about to forget."""
        self.evidence.retire(rows)

    def forget(self, row: int) -> None:
        """Forget a track; another one may use its row."""
        self.evidence.forget(row)
        self._learning.forget(row)

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now."""
        self.evidence.renumber_rows(new_rows)
        self._learning.renumber_rows(new_rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything learned, for a checkpoint."""
        return {"evidence": self.evidence.to_dict()} | self._learning.to_dict()

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`, also of a state of the reference mode, which has learned nothing."""
        self.evidence.restore(data.get("evidence", {}), camera_index)
        self._learning.restore(data, camera_index)

    def learned(self) -> LearnedLayout:
        """What has been learned of the cameras."""
        return self._learning.learned()

    def positions(self) -> dict[int, Position]:
        """Gid → where it is, for the identities that calibrated cameras see."""
        every = [identity for identity in self._identities.by_gid() if identity.present]
        ended = self._table.rows["ended"]
        found = self.evidence.positions.of([[row for row in one.rows if not ended[row]] for one in every])
        return {one.gid: position for one, position in zip(every, found, strict=True) if position is not None}

    # -- new tracks ------------------------------------------------------------------------------------

    def assign(self, result: CycleResult) -> None:
        """Give every waiting track a gid whose decision is clear or has waited long enough, the clearest first."""
        cut = self._cut_switched(result)
        self._assign_at_first_sight(result)
        self._assign_waiting(result)
        without = [row for row in cut if not self._table.rows["gid"][row]]
        result.assignments += [self._changes.assignment(row) for row in without]

    def _assign_at_first_sight(self, result: CycleResult) -> None:
        """Give tracks that have just started the gid of an identity that another camera shows at the same place."""
        young = waiting_tracks(self._table, 1, below=self._settings.min_track_frames)
        young = [row for row in young if not self._table.rows["ended"][row]]
        choices = [identity for identity in self._identities if identity.present]
        if not young or not choices:
            return
        self.evidence.refresh(means=False)
        departures = self._candidates.departures(choices)
        gains, places = self.evidence.at_first_sight(young, [identity.rows for identity in choices])
        for i in np.flatnonzero(places.max(axis=1) > _AT_ONE_PLACE).tolist():
            verdict = self._decide(young[i], choices, gains[i], departures)
            if verdict is not None and verdict.choice >= 0 and places[i, verdict.choice] > _AT_ONE_PLACE:
                decision = self._candidates.explain(
                    [young[i]], verdict.choice, verdict.weighed, choices, placed=places[i]
                )
                self._changes.join(young[i], choices[verdict.choice], decision, result)

    def _assign_waiting(self, result: CycleResult) -> None:
        waiting = waiting_tracks(self._table, self._settings.min_track_frames)
        if not waiting:
            return
        self.evidence.refresh(means=False)
        choices = list(self._identities)
        departures = self._candidates.departures(choices)
        gains = self.evidence.gains([[row] for row in waiting], [identity.rows for identity in choices])
        verdicts = {i: self._decide(row, choices, gains[i], departures) for i, row in enumerate(waiting)}
        while found := [(verdict, i) for i, verdict in verdicts.items() if verdict is not None]:
            verdict, i = max(found, key=lambda one: (one[0].posterior, -one[1]))
            row, j = waiting[i], verdict.choice
            del verdicts[i]
            decision = self._candidates.explain([row], j, verdict.weighed, choices)
            if j < 0:
                choices.append(self._changes.create(row))
                departures.added()
                gains = np.hstack([gains, np.full((len(waiting), 1), -np.inf)])
                j = len(choices) - 1
            departures.changed(j)
            self._changes.join(row, choices[j], decision, result)
            if left := list(verdicts):
                before = gains[left, j]
                gains[left, j] = self.evidence.gains([[waiting[i]] for i in left], [choices[j].rows])[:, 0]
                # What was decided of the others stays, unless this identity is or was one of their candidates.
                for i in np.array(left)[plausible(np.maximum(before, gains[left, j]))].tolist():
                    verdicts[i] = self._decide(waiting[i], choices, gains[i], departures)

    def _cut_switched(self, result: CycleResult) -> list[int]:
        """Divide the tracks that go on with another object; the rows of those that had a gid.

        The new part waits for a gid like a new track.
        """
        cut = []
        for row in self.evidence.switches.take():
            # What an operator merged or split stays whole.
            if self._table.rows["used"][row] and not self._table.rows["ended"][row] and not self._is_pinned(row):
                ended = self.evidence.cut(row)
                self._learning.cut(row, ended)
                if self._changes.cut(row, ended, result):
                    cut.append(row)
        return cut

    def _decide(
        self, row: int, choices: Sequence[Identity], gains: npt.NDArray[np.float64], departures: Departures
    ) -> _Verdict | None:
        """The identity of a track; None: wait."""
        rows = self._table.rows
        returns = departures.returns([row])

        def may_be(j: int) -> bool:
            if returns.are_known[j]:
                return self._histories.hold(choices[j], departures.when(j))
            return self._constraints.may_join(row, choices[j])

        candidates = returns.possible(plausible(gains), may_be).tolist()
        weighed = self._candidates.weigh([row], [int(rows["camera"][row])], candidates, choices, gains, returns)
        posteriors = weighed.odds.posteriors
        best = int(posteriors.argmax()) if candidates else -1
        has_ended, age_ns = bool(rows["ended"][row]), int(rows["last_ns"][row] - rows["first_ns"][row])
        is_over = has_ended or age_ns >= _LONGEST_WAIT_NS
        age_ticks = int(rows["last_tick"][row] - rows["first_tick"][row])
        has_waited = is_over or (age_ns >= _WAIT_NS and age_ticks >= _WAIT_TICKS)
        is_clear = bool(candidates) and (
            not returns.are_known[candidates[best]]
            or bool(posteriors[best] >= _LEAD * np.delete(posteriors, best).max(initial=0.0))
        )
        if is_clear and posteriors[best] >= (_LIKELY if has_waited else _SURE):
            return _Verdict(candidates[best], float(posteriors[best]), weighed)
        may_wait = has_waited and not is_over and weighed.odds.new < _LIKELY_NEW
        if may_wait and self.evidence.positions.of([[row]])[0] is not None:
            return None
        if has_waited or weighed.odds.new >= _SURE:
            posterior = weighed.odds.new
            if not candidates:  # for the explanation: the one that is the least hopeless
                nearest = [j for j in _highest(gains, _EXPLAINED) if gains[j] > -np.inf]
                nearest = [j for j in nearest if self._constraints.may_join(row, choices[j])][:1]
                weighed = self._candidates.weigh([row], [int(rows["camera"][row])], nearest, choices, gains, returns)
            return _Verdict(-1, posterior, weighed)
        return None

    # -- learning and revising -------------------------------------------------------------------------

    def learn(self) -> None:
        """Learn from the tracks and identities of this moment."""
        if self._settings.learn:
            self.evidence.refresh(means=False)
            self._learning.learn()

    def revise(self, result: CycleResult) -> None:
        """Correct what newer evidence speaks against. Only identities in view are revised."""
        self.evidence.refresh(means=True)
        self._histories.prune(self._identities)
        before = len(result.events)
        self._shed(result)
        self._move(result)
        if len(result.events) > before:  # What was split off may belong to another identity, and gets its gid at once.
            self._merging.merge(result)

    def merge(self, result: CycleResult) -> None:
        """Merge identities that turn out to be one object; at least one of the two is in view."""
        self.evidence.refresh(means=True)
        self._merging.merge(result)

    def _shed(self, result: CycleResult) -> None:
        """Split tracks off identities that have become impossible: each time the one that fits least."""
        for identity in self._identities.by_gid():
            while identity.present and len(identity.rows) > 1 and not self._constraints.is_possible(identity):
                live = [row for row in identity.rows if not self._table.rows["ended"][row]]
                live = [row for row in live if row not in identity.pinned]
                if not live:
                    break
                enough = [row for row in live if self._constraints.is_possible_without(identity, row)] or live
                at_home = dict(zip(identity.rows, self.evidence.at_home([identity.rows]).tolist(), strict=True))
                row = min(enough, key=lambda one: (at_home[one], -one))
                self._split(identity, row, result)

    def _move(self, result: CycleResult) -> None:
        """Move tracks to identities that explain them better, and split off those that no evidence holds."""
        every = self._identities.by_gid()
        homes = [identity for identity in every if identity.present and len(identity.rows) > 1]
        if not homes:
            return
        tracks = [(row, home) for home in homes for row in home.rows]
        gains = self.evidence.gains([[row] for row, _ in tracks], [identity.rows for identity in every])
        at_home = self.evidence.at_home([home.rows for home in homes])
        column = {identity.gid: j for j, identity in enumerate(every)}
        wishes = [
            (float(at_home[i]) - _SPLIT_RATIO, i, -1)
            for i in np.flatnonzero((at_home > -np.inf) & (at_home < _SPLIT_RATIO)).tolist()
        ]
        costs = _CANDIDATE_COST * np.log(np.maximum(1, plausible(gains).sum(axis=1)))
        gains[np.arange(len(tracks)), [column[home.gid] for _, home in tracks]] = -np.inf
        least = np.maximum(costs, np.maximum(at_home, 0.0) + _MOVE_RATIO)
        for i in np.flatnonzero(gains.max(axis=1) > least).tolist():
            better = [j for j in _highest(gains[i], 3) if gains[i, j] > least[i]]
            wishes += [(float(max(at_home[i], 0.0) - gains[i, j]), i, j) for j in better]
        changed: set[int] = set()
        for _, i, j in sorted(wishes):
            row, home = tracks[i]
            if row in home.pinned or home.gid in changed or len(home.rows) < 2:
                continue
            if not self._constraints.is_possible_without(home, row):
                continue
            if j < 0:
                self._split(home, row, result)
            elif every[j].gid not in changed and self._constraints.may_join(row, every[j]):
                terms = self.evidence.terms([row], every[j].rows)
                decision = Decision.of(terms, {home.gid: max(float(at_home[i]), _LOWEST_SCORE)})
                self._changes.move(row, every[j], decision, result)
                changed.add(every[j].gid)
            else:
                continue
            changed.add(home.gid)

    def _split(self, identity: Identity, row: int, result: CycleResult) -> None:
        others = [other for other in identity.rows if other != row]
        self._changes.split(identity, row, Decision.of(self.evidence.terms([row], others), {}), result)

    # -- shared ----------------------------------------------------------------------------------------

    def _is_pinned(self, row: int) -> bool:
        gid = int(self._table.rows["gid"][row])
        return gid in self._identities and row in self._identities[gid].pinned

    def weigh(self, rows: Sequence[int], others: Sequence[int]) -> Decision:
        """What the evidence says of two groups of tracks being one object."""
        self.evidence.refresh(means=False)
        return Decision.of(self.evidence.terms(rows, others), {})

    def gallery(self, embedder: str, camera: int | None, groups: Groups) -> Gallery | None:
        """How groups of rows look; see `Appearance.gallery`."""
        return self.evidence.gallery(embedder, camera, groups)

    def clashes(self, one: Visit, other: Visit) -> bool:
        """Whether two tracks of one camera were at two places at once for longer than a tracker needs to switch."""
        common_ns = min(one.last_ns, other.last_ns) - max(one.first_ns, other.first_ns)
        pictures = common_ns / self._settings.tick_ns + 1
        tolerated = _TOLERATED_TOGETHER if one.last_ns == other.last_ns else _TOLERATED_PICTURES
        return pictures - self.evidence.pictures_at_one_place(one.row, other.row) > tolerated


def _highest(gains: npt.NDArray[np.float64], count: int) -> list[int]:
    """Indices of the highest of `(n,)` gains, the highest first; of equal ones, those with lower indices."""
    if len(gains) > count:
        among = np.flatnonzero(gains >= np.partition(gains, -count)[-count])
        return among[np.argsort(-gains[among], kind="stable")[:count]].tolist()
    return np.argsort(-gains, kind="stable").tolist()
