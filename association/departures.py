"""Which identities that have left may be a group of tracks: the rules of space and time for many at once. Pure.

Most identities of a large gallery have left before the tracks began, and then the rules come down to one step: from
where an identity was seen last to where the first of the tracks began. That step is checked in arrays. All others are
checked one by one, with `Possibility.holds`; the outcome is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from association.identities import Identities, Identity
from association.likeness import flat
from association.passages import Passages
from association.possibility import Clashes, Possibility
from association.track_table import TrackTable
from association.travel import TravelTimes

Mask = npt.NDArray[np.bool_]


class Returns(NamedTuple):
    """What is known of `n` identities at once, if the tracks of a group are their return."""

    are_known: Mask
    """`(n,)`: whether the step says all about the rules; what follows holds for these identities only."""
    are_possible: Mask
    """`(n,)`: whether the step is possible. The visits before it, and those of the group, have to be possible too."""
    sources: npt.NDArray[np.intp]
    """`(n,)`: camera in which each identity was seen last."""
    target: int
    """Camera in which the group began."""
    are_single: Mask
    """`(n,)`: whether each has one track, and so no history that could be impossible."""
    seconds: npt.NDArray[np.float64]
    """`(n,)`: from when each identity was seen last until the group began."""
    last_rows: npt.NDArray[np.intp]
    """`(n,)`: see `Passages.last_rows`."""
    first_row: int
    """See `Passages.first_row`."""

    def possible(self, among: Mask, holds: Callable[[int], bool]) -> npt.NDArray[np.intp]:
        """The numbers of the identities of `among` that the rules allow, ascending.

        `holds`: whether the rules allow one; it is called for those of which the step does not say all.
        """
        allowed = among & self.are_possible & self.are_single
        for number in np.flatnonzero(among & ~allowed & (self.are_possible | ~self.are_known)).tolist():
            allowed[number] = holds(number)
        return np.flatnonzero(allowed)

    def ratios(self, travel: TravelTimes, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """As `TravelTimes.ratio`, for the identities with these numbers; nan for those that are not known."""
        found = np.full(len(numbers), np.nan)
        known = self.are_known[numbers]
        own = numbers[known]
        ways = travel.passages.ways(self.last_rows[own], self.first_row)
        found[known] = travel.ratios(self.sources[own], self.target, self.seconds[own], ways)
        return found


class Departures:
    """Where and when each of a list of identities was seen last."""

    def __init__(
        self, table: TrackTable, possibility: Possibility, passages: Passages, identities: Sequence[Identity]
    ) -> None:
        """`identities`: none without tracks."""
        self._table, self._possibility, self._passages = table, possibility, passages
        rows, starts = flat([identity.rows for identity in identities])
        sizes = np.diff(np.append(starts, len(rows)))
        cameras, last_ns, ended_ns, ended = (
            table.rows[name][rows] for name in ("camera", "last_ns", "ended_ns", "ended")
        )
        self._last_ns = _of_each(np.maximum, last_ns, starts)
        is_last = last_ns == np.repeat(self._last_ns, sizes)
        self._cameras = _of_each(np.maximum, np.where(is_last, cameras, -1), starts).astype(np.intp)
        first_camera = _of_each(np.minimum, np.where(is_last, cameras, np.iinfo(np.int32).max), starts)
        self._gone_ns = _of_each(np.maximum, ended_ns, starts)
        self._last_rows = passages.last_rows(rows, starts)
        self._settled_ns = np.array([identity.settled_ns for identity in identities], np.int64)
        self._are_single = sizes == 1
        are_free = np.array([not identity.pinned for identity in identities], np.bool_)
        self._are_simple = _of_each(np.logical_and, ended, starts) & (self._cameras == first_camera) & are_free

    def returns(self, group: Sequence[int], settled_ns: int = 0) -> Returns:
        """What the step from each identity to a group of tracks says.

        Args:
            group: rows of the tracks.
            settled_ns: history of the group up to this time is not checked; see `Identity`.
        """
        rows = self._table.rows
        first_ns = rows["first_ns"][list(group)]
        began_ns, target = int(first_ns.min()), int(rows["camera"][group[int(first_ns.argmin())]])
        took_ns = began_ns - self._last_ns
        known = self._are_simple & (self._gone_ns < began_ns) & (self._settled_ns < began_ns)
        # Each history can be checked for itself only if it is checked from the same time on.
        known &= self._settled_ns == settled_ns if len(group) > 1 else self._settled_ns >= settled_ns
        if settled_ns >= began_ns or int((first_ns == began_ns).sum()) > 1:
            known = np.zeros_like(known)
        possible = known & self._possibility.steps(self._cameras, target, took_ns)
        ends = self._last_rows, self._passages.first_row(group)
        return Returns(known, possible, self._cameras, target, self._are_single, took_ns * 1e-9, *ends)

    def when(self, number: int) -> tuple[int, int]:
        """When an identity was seen last, and when the last of its tracks ended, ns."""
        return int(self._last_ns[number]), int(self._gone_ns[number])

    def changed(self, number: int) -> None:
        """Take note that an identity has got another track: it is checked by itself from now on."""
        self._are_simple[number] = False

    def added(self) -> None:
        """Take note that the list has another identity at its end, which is in view."""
        self._are_simple, self._are_single = np.append(self._are_simple, False), np.append(self._are_single, True)
        self._cameras, self._last_ns = np.append(self._cameras, 0), np.append(self._last_ns, 0)
        self._gone_ns, self._settled_ns = np.append(self._gone_ns, 0), np.append(self._settled_ns, 0)
        self._last_rows = np.append(self._last_rows, -1)


class Histories:
    """Whether what identities have done until they left is possible; remembered while nothing of it changes."""

    def __init__(self, table: TrackTable, possibility: Possibility, clashes: Clashes) -> None:
        self._table, self._possibility, self._clashes = table, possibility, clashes
        self._known: dict[int, tuple[tuple[Any, ...], bool]] = {}

    def hold(self, identity: Identity, when: tuple[int, int]) -> bool:
        """For an identity that has left, without pinned tracks; `when`: see `Departures.when`."""
        if len(identity.rows) == 1:
            return True
        state = (self._possibility.overlaps_changed, identity.settled_ns, when, *identity.rows)
        known = self._known.get(identity.gid)
        if known is None or known[0] != state:
            visits = self._table.visits(identity.rows)
            known = state, self._possibility.holds(visits, identity.settled_ns, self._clashes)
            self._known[identity.gid] = known
        return known[1]

    def prune(self, identities: Identities) -> None:
        """Forget what is remembered of identities that are gone."""
        self._known = {gid: known for gid, known in self._known.items() if gid in identities}


def _of_each(function: np.ufunc, values: npt.NDArray, starts: npt.NDArray[np.intp]) -> npt.NDArray:  # type: ignore[type-arg]
    return function.reduceat(values, starts) if len(starts) else values[:0]
