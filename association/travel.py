"""Learns which camera objects enter after they left another one, and how long they take. Pure.

An object that enters a view is either new, or it has left another view. The module learns both rates: how often, and
after what time, objects that leave camera `i` enter camera `j`; and how often new objects enter `j`. It learns from
handovers that appearance confirms. A step that was never seen stays possible, but is less likely. Where other objects
went the same way before (`routes`), they say more than the cameras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from association.identities import Identities, Identity
from association.learned_layout import LearnedStep
from association.outcome import CameraTick
from association.passages import LONGEST_HIDDEN_NS, Passages, Ways
from association.track_table import TrackTable
from shared.layout import Layout

_TIMES_KEPT = 100
"""Newest travel times that are kept of a step."""
_ASSUMED_TIMES = 3.0
"""The time window of the layout counts as this many observed times."""
_OUTSIDE = 0.02
"""Density outside of that window, relative to inside."""
_LONGEST_S = 600.0
"""Without a layout, all longer travel times count as this one."""
_LEAST_BANDWIDTH = 0.15
"""Of the kernel estimate of the logarithm of one second plus the travel time."""
_ASSUMED_EXITS = 4.0
"""What is assumed of the steps from a camera counts as this many objects that left it."""
_RETURNING = 0.9
"""Share of the objects that leave a camera and are seen again, until it is known."""
_ASSUMED_NEW = 2.0
"""What is assumed of the rate of new objects counts as this many of them."""
_ASSUMED_SECONDS = 20.0
"""Time between two new objects in a camera, until it is known."""
_FORGET_ABOVE = 500.0
"""The counts of a camera are halved when it has had this many exits or new objects, because routes change."""
_SETTLED_NS, _IN_VIEW_NS = 5_000_000_000, 8_000_000_000
"""A track counts once it ended this long ago or has been in view for this long. By then, its identity is seldom
corrected."""
_GONE_NS = 60_000_000_000
"""An object counts as gone for good when it has not been seen again after this time."""
_START_NS = 3_000_000_000
"""Objects that were there when a camera started are not new."""
_BY_SPEED = 0.7
"""Share of the objects that keep their speed on the way; the others take any time that was seen."""
_SHARED = 0.7
"""Cameras, times and directions are not independent, so the log of their joint ratio is multiplied by this. On the
demo, of 2,063 pairs of an object that had left and a new track with log ratios from -5 to -4, 73 were one object; 13
were expected."""
_ASSUMED_BEGUN, _LEAST_ASSUMED = 1.0, 0.1
"""What cameras, times and directions say counts as this many passages that began at the same place, and at least as
this share of all."""
_ASSUMED_NEW_HERE, _ASSUMED_SECONDS_HERE = 0.5, 40.0
"""What is assumed of the rate of new objects at one place: so many of them, in this time."""
_LOG_BOUNDS = (-5.0, 3.0)

Step = tuple[int, int]
Seconds = npt.NDArray[np.float64]


class TravelTimes:
    """The steps between the cameras of one layout."""

    def __init__(self, table: TrackTable, identities: Identities, layout: Layout, passages: Passages) -> None:
        self._table, self._identities, self.passages = table, identities, passages
        n = len(layout.cameras)
        self._windows: dict[Step, tuple[float, float]] = {}
        """Step → shortest and longest possible time, s."""
        for i, j in np.argwhere(layout.compatible).tolist():
            low = max(0.0, float(layout.dtmin[i, j]))
            self._windows[i, j] = low, max(low + 0.1, min(float(layout.dtmax[i, j]), _LONGEST_S))
        self._onward = [sum((i, j) in self._windows for j in range(n)) for i in range(n)]
        self._times: dict[Step, list[float]] = {}
        """Travel times, s, the newest last."""
        self._handovers: dict[Step, float] = {}
        self._exits: dict[int, float] = {}
        self._new: dict[int, float] = {}
        self._watched_s: dict[int, float] = {}
        self._seen_ns: dict[int, tuple[int, int]] = {}
        """Camera → time of its first and of its newest picture."""
        self._counted: set[int] = set()
        """Rows of the tracks whose arrival has been counted."""
        self._left: set[int] = set()
        """Rows of the tracks whose exit has been counted."""

    def observe(self, seen: CameraTick) -> None:
        """Take note that a camera was watched."""
        first_ns, newest_ns = self._seen_ns.get(seen.camera, (seen.time_ns, seen.time_ns))
        if seen.time_ns > newest_ns:
            watched_s = self._watched_s.get(seen.camera, 0.0) + min(seen.time_ns - newest_ns, 10**9) * 1e-9
            self._watched_s[seen.camera] = round(watched_s, 6)
        self._seen_ns[seen.camera] = first_ns, max(newest_ns, seen.time_ns)

    def learn(self, is_alike: Callable[[Identity, int], bool]) -> None:
        """Count the tracks that are settled; `is_alike`: a track certainly looks like the rest of its identity."""
        rows = self._table.rows
        now_ns = max((newest_ns for _, newest_ns in self._seen_ns.values()), default=0)
        known = np.flatnonzero(rows["used"] & (rows["gid"] > 0))
        gone_ns = np.where(rows["ended"][known], now_ns - rows["last_ns"][known], 0)
        are_settled = (gone_ns > _SETTLED_NS) | (rows["last_ns"][known] - rows["first_ns"][known] > _IN_VIEW_NS)
        are_due = are_settled & ~_among(known, self._counted)
        are_due |= (gone_ns > _GONE_NS) & ~_among(known, self._left)
        for row, left_ns in zip(known[are_due].tolist(), gone_ns[are_due].tolist(), strict=True):
            if row not in self._counted:
                self._counted.add(row)
                self._count_arrival(row, self._identities[int(rows["gid"][row])], is_alike)
            if row not in self._left and left_ns > _GONE_NS:
                identity = self._identities[int(rows["gid"][row])]
                self._left.add(row)
                if rows["last_ns"][row] == rows["last_ns"][identity.rows].max():
                    self._count(self._exits, int(rows["camera"][row]))
                    self.passages.learn_gone(row)

    def _count_arrival(self, row: int, identity: Identity, is_alike: Callable[[Identity, int], bool]) -> None:
        rows = self._table.rows
        camera, arrived_ns = int(rows["camera"][row]), int(rows["first_ns"][row])
        earlier = [other for other in identity.rows if rows["first_ns"][other] < arrived_ns]
        if not earlier:
            first_ns, _ = self._seen_ns.get(camera, (arrived_ns, arrived_ns))  # A restored track may come first.
            if arrived_ns > first_ns + _START_NS:
                self._count(self._new, camera)
                self.passages.learn_arrival(row)
                self.passages.learn_route([], row)
            return
        before = max(earlier, key=lambda other: (int(rows["last_ns"][other]), other))
        took_ns = arrived_ns - int(rows["last_ns"][before])
        if took_ns <= 0 or not is_alike(identity, row):
            return
        source = int(rows["camera"][before])
        if source != camera or took_ns > LONGEST_HIDDEN_NS:
            self.passages.learn_arrival(row)
            self.passages.learn_route(earlier, row)
        if before not in self._left:
            self._left.add(before)
            self._count(self._exits, source)
        self._handovers[source, camera] = self._handovers.get((source, camera), 0.0) + 1.0
        times = self._times.setdefault((source, camera), [])
        times.append(round(took_ns * 1e-9, 3))
        del times[:-_TIMES_KEPT]

    def _count(self, counts: dict[int, float], camera: int) -> None:
        counts[camera] = counts.get(camera, 0.0) + 1.0
        if counts[camera] > _FORGET_ABOVE:
            for rate in (self._exits, self._new, self._watched_s):
                rate[camera] = rate.get(camera, 0.0) / 2
            for step in self._handovers:
                if step[0] == camera:
                    self._handovers[step] /= 2

    def ratio(self, group: Sequence[int], other: Sequence[int]) -> float | None:
        """How much likelier it is that the later of two groups of tracks is the other one again than a new object.

        None if neither group ended before the other began.
        """
        a, b = self._table.rows[list(group)], self._table.rows[list(other)]
        if b["last_ns"].max() < a["first_ns"].min():
            before, after = b, a
        elif a["last_ns"].max() < b["first_ns"].min():
            before, after = a, b
        else:
            return None
        left, arrived = before[int(before["last_ns"].argmax())], after[int(after["first_ns"].argmin())]
        source, seconds = np.array([left["camera"]], np.intp), int(arrived["first_ns"] - left["last_ns"]) * 1e-9
        earlier, later = (other, group) if before is b else (group, other)
        ways = self.passages.ways(
            self.passages.last_rows(np.array(earlier, np.intp), np.zeros(1, np.intp)), self.passages.first_row(later)
        )
        return float(self.ratios(source, int(arrived["camera"]), np.array([seconds]), ways)[0])

    def ratios(self, sources: npt.NDArray[np.intp], target: int, seconds: Seconds, ways: Ways) -> Seconds:
        """How much likelier it is that what begins in a camera has left another one than that it is a new object.

        Args:
            sources: `(n,)` the other cameras.
            target: the camera.
            seconds: `(n,)` how long ago it left.
            ways: `(n,)` what is known of its way.

        Returns:
            `(n,)` float64.
        """
        logs = np.zeros(len(sources))
        for source in np.unique(sources).tolist():
            own = sources == source
            logs[own] = self._log_ratios((source, target), seconds[own], ways.densities[own])
        logs = np.maximum(self._with_routes(np.exp(_SHARED * (logs + ways.headings)), target, ways), ways.hidden)
        ratios: Seconds = np.exp(np.clip(logs, *_LOG_BOUNDS))
        return ratios

    def _with_routes(self, ratios: Seconds, target: int, ways: Ways) -> Seconds:
        """Log of the ratios, together with what others say that went the same ways."""
        begun, arriving, new, counted_s = ways.routes
        watched_s = min(self._watched_s.get(target, 0.0), counted_s) + _ASSUMED_SECONDS_HERE
        known = arriving / ((new + _ASSUMED_NEW_HERE) / watched_s) / (_ASSUMED_BEGUN + begun)
        logs: Seconds = np.log(known + np.maximum(_ASSUMED_BEGUN / (_ASSUMED_BEGUN + begun), _LEAST_ASSUMED) * ratios)
        return logs

    def _log_ratios(self, step: Step, seconds: Seconds, by_speed: Seconds) -> Seconds:
        """Log of the rate at which objects that left so long ago arrive, over the rate of new objects.

        `by_speed`: densities of the times, from distance and speed; nan: not known.
        """
        source, target = step
        assumed = _ASSUMED_EXITS * _RETURNING / max(1, self._onward[source])
        arriving = (self._handovers.get(step, 0.0) + assumed) / (self._exits.get(source, 0.0) + _ASSUMED_EXITS)
        watched_s = self._watched_s.get(target, 0.0) + _ASSUMED_NEW * _ASSUMED_SECONDS
        new = (self._new.get(target, 0.0) + _ASSUMED_NEW) / watched_s
        densities = self._densities(step, seconds)
        mixed = _BY_SPEED * by_speed + (1.0 - _BY_SPEED) * densities
        logs: Seconds = np.log(arriving * np.where(np.isnan(by_speed), densities, mixed) / new)
        return logs

    def _densities(self, step: Step, seconds: Seconds) -> Seconds:
        """Density of the travel time of a step, 1/s: a kernel estimate of log(1 s + time)."""
        low, high = self._windows.get(step, (0.0, _LONGEST_S))
        values, start, end = np.log1p(seconds), math.log1p(low), math.log1p(high)
        window = np.where((start <= values) & (values <= end), 1.0, _OUTSIDE) / (end - start)
        total, count = _ASSUMED_TIMES * window, _ASSUMED_TIMES
        times = np.log1p(np.array(self._times.get(step, ())))
        if len(times):
            width = max(_LEAST_BANDWIDTH, 1.06 * float(times.std()) * len(times) ** -0.2)
            kernels = np.exp(-0.5 * ((values[:, None] - times) / width) ** 2)
            total = total + kernels.sum(axis=1) / (width * math.sqrt(2 * math.pi))
            count += len(times)
        densities: Seconds = total / count / (1.0 + seconds)
        return densities

    def learned(self) -> list[LearnedStep]:
        """The steps that were observed, by cameras."""
        steps = []
        for (source, target), times in sorted(self._times.items()):
            low, middle, high = np.quantile(times, (0.1, 0.5, 0.9)).tolist()
            steps.append(LearnedStep(source, target, len(times), (low, middle, high)))
        return steps

    def cut(self, row: int, ended: int) -> None:
        """Take note that a track was divided: what was counted of it belongs to the part that ended."""
        for counted in (self._counted, self._left):
            if row in counted:
                counted.remove(row)
                counted.add(ended)

    def forget(self, row: int) -> None:
        """Clear a row, which another track may use from now on."""
        self._counted.discard(row)
        self._left.discard(row)

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now."""
        self._counted = set(new_rows[list(self._counted)].tolist())
        self._left = set(new_rows[list(self._left)].tolist())

    def to_dict(self) -> dict[str, Any]:
        """Everything learned, for a checkpoint."""
        return {
            "times": [[*step, times] for step, times in self._times.items()],
            "handovers": [[*step, count] for step, count in self._handovers.items()],
            "cameras": [
                [
                    camera,
                    self._exits.get(camera, 0.0),
                    self._new.get(camera, 0.0),
                    self._watched_s.get(camera, 0.0),
                    *seen,
                ]
                for camera, seen in self._seen_ns.items()
            ],
            "counted": sorted(self._counted),
            "left": sorted(self._left),
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`; camera `i` has index `camera_index[i]` now, -1 if it is gone."""
        for source, target, times in data.get("times", ()):
            self._times[camera_index[source], camera_index[target]] = list(times)
        for source, target, count in data.get("handovers", ()):
            self._handovers[camera_index[source], camera_index[target]] = count
        for camera, exits, new, watched_s, first_ns, newest_ns in data.get("cameras", ()):
            now = camera_index[camera]
            self._exits[now], self._new[now], self._watched_s[now] = exits, new, watched_s
            self._seen_ns[now] = first_ns, newest_ns
        for steps in (self._times, self._handovers):
            for step in [step for step in steps if min(step) < 0]:
                del steps[step]
        for counts in (self._exits, self._new, self._watched_s, self._seen_ns):
            counts.pop(-1, None)
        self._counted, self._left = set(data.get("counted", ())), set(data.get("left", ()))


def _among(rows: npt.NDArray[np.intp], chosen: set[int]) -> npt.NDArray[np.bool_]:
    """Which rows are among others."""
    flags = np.zeros(int(max(rows.max(initial=-1), max(chosen, default=-1))) + 1, np.bool_)
    flags[np.fromiter(chosen, np.intp, len(chosen))] = True
    found: npt.NDArray[np.bool_] = flags[rows]
    return found
