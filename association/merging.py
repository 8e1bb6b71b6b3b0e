"""Merges identities that turn out to be one object, in the live mode. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from association.changes import IdentityChanges
from association.constraints import Constraints
from association.departures import Departures, Histories
from association.evidence import Evidence
from association.identities import Identities, Identity, may_be_one
from association.odds import Candidates, Odds, Weighed, plausible
from association.outcome import CycleResult
from association.track_table import TrackTable

_MERGE = 0.9
"""Posterior at which two identities are merged, as seen from both."""
_LEAST_MERGE_RATIO = -1.0
"""Identities with a lower ratio are not merged, however few the rivals."""
_ALIKE = 3.0
"""Two candidates are probably one object if this much speaks for it."""
_RIVAL = 0.01
"""Candidates with a lower posterior are no rivals."""
_NO_CANDIDATES = Weighed([], Odds(np.zeros(0), 1.0, np.zeros(0), np.zeros(0)))


class Merging:
    """Compares the identities in view with all others."""

    def __init__(
        self,
        table: TrackTable,
        identities: Identities,
        evidence: Evidence,
        constraints: Constraints,
        histories: Histories,
        candidates: Candidates,
    ) -> None:
        self._table, self._identities, self._evidence = table, identities, evidence
        self._constraints, self._histories, self._candidates = constraints, histories, candidates
        self._changes = IdentityChanges(table, identities)

    def merge(self, result: CycleResult) -> None:
        """Merge identities that are one object, the clearest pair first."""
        while self._merge_once(result):
            pass

    def _merge_once(self, result: CycleResult) -> bool:
        every = self._identities.by_gid()
        present = [k for k, identity in enumerate(every) if identity.present]
        if len(every) < 2 or not present:
            return False
        groups = [identity.rows for identity in every]
        gains = self._evidence.gains([groups[k] for k in present], groups)
        gains[np.arange(len(present)), present] = -np.inf
        place = {k: i for i, k in enumerate(present)}
        departures = self._candidates.departures(every)
        known: dict[int, Weighed] = {}

        def weighed(k: int) -> Weighed:
            if k not in known:
                known[k] = self._weigh(k, every, gains[place[k]], departures)
            return known[k]

        def are_alike(j: int, other: int) -> bool:
            ratio = gains[place[j], other] if j in place else gains[place[other], j] if other in place else -np.inf
            return bool(ratio > _ALIKE) and self._constraints.may_merge(every[j], every[other])

        def posterior(k: int, j: int) -> float:
            """That `k` is the same object as `j`. Candidates that are probably the same object as `j` are no rivals."""
            candidates, odds = weighed(k)
            found = zip(candidates, odds.posteriors.tolist(), strict=True)
            return sum(share for other, share in found if other == j or (share > _RIVAL and are_alike(j, other)))

        pairs = []
        for i, k in enumerate(present):
            likely = gains[i] > _LEAST_MERGE_RATIO
            if not likely.any():
                continue
            candidates, odds = weighed(k)
            if odds.new > 1.0 - _MERGE:
                continue
            for at in np.flatnonzero(odds.posteriors > _RIVAL).tolist():
                j = candidates[at]
                mutual = posterior(k, j)
                if mutual >= _MERGE and j in place:
                    mutual = min(mutual, posterior(j, k))
                if mutual >= _MERGE and likely[j]:
                    pairs.append((-mutual, -float(gains[i, j]), min(k, j), max(k, j), k))
        gone: set[int] = set()
        for _, _, kept, lost, k in sorted(pairs):
            if not {kept, lost} & gone:
                decision = self._candidates.explain(every[k].rows, kept + lost - k, weighed(k), every)
                self._changes.merge(every[kept], every[lost], decision, result)
                gone |= {kept, lost}
        return bool(gone)

    def _weigh(
        self, k: int, every: Sequence[Identity], gains: npt.NDArray[np.float64], departures: Departures
    ) -> Weighed:
        """The identities that may be the same object as the `k`-th one, which is in view."""
        one, rows = every[k], self._table.rows[every[k].rows]
        returns = departures.returns(one.rows, one.settled_ns)
        is_possible = not one.pinned and (len(one.rows) == 1 or self._constraints.is_possible(one))

        def may_be(j: int) -> bool:
            if is_possible and returns.are_known[j]:
                return self._histories.hold(every[j], departures.when(j))
            return self._constraints.may_merge(one, every[j])

        among = plausible(gains)
        if one.apart or one.name:
            among[[j for j in np.flatnonzero(among).tolist() if not may_be_one(one, every[j])]] = False

        def allowed(among: npt.NDArray[np.bool_]) -> list[int]:
            if is_possible:
                return returns.possible(among, may_be).tolist()
            return [j for j in np.flatnonzero(among).tolist() if may_be(j)]

        if not allowed(among & (gains > _LEAST_MERGE_RATIO)):
            return _NO_CANDIDATES  # The others are too unlikely to be merged.
        cameras = rows["camera"][~rows["ended"]].tolist()
        return self._candidates.weigh(one.rows, cameras, allowed(among), every, gains, returns)
