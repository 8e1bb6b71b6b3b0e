"""Where each track begins and ends, and what that says of an object that was out of view in between. Pure.

An object that leaves a place at some speed arrives at another one after a time that fits the distance, and along its
way. One that was only hidden is near the place where it was seen last, or as far ahead as its speed carried it.

Places of calibrated cameras are metres on the ground, so that they can be compared between cameras. Those of other
cameras are pixels, and can be compared only within the camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from association.routes import End, Known, Routes, directions
from association.track_table import TrackTable

Floats = npt.NDArray[np.float64]

_FIRST, _EARLY, _BEFORE, _LATE, _LAST = range(5)
"""The moments that are kept of a track: its first, the last one within `_EARLY_S` of it, two that are `_LATE_S` apart
before its last, and its last."""
_EARLY_S, _LATE_S = 1.5, 0.8
_SHORTEST_S = 0.35
"""Velocities are not measured over less."""
_SLOW = 0.15
"""Slower objects go in no direction: object sizes per second."""
_NEAR = 0.4
"""Nearer places are in no direction: object sizes."""
_HEADING, _ANYWHERE = 2.0, 0.3
"""Concentration of the directions of objects around their way (von Mises), and the share that goes anywhere. Measured
on the demo: 85 % of the vehicles leave within 37 degrees of the way to where they arrive, and 19 % of all others."""
_LOG_NORMAL = math.log(float(np.i0(_HEADING)))
_PACE = 0.3
"""Standard deviation of the logarithm of an object's mean speed on its way, relative to its speed before and after."""
_HIDDEN, _DRIFT = 0.5, 0.4
"""Standard deviation of the place of an object that was hidden: object sizes, and object sizes per second."""
LONGEST_HIDDEN_NS = 5_000_000_000
"""An object that is seen again after a longer time was not only hidden: it has left the view and come back."""
_AREA = 50.0
"""Until it is known where objects come into a view, they may be anywhere in an area of so many square object sizes."""
_ARRIVALS_KEPT, _ASSUMED_ARRIVALS, _ARRIVAL_WIDTH = 100, 5.0, 0.7
"""Arrivals that are kept of a camera; as how many `_AREA` counts; and the width of the kernel, in object sizes."""


class Ways(NamedTuple):
    """What is known of `n` ways, each from the end of one track to the beginning of another one."""

    densities: Floats
    """`(n,)`: density of the time it took, 1/s, from distance and speed; nan: not known."""
    headings: Floats
    """`(n,)`: log of how much likelier the directions are for one object than for two; 0: not known."""
    hidden: Floats
    """`(n,)`: log of how much likelier the place is for an object that was only hidden than for one that has just come;
    -inf: not known."""
    routes: Known
    """What is known of such ways from others that went them."""


