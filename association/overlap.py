"""Learns which views overlap, for pairs of cameras of which the layout says nothing. Pure.

If two views overlap, many objects are in both at once. Each mature track is asked whether one of the tracks that the
other camera shows at that time is the same object. The answers together are the likelihood ratio (a Bayes factor) of
"a share of the objects is in both views" against "none is", averaged over several shares. A few objects that only look
alike do not make it large: all the others look like nobody in the other view and make it small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from association.track_table import TrackTable
from association.view_pairs import Couple, Pair

_SHARES = (0.1, 0.3, 0.6, 0.9)
"""Shares of the objects in one view that may be in the other one too."""
_PRIOR = 0.2
"""Prior probability that two views overlap."""
_LEARNED = 0.9
"""Probability from which two views count as overlapping."""
_DOUBTED = 0.05
"""Probability below which they no longer count as overlapping, unless a mapping of places confirms that they do."""
_FEWEST = 3
"""Fewest tracks that must have found themselves in the other view: two may be a single pair that looks alike."""
_CLEAR = 2.0
"""Log-likelihood ratio from which a track has found itself."""
_CLIP = (-6.0, 5.0)
"""Bounds of what one pair of tracks says: look-alikes are common."""
_MATURE_CROPS = 4
_MATURE_NS = 1_500_000_000
"""A track is asked first at this age."""
_AGAIN = 1.3
"""It is asked again when its age has grown by this factor, and when it ends; the newest answer counts."""
_TOGETHER_NS = 1_000_000_000
"""Tracks that are seen together for less say nothing."""
_FORGET = 0.98
"""What a forgotten track has said counts this much less with each one forgotten later, because cameras are turned."""
_NOBODY, _GONE = -1, -2
"""In place of the row of a partner: the track has found nobody; its partner was forgotten."""

Compare = Callable[[Sequence[int], Sequence[int]], npt.NDArray[np.float64]]
"""Rows of tracks in one camera and in another → `(n, m)` log-likelihood ratios of "one object" against "two"."""


class ViewOverlaps:
    """The answers for each pair of cameras that may overlap."""

    def __init__(self, table: TrackTable, unknown: Iterable[Pair]) -> None:
        """`unknown`: pairs of cameras of which it is not known whether their views overlap."""
        self._table = table
        self.unknown = sorted(unknown)
        self.learned: set[Pair] = set()
        """Pairs that overlap."""
        self._answers: dict[Pair, dict[int, tuple[float, int]]] = {}
        """Row of a track → likelihood ratio that it is in both views, and the row in which it has found itself."""
        self._earlier: dict[Pair, list[float]] = {}
        """For each share the logarithm of the Bayes factor from tracks that were forgotten."""
        self._asked_ns: dict[int, int] = {}
        """Row → age at which it was asked last; -1: it has ended and is not asked again."""

    def learn(self, compare: Compare, mapped: Sequence[Pair], disagreeing: Sequence[Pair]) -> None:
        """Ask the tracks that are due.

        Args:
            compare: see `Compare`.
            mapped: pairs of cameras with a learned mapping of places, which certainly overlap.
            disagreeing: pairs whose objects agree on no mapping: they look alike, and are different ones.
        """
        if not self.unknown:
            return
        rows = self._table.rows
        mature = np.flatnonzero(rows["used"] & (rows["embedded"] >= _MATURE_CROPS))
        due = np.array([row for row in mature.tolist() if self._is_due(row)], np.intp)
        for pair in self.unknown:
            for here, there in (pair, pair[::-1]):
                own, others = due[rows["camera"][due] == here], mature[rows["camera"][mature] == there]
                if len(own) and len(others):
                    self._ask(pair, own, others, compare)
        for pair in self.unknown:
            if pair in mapped:
                self.learned.add(pair)
            elif pair in disagreeing:
                self.learned.discard(pair)
            elif pair in self.learned:
                if self.probability(pair) < _DOUBTED:
                    self.learned.discard(pair)
            elif self.found(pair) >= _FEWEST and self.probability(pair) >= _LEARNED:
                self.learned.add(pair)

    def _is_due(self, row: int) -> bool:
        rows = self._table.rows
        asked_ns, age_ns = self._asked_ns.get(row, 0), int(rows["last_ns"][row] - rows["first_ns"][row])
        has_ended = bool(rows["ended"][row])
        if asked_ns < 0 or (age_ns < max(_MATURE_NS, _AGAIN * asked_ns) and not has_ended):
            return False
        self._asked_ns[row] = -1 if has_ended else age_ns
        return True

    def _ask(self, pair: Pair, own: npt.NDArray[np.intp], others: npt.NDArray[np.intp], compare: Compare) -> None:
        first_ns, last_ns = self._table.rows["first_ns"], self._table.rows["last_ns"]
        common_ns = np.minimum(last_ns[own][:, None], last_ns[others]) - np.maximum(
            first_ns[own][:, None], first_ns[others]
        )
        ratios = np.where(common_ns >= _TOGETHER_NS, compare(own.tolist(), others.tolist()), np.nan)
        answers = self._answers.setdefault(pair, {})
        for row, ratio in zip(own.tolist(), ratios, strict=True):
            beside = ratio[~np.isnan(ratio)]
            if len(beside):
                partner = int(others[np.nanargmax(ratio)]) if beside.max() > _CLEAR else _NOBODY
                answers[row] = round(float(np.exp(np.clip(beside, *_CLIP)).mean()), 6), partner

    def found(self, pair: Pair) -> int:
        """How many of the tracks that are remembered have found themselves in the other view."""
        return sum(partner != _NOBODY for _, partner in self._answers.get(pair, {}).values())

    def asked(self, pair: Pair) -> int:
        """How many of the tracks that are remembered were seen while the other view showed something."""
        return len(self._answers.get(pair, {}))

    def probability(self, pair: Pair) -> float:
        """Posterior probability that two views overlap."""
        sums = list(self._earlier.get(pair, [0.0] * len(_SHARES)))
        for ratio, _ in self._answers.get(pair, {}).values():
            sums = [total + _log_factor(share, ratio) for total, share in zip(sums, _SHARES, strict=True)]
        factor = sum(math.exp(min(total, 50.0)) for total in sums) / len(sums)
        return round(_PRIOR * factor / (1.0 - _PRIOR + _PRIOR * factor), 6)

    def couples(self) -> list[Couple]:
        """Live tracks that have found each other in views that are not known to overlap."""
        rows, couples = self._table.rows, []
        for pair in self.unknown:
            answers = self._answers.get(pair, {})
            for row, (_, partner) in sorted(answers.items()):
                is_mutual = answers.get(partner, (0.0, _NOBODY))[1] == row
                if rows["camera"][row] == pair[0] and is_mutual and not rows["ended"][[row, partner]].any():
                    tracks = int(rows["track_id"][row]), int(rows["track_id"][partner])
                    couples.append((pair, (row, partner), tracks))
        return couples

    def forget(self, row: int) -> None:
        """Clear a row, which another track may use from now on."""
        self._asked_ns.pop(row, None)
        for pair, answers in self._answers.items():
            if row in answers:
                ratio, _ = answers.pop(row)
                before = self._earlier.get(pair, [0.0] * len(_SHARES))
                self._earlier[pair] = [
                    round(_FORGET * total + _log_factor(share, ratio), 6)
                    for total, share in zip(before, _SHARES, strict=True)
                ]

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now; a partner may be gone."""
        self._asked_ns = {int(new_rows[row]): age_ns for row, age_ns in self._asked_ns.items()}
        for pair, answers in self._answers.items():
            self._answers[pair] = {
                int(new_rows[row]): (ratio, _renumbered(partner, new_rows)) for row, (ratio, partner) in answers.items()
            }

    def to_dict(self) -> dict[str, Any]:
        """The answers for a checkpoint."""
        return {
            "learned": sorted(self.learned),
            "answers": [
                [*pair, [[row, *answer] for row, answer in answers.items()]]
                for pair, answers in sorted(self._answers.items())
            ],
            "earlier": [[*pair, sums] for pair, sums in sorted(self._earlier.items())],
            "asked_ns": list(self._asked_ns.items()),
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`; camera `i` has index `camera_index[i]` now, -1 if it is gone."""

        def now(first: int, second: int) -> Pair | None:
            pair = min(camera_index[first], camera_index[second]), max(camera_index[first], camera_index[second])
            return pair if pair in self.unknown else None

        self.learned = {pair for one, other in data.get("learned", ()) if (pair := now(one, other))}
        for one, other, answers in data.get("answers", ()):
            if pair := now(one, other):
                self._answers[pair] = {row: (ratio, partner) for row, ratio, partner in answers}
        self._earlier = {pair: sums for one, other, sums in data.get("earlier", ()) if (pair := now(one, other))}
        self._asked_ns = dict(data.get("asked_ns", ()))


def _renumbered(partner: int, new_rows: npt.NDArray[np.intp]) -> int:
    if partner < 0:
        return partner
    row = int(new_rows[partner])
    return row if row >= 0 else _GONE


def _log_factor(share: float, ratio: float) -> float:
    return math.log(1.0 - share + share * ratio)
