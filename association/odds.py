"""How likely a group of tracks is each of several known identities, or a new object. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from association.decisions import Decision
from association.departures import Departures, Returns
from association.evidence import Evidence
from association.identities import Identity
from association.possibility import Possibility
from association.track_table import TrackTable
from association.travel import TravelTimes

_SEEN_BESIDE = 0.85
"""Prior probability that a track which starts in a view belongs to an identity in an overlapping view, if one may."""
_SEEN_AT_PLACE = 0.5
"""The same, if the place in that view is known: most of those that are there have been recognised at first sight."""
_HOPELESS = -4.0
"""Identities with a lower ratio are no candidates."""
_CERTAIN_RATIO = 12.0
"""Higher ratios count as this one in a posterior, so that no single piece of evidence is certain."""


@dataclass(frozen=True)
class Odds:
    """What a group of tracks is, among `n` candidates."""

    posteriors: npt.NDArray[np.float64]
    """`(n,)` in [0, 1]: probability of each candidate, rounded."""
    new: float
    """Probability of none of them: a new object."""
    priors: npt.NDArray[np.float64]
    """`(n,)`: log of the prior odds of each candidate against a new object."""
    scores: npt.NDArray[np.float64]
    """`(n,)`: log of the odds of each candidate against a new object, all evidence included."""


class Weighed(NamedTuple):
    """The candidates for a group of tracks, and their odds."""

    candidates: list[int]
    """Their indices in a list of identities."""
    odds: Odds


class Candidates:
    """Weighs candidates by evidence and prior."""

    def __init__(self, table: TrackTable, possibility: Possibility, evidence: Evidence, travel: TravelTimes) -> None:
        self._table, self._possibility, self._evidence, self._travel = table, possibility, evidence, travel

    def departures(self, identities: Sequence[Identity]) -> Departures:
        """Where and when each identity was seen last; their `returns` are needed to weigh candidates."""
        return Departures(self._table, self._possibility, self._evidence.passages, identities)

    def weigh(
        self,
        group: Sequence[int],
        cameras: Sequence[int],
        candidates: list[int],
        choices: Sequence[Identity],
        gains: npt.NDArray[np.float64],
        returns: Returns,
    ) -> Weighed:
        """The odds of a group of tracks.

        Candidates in overlapping views share a prior, so each rival makes a decision harder. Those that left have the
        prior that the travel time gives them.

        Args:
            group: rows of the tracks.
            cameras: in which they are seen.
            candidates: indices in `choices`.
            choices: `n` identities.
            gains: `(n,)` log-likelihood ratio of each.
            returns: what is known of each, if the group is its return.
        """
        numbers = np.array(candidates, np.intp)
        gains, ratios = gains[numbers], returns.ratios(self._travel, numbers)
        shares = np.zeros(len(numbers))
        for k in np.flatnonzero(np.isnan(ratios)).tolist():
            shares[k] = self._share_beside(cameras, choices[candidates[k]])
        beside, prior_beside = shares > 0.0, float(shares.max(initial=0.0))
        priors, none = np.zeros(len(numbers)), 1.0 - prior_beside
        if beside.any():
            priors[beside] = prior_beside / beside.sum()
        if not beside.all():
            unknown = 1.0 / int((~beside).sum())
            for k in np.flatnonzero(np.isnan(ratios) & ~beside).tolist():
                ratio = self._travel.ratio(group, choices[candidates[k]].rows)
                ratios[k] = unknown if ratio is None else ratio
            none /= 1.0 + ratios[~beside].sum()
            priors[~beside] = none * ratios[~beside]
        weights = priors * np.exp(np.minimum(gains, _CERTAIN_RATIO))
        total = float(weights.sum()) + none
        logs = np.round(np.log(priors) - math.log(none), 4)
        return Weighed(candidates, Odds(np.round(weights / total, 6), round(none / total, 6), logs, logs + gains))

    def explain(
        self,
        group: Sequence[int],
        choice: int,
        weighed: Weighed,
        choices: Sequence[Identity],
        placed: npt.NDArray[np.float64] | None = None,
    ) -> Decision:
        """Why a group of tracks is the identity `choice`; if that is -1, why it is not the best of the others.

        `placed`: what the places in the newest pictures say of each of `choices`, if only they were compared.
        """
        candidates, odds = weighed
        if not candidates:
            return Decision()
        at = candidates.index(choice) if choice >= 0 else int(odds.scores.argmax())
        identity = choices[candidates[at]]
        terms = self._evidence.terms(group, identity.rows)
        if placed is not None:
            terms["position"] = round(float(placed[candidates[at]]), 3)
        terms["prior"] = float(odds.priors[at])
        if choice < 0:
            return Decision.of_none(terms, identity.gid)
        scores = zip(candidates, odds.scores.tolist(), strict=True)
        return Decision.of(terms, {0: 0.0} | {choices[j].gid: score for j, score in scores if j != choice})

    def _share_beside(self, cameras: Sequence[int], identity: Identity) -> float:
        """The share of the tracks in `cameras` that are in an overlapping view, too; 0: `identity` is in none."""
        rows = self._table.rows[identity.rows]
        views, share = set(rows["camera"][~rows["ended"]].tolist()), 0.0
        for camera in cameras:
            for other in self._possibility.near[camera] & views:
                is_mapped = self._evidence.view_pairs.knows((min(camera, other), max(camera, other)))
                share = max(share, _SEEN_AT_PLACE if is_mapped else _SEEN_BESIDE)
        return share


def plausible(gains: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which identities with these ratios are candidates; the others are hopeless."""
    return gains > _HOPELESS