class Passages:
    """The beginnings and ends of the tracks of a table."""

    def __init__(self, table: TrackTable) -> None:
        self._table = table
        self._moments: Floats = np.full((0, 5, 4), np.nan)
        """`(capacity, 5, 4)`: time in s, x, y and size of each moment; nan: none."""
        self._frames: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        """`(capacity,)`: index of the camera whose pixels they are; -1: metres."""
        self._arrivals: dict[int, list[tuple[int, float, float]]] = {}
        """Camera → frame, x and y of where objects came into its view, the newest last."""
        self._routes = Routes()

    def observe(self, rows: npt.NDArray[np.intp], time_ns: int, places: Floats, frame: int) -> None:
        """Take note of where tracks are.

        Args:
            rows: `(n,)` intp.
            time_ns: when, ns.
            places: `(n, 3)` x, y and size of the objects, in metres or in pixels; nan where they are not known.
            frame: index of the camera whose pixels they are; -1: metres on the ground.
        """
        self._grow()
        known = np.flatnonzero(np.isfinite(places).all(axis=1))
        if not len(known):
            return
        rows, time_s = rows[known], time_ns * 1e-9
        new = np.column_stack([np.full(len(known), time_s), places[known]])
        moments = self._moments[rows]
        moments[self._frames[rows] != frame] = np.nan
        begins = np.isnan(moments[:, _FIRST, 0])
        moments[begins, _FIRST] = moments[begins, _LATE] = new[begins]
        is_early = time_s - moments[:, _FIRST, 0] <= _EARLY_S
        moments[is_early, _EARLY] = new[is_early]
        is_due = time_s - moments[:, _LATE, 0] >= _LATE_S
        moments[is_due, _BEFORE] = moments[is_due, _LATE]
        moments[is_due, _LATE] = new[is_due]
        moments[:, _LAST] = new
        self._moments[rows], self._frames[rows] = moments, frame

    def last_rows(self, rows: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """For each group of tracks the row of the one whose place was known last; -1: none was.

        Args:
            rows: of all groups, one after the other.
            starts: `(n,)` index in `rows` of the first of each group; no group is empty.
        """
        self._grow()
        return self._first_with(np.maximum, self._moments[rows, _LAST, 0], rows, starts)

    def first_row(self, rows: Sequence[int]) -> int:
        """The row of the track whose place was known first; -1: none was."""
        self._grow()
        own = np.array(rows, np.intp)
        return int(self._first_with(np.minimum, self._moments[own, _FIRST, 0], own, np.zeros(1, np.intp))[0])

    @staticmethod
    def _first_with(
        extreme: np.ufunc, times: Floats, rows: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.intp]:
        """For each group the first of its rows whose time is the extreme one; -1: no time is known."""
        if not len(starts):
            return np.zeros(0, np.intp)
        none = -np.inf if extreme is np.maximum else np.inf
        times = np.where(np.isnan(times), none, times)
        best = extreme.reduceat(times, starts)
        sizes = np.diff(np.append(starts, len(rows)))
        is_best = times == np.repeat(best, sizes)
        at = np.minimum.reduceat(np.where(is_best, np.arange(len(rows)), len(rows)), starts)
        found: npt.NDArray[np.intp] = np.where(np.isinf(best), -1, rows[at])
        return found

    def ways(self, left: npt.NDArray[np.intp], arrived: int) -> Ways:
        """The ways of objects that have left to a track that began later.

        Args:
            left: `(n,)` rows of their last tracks; -1: not known.
            arrived: row of the track; -1: not known.
        """
        self._grow()
        ways = _ways_of_nothing(len(left))
        if arrived < 0 or not len(left):
            return ways
        frame = int(self._frames[arrived])
        end_s = np.where(left >= 0, self._moments[left, _LAST, 0], np.nan)
        known = np.flatnonzero((self._frames[left] == frame) & (end_s < self._moments[arrived, _FIRST, 0]))
        if len(known):
            found = _ways(self._moments[left[known]], self._moments[arrived], is_metric=frame < 0)
            ways.densities[known], ways.headings[known], ways.hidden[known] = found
            ways.hidden[known] -= self._log_density_of_arrivals(arrived)
        seconds = self._moments[arrived, _FIRST, 0] - end_s
        exits = np.where((seconds > 0)[:, None], self._ends(left, leaving=True), np.nan)
        entry, now_s = self._ends(np.array([arrived]))[0], float(self._moments[arrived, _FIRST, 0])
        camera = int(self._table.rows["camera"][arrived])
        return ways._replace(routes=self._routes.known(exits, camera, entry, seconds, now_s))

    def _ends(self, rows: npt.NDArray[np.intp], *, leaving: bool = False) -> Floats:
        """Where tracks begin, or end if `leaving`: `End` without its camera, `(n, 6)`."""
        moments = self._moments[rows]
        place = moments[:, _LAST if leaving else _FIRST]
        one, other = (_earlier(moments), place) if leaving else (place, moments[:, _EARLY])
        sizes = np.maximum(place[:, 3], 1e-6)
        return np.column_stack([self._frames[rows], place[:, 1:3], sizes, directions(_velocities(one, other, sizes))])

    def _end(self, row: int, *, leaving: bool = False) -> End | None:
        """Where a track begins, or ends if `leaving`; None: its place is not known."""
        if row < 0 or np.isnan(self._moments[row, _FIRST, 0]):
            return None
        frame, *rest = self._ends(np.array([row]), leaving=leaving)[0].tolist()
        return End(int(self._table.rows["camera"][row]), int(frame), *rest)

    def learn_route(self, earlier: Sequence[int], row: int) -> None:
        """Take note that the object of some tracks went to where a later track began.

        `earlier`: rows; none if the object is new.
        """
        self._grow()
        last = int(self.last_rows(np.array(earlier, np.intp), np.zeros(1, np.intp))[0]) if earlier else -1
        left, entered = self._end(last, leaving=True), self._end(row)
        if entered is None or (earlier and left is None):
            return  # Where it came from is not known; that does not make it new.
        at_s = float(self._moments[row, _FIRST, 0])
        seconds = at_s - float(self._moments[last, _LAST, 0]) if earlier else 0.0
        if not earlier or seconds > 0:
            self._routes.learn(left, entered, seconds, at_s)

    def learn_gone(self, row: int) -> None:
        """Take note that the object of a track was not seen again."""
        self._grow()
        if (left := self._end(row, leaving=True)) is not None:
            self._routes.learn(left, None, 0.0, float(self._moments[row, _LAST, 0]))

    def learn_arrival(self, row: int) -> None:
        """Take note that the object of a track has come into the view, and was not only hidden."""
        self._grow()
        _, x, y, _ = self._moments[row, _FIRST].tolist()
        if x == x:
            places = self._arrivals.setdefault(int(self._table.rows["camera"][row]), [])
            places.append((int(self._frames[row]), x, y))
            del places[:-_ARRIVALS_KEPT]

    def _log_density_of_arrivals(self, row: int) -> float:
        """Log of the density of arrivals where a track began, per square object size."""
        frame, camera = int(self._frames[row]), int(self._table.rows["camera"][row])
        _, x, y, size = self._moments[row, _FIRST].tolist()
        places = np.array([place[1:] for place in self._arrivals.get(camera, ()) if place[0] == frame]).reshape(-1, 2)
        far = (places - (x, y)) / (max(size, 1e-6) * _ARRIVAL_WIDTH)
        near = float(np.exp(-0.5 * (far**2).sum(axis=1)).sum()) / (2 * math.pi * _ARRIVAL_WIDTH**2)
        return math.log((_ASSUMED_ARRIVALS / _AREA + near) / (_ASSUMED_ARRIVALS + len(places)))

    def restart(self, camera: int) -> None:
        """Forget the places of a camera: it shows another view."""
        self._grow()
        self._arrivals.pop(camera, None)
        self._routes.restart(camera)
        self._moments[self._table.rows["camera"] == camera] = np.nan

    def cut(self, row: int, ended: int) -> None:
        """Divide a track: it ended about where it was a second ago, and its newer part begins anew."""
        self._grow()
        self._moments[ended], self._frames[ended] = self._moments[row], self._frames[row]
        if not np.isnan(self._moments[row, _BEFORE, 0]):
            self._moments[ended, _LAST] = self._moments[ended, _LATE] = self._moments[row, _BEFORE]
        self._moments[row] = np.nan

    def forget(self, row: int) -> None:
        """Clear a row, which another track may use from now on."""
        if row < len(self._moments):
            self._moments[row] = np.nan

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now; -1: there is none."""
        kept = np.flatnonzero(new_rows[: len(self._moments)] >= 0)
        moments, frames = self._moments[kept], self._frames[kept]
        self._moments, self._frames = self._moments[:0], self._frames[:0]
        self._grow()
        self._moments[new_rows[kept]], self._frames[new_rows[kept]] = moments, frames

    def _grow(self) -> None:
        more = len(self._table.rows) - len(self._moments)
        if more > 0:
            self._moments = np.concatenate([self._moments, np.full((more, 5, 4), np.nan)])
            self._frames = np.concatenate([self._frames, np.zeros(more, np.int32)])

    def to_dict(self) -> dict[str, Any]:
        """The moments and arrivals, for a checkpoint."""
        rows = np.flatnonzero(~np.isnan(self._moments[:, _FIRST, 0]))
        return {
            "rows": rows.astype("<i8").tobytes(),
            "moments": self._moments[rows].astype("<f8").tobytes(),
            "frames": self._frames[rows].astype("<i4").tobytes(),
            "arrivals": [[camera, [list(place) for place in places]] for camera, places in self._arrivals.items()],
            "routes": self._routes.to_list(),
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`; camera `i` has index `camera_index[i]` now, -1 if it is gone. The table is restored."""
        self._grow()
        if not data:
            return
        rows = np.frombuffer(data["rows"], "<i8")
        self._moments[rows] = np.frombuffer(data["moments"], "<f8").reshape(-1, 5, 4)
        frames = np.frombuffer(data["frames"], "<i4")
        self._frames[rows] = np.append(np.array(camera_index, np.int32), -1)[frames]
        gone = rows[(frames >= 0) & (self._frames[rows] < 0)]
        self._moments[gone] = np.nan
        self._routes.restore(data.get("routes", ()), camera_index)
        for camera, places in data["arrivals"]:
            if camera_index[camera] >= 0:
                now = camera_index[camera]
                self._arrivals[now] = [(now if frame >= 0 else -1, x, y) for frame, x, y in places]


def _ways_of_nothing(n: int) -> Ways:
    """`n` ways of which nothing is known."""
    return Ways(np.full(n, np.nan), np.zeros(n), np.full(n, -np.inf), Known(np.zeros(n), np.zeros(n), 0.0, 0.0))


def _ways(left: Floats, arrived: Floats, *, is_metric: bool) -> tuple[Floats, Floats, Floats]:
    """Densities, headings and `hidden` of the ways from the moments `(n, 5, 4)` of tracks to those of a later one.

    `hidden` is only the log of the density of the place, per square object size, if the object was hidden.
    """
    end, begin = left[:, _LAST], arrived[_FIRST]
    took_s = begin[0] - end[:, 0]
    sizes = np.sqrt(np.maximum(end[:, 3], 1e-6) * max(begin[3], 1e-6))
    way = (begin[1:3] - end[:, 1:3]) / sizes[:, None]
    far = np.hypot(*way.T)
    leaving = _velocities(_earlier(left), end, sizes)
    arriving = _velocities(begin[None], arrived[_EARLY][None], sizes)
    ahead = np.hypot(*(way - leaving * took_s[:, None]).T)
    deviations = _HIDDEN + _DRIFT * took_s
    nearest = np.where(np.isnan(ahead), far, np.minimum(ahead, far))
    hidden = -np.log(2 * math.pi * deviations**2) - 0.5 * (nearest / deviations) ** 2
    hidden = np.where(took_s * 1e9 <= LONGEST_HIDDEN_NS, hidden, -np.inf)
    unknown = np.full(len(left), np.nan)
    if not is_metric:
        return unknown, np.zeros(len(left)), hidden
    headings = _headings(leaving, way, far) + _headings(arriving, way, far)
    speeds = np.hypot(leaving[:, 0], leaving[:, 1]), np.hypot(arriving[:, 0], arriving[:, 1])
    counts = (~np.isnan(speeds)).sum(axis=0)
    speed = np.nansum(speeds, axis=0) / np.maximum(counts, 1)
    travels = (far > _NEAR) & (speed > _SLOW)
    with np.errstate(divide="ignore"):
        off = np.log(took_s * speed / np.maximum(far, 1e-9)) / _PACE
    densities = np.exp(-0.5 * off**2) / (took_s * _PACE * math.sqrt(2 * math.pi))
    return np.where(travels, densities, unknown), headings, hidden


def _earlier(moments: Floats) -> Floats:
    """The moments `(n, 4)` from which velocities at the ends of tracks, `(n, 5, 4)`, are measured."""
    return np.where(np.isnan(moments[:, _BEFORE, :1]), moments[:, _FIRST], moments[:, _BEFORE])


def _velocities(one: Floats, other: Floats, sizes: Floats) -> Floats:
    """Object sizes per second, `(n, 2)`; nan where they are not known."""
    took_s = (other[:, 0] - one[:, 0])[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        velocities = (other[:, 1:3] - one[:, 1:3]) / (took_s * sizes[:, None])
        return np.where(took_s >= _SHORTEST_S, velocities, np.nan)


def _headings(velocities: Floats, way: Floats, far: Floats) -> Floats:
    """What directions along a way say, `(n,)`; 0 where there is no direction."""
    speeds = np.hypot(velocities[:, 0], velocities[:, 1])
    goes = (speeds > _SLOW) & (far > _NEAR)
    cosines = np.where(goes, (velocities * way).sum(axis=1) / np.where(goes, speeds * far, 1.0), 0.0)
    headings = np.log(_ANYWHERE + (1 - _ANYWHERE) * np.exp(_HEADING * cosines - _LOG_NORMAL))
    return np.where(goes, headings, 0.0)
