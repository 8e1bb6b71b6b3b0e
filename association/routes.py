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
"""Ends that are more standard deviations apart have nothing to do with each other."""


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


class _Passage(NamedTuple):
    left: End | None
    """None: a new object."""
    entered: End | None
    """None: not seen again."""
    seconds: float
    """0 if one end is not known."""


def directions(velocities: Floats) -> Floats:
    """Directions of velocities in object sizes per second, `(..., 2)` each; 0 where they are not known."""
    known = np.nan_to_num(velocities)
    found: Floats = known / (np.hypot(known[..., 0], known[..., 1]) + _SLOW)[..., None]
    return found


class Routes:
    """The passages that were seen."""

    def __init__(self) -> None:
        self._entered: dict[int, list[_Passage]] = {}
        """Camera → passages that ended in it, the newest last."""
        self._gone: dict[int, list[_Passage]] = {}
        """Camera → passages that began in it and ended nowhere, the newest last."""
        self._arrays: tuple[Floats, Floats, Floats] | None = None

    def learn(self, left: End | None, entered: End | None, seconds: float = 0.0) -> None:
        """Take note of a passage; `left` is None: a new object; `entered` is None: it was not seen again."""
        if entered is not None:
            passages = self._entered.setdefault(entered.camera, [])
        elif left is not None:
            passages = self._gone.setdefault(left.camera, [])
        else:
            return
        passages.append(_Passage(left, entered, seconds))
        del passages[:-_KEPT]
        self._arrays = None

    def known(self, left: Floats, entered: Floats, seconds: Floats) -> Known:
        """What is known of the passages from some places to one place.

        Args:
            left: `(n, 6)` where they would begin: an `End` without its camera. A frame of -2: not known.
            entered: `(6,)` where they would end.
            seconds: `(n,)` how long they would take.
        """
        begins, ends, times = self._as_arrays()
        _, arrived, alike = _alike(entered[None], ends)
        here = np.zeros(len(ends))
        here[arrived] = alike
        each, passages, alike = _alike(left, begins)
        begun, arriving = np.bincount(each, alike, len(left)), np.zeros(len(left))
        some = np.flatnonzero(here[passages])
        if len(some):
            each, passages = each[some], passages[some]
            after = np.log1p(seconds[each])
            off = (after - np.log1p(times[passages])) / _TIME
            densities = np.exp(-0.5 * off**2 - after) / (_TIME * math.sqrt(2 * math.pi))
            arriving = np.bincount(each, alike[some] * here[passages] * densities, len(left))
        return Known(begun, arriving, float(here[len(begins) :].sum()))

    def _as_arrays(self) -> tuple[Floats, Floats, Floats]:
        """Where passages began, `(n, 6)`; where they ended and then where new objects appeared, `(n + m, 6)`; how long
        passages took, `(n,)`.
        """
        if self._arrays is None:
            every = [one for passages in (self._entered, self._gone) for kept in passages.values() for one in kept]
            known, new = ([one for one in every if (one.left is None) == is_new] for is_new in (False, True))
            ends = [one.entered for one in known + new]
            self._arrays = _ends(one.left for one in known), _ends(ends), np.array([one.seconds for one in known])
        return self._arrays

    def restart(self, camera: int) -> None:
        """Forget the passages from and to a camera: it shows another view."""
        self._keep(lambda passage: all(end is None or end.camera != camera for end in passage[:2]))

    def _keep(self, wanted: Callable[[_Passage], bool]) -> None:
        for passages in (self._entered, self._gone):
            for camera in list(passages):
                passages[camera] = [one for one in passages[camera] if wanted(one)]
        self._arrays = None

    def to_list(self) -> list[Any]:
        """The passages, for a checkpoint."""
        every = [one for passages in (self._entered, self._gone) for kept in passages.values() for one in kept]
        return [[list(one.left or ()), list(one.entered or ()), one.seconds] for one in every]

    def restore(self, passages: Sequence[Any], camera_index: Sequence[int]) -> None:
        """Restore `to_list`; camera `i` has index `camera_index[i]` now, -1 if it is gone."""
        for *ends, seconds in passages:
            left, entered = (_renumbered(end, camera_index) for end in ends)
            if all(end is None or end.camera >= 0 for end in (left, entered)):
                self.learn(left, entered, seconds)


def _renumbered(end: Sequence[Any], camera_index: Sequence[int]) -> End | None:
    if not end:
        return None
    camera, frame, *rest = end
    now = camera_index[camera]
    return End(now, now if frame >= 0 else -1, *rest)


def _ends(ends: Iterable[End | None]) -> Floats:
    """Ends without their cameras, `(n, 6)`; those that are not known have the frame -2."""
    return np.array([end[1:] if end else (-2.0, *[math.nan] * 5) for end in ends]).reshape(-1, 6)


def _alike(some: Floats, others: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """Which of `(n, 6)` ends are like which of `(m, 6)` others: indices of both, and how much, in (0, 1]."""
    reach = (_REACH * _NEAR) ** 2 * some[:, None, 3] * others[:, 3]
    near = (some[:, None, 0] == others[:, 0]) & ((some[:, None, 1] - others[:, 1]) ** 2 < reach)
    each, other = np.nonzero(near)
    one, two = some[each], others[other]
    off = ((one - two) ** 2).T
    far = (off[1] + off[2]) / (one[:, 3] * two[:, 3] * _NEAR**2)
    return each, other, np.exp(-0.5 * (far + (off[4] + off[5]) / _DIRECTION**2))
