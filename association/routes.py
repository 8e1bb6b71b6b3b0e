"""Learns the routes of objects: where they leave, where they appear next, and how long that takes. Pure.

A route is what several objects did: they left near one place in one direction, and appeared near another place in
another direction, after about the same time. So it knows of bends, turning places and traffic lights that no camera
sees. Ends and times are kernel estimates over the passages that were seen; for the idea, see Makris, Ellis and Black,
"Bridging the Gaps between Cameras", CVPR 2004.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_KEPT = 100
"""Newest passages that are kept of those that ended in a camera, and of those that left it for good."""
_NEAR = 3.0
"""Standard deviation of the places of one route, in object sizes."""
_DIRECTION = 0.5
"""The same of its directions, which are vectors of length 0 (stands) to 1."""
_SLOW = 0.3
"""Speed at which such a vector has length 0.5, in object sizes per second."""
_TIME = 0.2
"""Standard deviation of the logarithm of one second plus the travel time on one route."""
_REACH = 3.0
"""Ends whose places are more standard deviations apart have nothing to do with each other."""
_FRAME = 1e9
"""More than any coordinate in pixels or metres."""


class End(NamedTuple):
    """Where a track begins or ends."""

    camera: int
    frame: int
    """Index of the camera whose pixels the place is in; -1: metres on the ground."""
    x: float
    y: float
    size: float
    """Of the object, in the same unit."""
    dx: float
    dy: float
    """Its direction, see `directions`."""


class Known(NamedTuple):
    """What is known of `n` possible passages to one place. Each passage that was seen counts as much as it is alike."""

    begun: Floats
    """`(n,)`: passages that began where this one would begin."""
    arriving: Floats
    """`(n,)`: those of them per second that ended where this one would end, after the same time."""
    new: float
    """New objects that appeared where these passages would end."""
    watched_s: float
    """For how long those that appeared in this camera have been counted."""


class _Passage(NamedTuple):
    left: End | None
    """None: a new object."""
    entered: End | None
    """None: not seen again."""
    seconds: float
    """How long it took; 0 if one end is not known."""
    at_s: float
    """When the object appeared; when it left, if it was not seen again."""


class _Arrays(NamedTuple):
    """The passages as arrays."""

    begins: _Places
    """Of `n` passages."""
    ends: _Places
    """Of these and, after them, of all new objects."""
    seconds: Floats
    """`(n,)`: how long the passages took."""


def directions(velocities: Floats) -> Floats:
    """Directions of velocities in object sizes per second, `(..., 2)` each; 0 where they are not known."""
    known = np.nan_to_num(velocities)
    found: Floats = known / (np.hypot(known[..., 0], known[..., 1]) + _SLOW)[..., None]
    return found


class Routes:
    """The passages that were seen."""

    def __init__(self) -> None:
        self._entered: dict[int, list[_Passage]] = {}
        """Camera → passages that ended in it, the newest last; none is empty."""
        self._gone: dict[int, list[_Passage]] = {}
        """Camera → passages that began in it and ended nowhere, the newest last; none is empty."""
        self._arrays: _Arrays | None = None

    def learn(self, left: End | None, entered: End | None, seconds: float, at_s: float) -> None:
        """Take note of a passage.

        Args:
            left: where it began; None: a new object.
            entered: where it ended; None: the object was not seen again.
            seconds: how long it took; 0 if one end is not known.
            at_s: when the object appeared, or when it left if it was not seen again.
        """
        if entered is not None:
            passages = self._entered.setdefault(entered.camera, [])
            if left is not None and any(one.left == left for one in self._gone.get(left.camera, ())):
                self._keep(lambda one: one.entered is not None or one.left != left)  # It was not gone after all.
        elif left is not None:
            passages = self._gone.setdefault(left.camera, [])
        else:
            return
        passages.append(_Passage(left, entered, seconds, at_s))
        del passages[:-_KEPT]
        self._arrays = None

    def known(self, left: Floats, camera: int, entered: Floats, seconds: Floats, now_s: float) -> Known:
        """What is known of the passages from some places to one place.

        Args:
            left: `(n, 6)` where they would begin: an `End` without its camera; nan: not known.
            camera: in which they would end.
            entered: `(6,)` where they would end.
            seconds: `(n,)` how long they would take.
            now_s: when they would end.
        """
        known = self._as_arrays()
        _, arrived, alike = known.ends.like(entered[None])
        here = np.zeros(known.ends.count)
        here[arrived] = alike
        each, passages, alike = known.begins.like(left)
        begun, arriving = _sums(each, alike, len(left)), np.zeros(len(left))
        some = np.flatnonzero(here[passages])
        if len(some):
            each, passages = each[some], passages[some]
            after = np.log1p(seconds[each])
            off = (after - np.log1p(known.seconds[passages])) / _TIME
            densities = np.exp(-0.5 * off**2 - after) / (_TIME * math.sqrt(2 * math.pi))
            arriving = _sums(each, alike[some] * here[passages] * densities, len(left))
        since_s = min((one.at_s for one in self._entered.get(camera, ())), default=now_s)
        return Known(begun, arriving, float(here[known.begins.count :].sum()), max(0.0, now_s - since_s))

    def _as_arrays(self) -> _Arrays:
        if self._arrays is None:
            seen, new = ([one for one in self._every() if (one.left is None) == is_new] for is_new in (False, True))
            begins, ends = _Places(one.left for one in seen), _Places(one.entered for one in seen + new)
            self._arrays = _Arrays(begins, ends, np.array([one.seconds for one in seen]))
        return self._arrays

    def _every(self) -> list[_Passage]:
        return [one for passages in (self._entered, self._gone) for kept in passages.values() for one in kept]

    def restart(self, camera: int) -> None:
        """Forget the passages from and to a camera: it shows another view."""
        self._keep(lambda one: all(end is None or end.camera != camera for end in (one.left, one.entered)))

    def _keep(self, wanted: Callable[[_Passage], bool]) -> None:
        for passages in (self._entered, self._gone):
            for camera, kept in list(passages.items()):
                if not all(map(wanted, kept)):
                    passages[camera] = [one for one in kept if wanted(one)]
                    self._arrays = None
                    if not passages[camera]:
                        del passages[camera]  # as if it had never been, like after a restart

    def to_list(self) -> list[Any]:
        """The passages, for a checkpoint."""
        return [[list(one.left or ()), list(one.entered or ()), one.seconds, one.at_s] for one in self._every()]

    def restore(self, passages: Sequence[Any], camera_index: Sequence[int]) -> None:
        """Restore `to_list`; camera `i` has index `camera_index[i]` now, -1 if it is gone."""
        for *ends, seconds, at_s in passages:
            left, entered = (_renumbered(end, camera_index) for end in ends)
            if all(end is None or end.camera >= 0 for end in (left, entered)):
                self.learn(left, entered, seconds, at_s)


class _Places:
    """Ends of passages, ordered so that those near a place are found without looking at all."""

    def __init__(self, ends: Iterable[End | None]) -> None:
        rows = np.array([end[1:] if end else (-2.0, *[math.nan] * 5) for end in ends]).reshape(-1, 6)
        keys = rows[:, 0] * _FRAME + np.nan_to_num(rows[:, 1])
        self._order = np.argsort(keys, kind="stable")
        self._rows, self._keys = rows[self._order], keys[self._order]
        self._largest = float(np.nan_to_num(rows[:, 3]).max(initial=0.0))
        self.count = len(rows)

    def like(self, some: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
        """Which of `(n, 6)` ends are like which of these: indices of both, and how much, in (0, 1]."""
        known = np.flatnonzero(~np.isnan(some).any(axis=1))
        keys, reach = some[known, 0] * _FRAME + some[known, 1], _REACH * _NEAR * np.sqrt(some[known, 3] * self._largest)
        first = np.searchsorted(self._keys, keys - reach, "left")
        counts = np.searchsorted(self._keys, keys + reach, "right") - first
        each = np.repeat(known, counts)
        other = np.arange(counts.sum()) + np.repeat(first - (counts.cumsum() - counts), counts)
        x, y = (some[each, i] - self._rows[other, i] for i in (1, 2))
        far = (x**2 + y**2) / (some[each, 3] * self._rows[other, 3] * _NEAR**2)
        near = np.flatnonzero((some[each, 0] == self._rows[other, 0]) & (far < _REACH**2))
        each, other = each[near], other[near]
        turned = ((some[each, 4:] - self._rows[other, 4:]) ** 2).sum(axis=1) / _DIRECTION**2
        return each, self._order[other], np.exp(-0.5 * (far[near] + turned))


def _sums(numbers: npt.NDArray[np.intp], values: Floats, n: int) -> Floats:
    """Sums of the values with each of the numbers below `n`."""
    return np.bincount(numbers, values, n).astype(np.float64)


def _renumbered(end: Sequence[Any], camera_index: Sequence[int]) -> End | None:
    if not end:
        return None
    camera, frame, *rest = end
    now = camera_index[camera]
    return End(now, now if frame >= 0 else -1, *rest)
