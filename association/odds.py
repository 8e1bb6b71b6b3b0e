"""How likely a group of tracks is each of several known identities, or a new object. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from association.identities import Identity
from association.track_table import TrackTable
from association.travel import TravelTimes

_SEEN_BESIDE = 0.85
"""Prior probability that a track which starts in a view belongs to an identity in an overlapping view, if one may."""
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


class Candidates:
    """Weighs candidates by evidence and prior."""

    def __init__(self, table: TrackTable, near: Sequence[Set[int]], travel: TravelTimes) -> None:
        """`near`: for each camera the cameras whose views overlap it."""
        self._table, self._near, self._travel = table, near, travel

    def odds(
        self,
        group: Sequence[int],
        cameras: Sequence[int],
        choices: Sequence[Identity],
        candidates: npt.NDArray[np.intp],
        gains: npt.NDArray[np.float64],
        returns: npt.NDArray[np.float64],
    ) -> Odds:
        """The odds of a group of tracks.

        Candidates in overlapping views share a prior, so each rival makes a decision harder. Those that left have the
        prior that the travel time gives them.

        Args:
            group: rows of the tracks.
            cameras: in which they are seen.
            choices: identities.
            candidates: `(n,)` which of them are candidates.
            gains: `(n,)` log-likelihood ratio of each.
            returns: `(n,)` what the travel time says, for the candidates that have left; nan where it is not known.
        """
        beside = np.zeros(len(candidates), np.bool_)
        for k in np.flatnonzero(np.isnan(returns)).tolist():
            beside[k] = self._is_beside(cameras, choices[candidates[k]])
        prior_beside = _SEEN_BESIDE if beside.any() else 0.0
        priors, none = np.zeros(len(candidates)), 1.0 - prior_beside
        if beside.any():
            priors[beside] = prior_beside / beside.sum()
        if not beside.all():
            unknown = 1.0 / int((~beside).sum())
            for k in np.flatnonzero(np.isnan(returns) & ~beside).tolist():
                ratio = self._travel.ratio(group, choices[candidates[k]].rows)
                returns[k] = unknown if ratio is None else ratio
            none /= 1.0 + returns[~beside].sum()
            priors[~beside] = none * returns[~beside]
        weights = priors * np.exp(np.minimum(gains, _CERTAIN_RATIO))
        total = float(weights.sum()) + none
        logs = np.round(np.log(priors) - math.log(none), 4)
        return Odds(np.round(weights / total, 6), round(none / total, 6), logs, logs + gains)

    def _is_beside(self, cameras: Sequence[int], identity: Identity) -> bool:
        """Whether an identity is in a view that overlaps one of `cameras`."""
        rows = self._table.rows[identity.rows]
        views = set(rows["camera"][~rows["ended"]].tolist())
        return any(not self._near[camera].isdisjoint(views) for camera in cameras)
