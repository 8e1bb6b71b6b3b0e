"""Vehicles on the road network: car following, a traffic light, yielding, stops, U-turns.

Car following is the intelligent driver model (Treiber, Hennecke, Helbing: Congested traffic states in empirical
observations and microscopic simulations, Physical Review E 62, 2000). Nothing here reads a clock or any global state.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from demo.roads import ARMS, BAYS, OUTWARD, Bay, Lane, road_lanes

Floats = npt.NDArray[np.float64]

STEP_S = 0.1
_ACCELERATION = 2.2
_BRAKING = 2.6
_GAP_M = 1.8
_HEADWAY_S = 1.1
_LOOK_AHEAD_M = 60.0
GREEN_S, CLEARING_S = 12.5, 3.5
LAG_S = 6.0
"""Delay of the green of the second arm of a pair; until then, the first may turn left without yielding."""
YELLOW_S = 2.4
CYCLE_S = 2 * (LAG_S + GREEN_S + CLEARING_S)
_BEGINS_S = {"north": 0.0, "south": LAG_S, "east": CYCLE_S / 2, "west": CYCLE_S / 2 + LAG_S}
_CONFLICT_M = 2.7
_GAP_TO_CROSS_M = 46.0
"""Gap in oncoming traffic that a vehicle needs to turn across it."""
_PARTING_M = 5.0
"""Distance into the junction over which the paths from one lane coincide."""
_MERGING_FROM_M = 25.0
_OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}
_WAYS_BACK = {"north.out": "link.west", "west.out": "link.north", "south.out": "loop.south"}
_AFTER = {"link.west": "west.in", "link.north": "north.in", "loop.south": "south.in"}


@dataclass(frozen=True)
class Route:
    """The lanes of one vehicle, joined to one curve."""

    lanes: tuple[str, ...]
    points: Floats
    along: Floats
    """`(n,)` distance of each point from the start, in metres."""
    starts: Floats
    """`(lanes + 1,)` metres from the start to the beginning of each lane, and to the end of the last one."""

    @classmethod
    def of(cls, names: tuple[str, ...], lanes: dict[str, Lane]) -> Route:
        parts = [lanes[names[0]].points] + [lanes[name].points[1:] for name in names[1:]]
        points = np.concatenate(parts)
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        ends = np.cumsum([len(part) for part in parts]) - 1
        return cls(names, points, along, np.concatenate([[0.0], along[ends]]))

    def at(self, s: Floats) -> Floats:
        """`(n, 2)` points at distances `(n,)`; extrapolated straight beyond both ends."""
        s = np.asarray(s, np.float64)
        inside = np.clip(s, 0.0, self.along[-1])
        points = np.column_stack([np.interp(inside, self.along, self.points[:, i]) for i in (0, 1)])
        first = (self.points[1] - self.points[0]) / self.along[1]
        last = (self.points[-1] - self.points[-2]) / (self.along[-1] - self.along[-2])
        return points + np.minimum(s, 0.0)[:, None] * first + np.maximum(s - self.along[-1], 0.0)[:, None] * last


@dataclass
class Driver:
    """State of one vehicle in the simulation."""

    number: int
    route: Route
    length: float
    desired: float
    """Factor on every speed limit."""
    stop: tuple[Bay, float] | None
    """A bay in which it stops, and for how many seconds."""
    s: float
    v: float
    born_step: int
    lane_index: int = 0
    lane: str = ""
    next_lane: str | None = None
    shift: float = 0.0
    """Metres to the right of the lane."""
    waited: float = 0.0
    history: list[tuple[float, float]] = field(default_factory=list)
    """`s` and `v` after each step."""

    def __post_init__(self) -> None:
        self.find_lane()

    def find_lane(self) -> None:
        """Updates the lane from the distance driven."""
        lanes = self.route.lanes
        while self.lane_index + 1 < len(lanes) and self.s >= self.route.starts[self.lane_index + 1]:
            self.lane_index += 1
        self.lane = lanes[self.lane_index]
        self.next_lane = lanes[self.lane_index + 1] if self.lane_index + 1 < len(lanes) else None
        bay = self.bay_range()
        if bay is not None and self.stop is not None:
            self.shift = float(bay_shift(np.array([self.s]), bay, self.stop[0])[0])

    @property
    def on_lane(self) -> float:
        return self.s - float(self.route.starts[self.lane_index])

    @property
    def to_lane_end(self) -> float:
        return float(self.route.starts[self.lane_index + 1]) - self.s

    def bay_range(self) -> tuple[float, float] | None:
        if self.stop is None or self.stop[0].lane not in self.route.lanes:
            return None
        start = float(self.route.starts[self.route.lanes.index(self.stop[0].lane)])
        return start + self.stop[0].start_m, start + self.stop[0].end_m


def bay_shift(s: Floats, bay: tuple[float, float], of: Bay) -> Floats:
    """Lateral offset to the right of a vehicle that stops in a bay between two distances on its route."""
    into = np.clip((s - bay[0]) / 14.0, 0.0, 1.0)
    out = np.clip((bay[1] - s) / 14.0, 0.0, 1.0)
    both = np.minimum(into, out)
    return of.shift_m * both * both * (3 - 2 * both)


@lru_cache(maxsize=1)
def _network() -> dict[str, Lane]:
    return road_lanes()


@lru_cache(maxsize=1)
def _conflicts() -> dict[tuple[str, str], float]:
    """(lane, other lane) over the junction → distance on the other lane up to which vehicles are in the way, metres."""
    found = {}
    crossing = {name: lane for name, lane in _network().items() if ">" in name}
    for name, lane in crossing.items():
        for other, curve in crossing.items():
            source, target = other.split(">")
            if name == other or (name.split(">")[0] == source and source != target):
                continue  # only a U-turn gets in the way of vehicles behind it
            apart = np.linalg.norm(lane.points[:, None] - curve.points[None], axis=2)
            near = np.nonzero((apart < _CONFLICT_M).any(axis=0))[0]
            if len(near):
                found[name, other] = float(near[-1]) / (len(curve.points) - 1) * curve.length
    return found


@lru_cache(maxsize=1)
def _siblings() -> dict[str, tuple[str, ...]]:
    """A lane over the junction → the other lanes that begin at the same point."""
    crossing = [name for name in _network() if ">" in name]
    return {
        name: tuple(other for other in crossing if other != name and other.split(">")[0] == name.split(">")[0])
        for name in crossing
    }


@lru_cache(maxsize=1)
def _merging() -> dict[tuple[str, str], tuple[str, ...]]:
    """(lane, next lane) → the other lanes that also lead there."""
    circle = ("roundabout.turn", "roundabout.arrive")
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for one, other in (circle, circle[::-1]):
        found[one, "roundabout.return"] = (other,)
    crossing = [name for name in _network() if ">" in name]
    for name in crossing:
        target = name.split(">")[1]
        found[name, f"{target}.out"] = tuple(
            other for other in crossing if other != name and other.endswith(f">{target}")
        )
    return found


def is_green(arm: str, time_s: float) -> bool:
    """Whether the light of an arm is green; `time_s` counts from the start of the green in the north."""
    return 0.0 <= time_s % CYCLE_S - _BEGINS_S[arm] < GREEN_S


def light_of(arm: str, time_s: float) -> str:
    """`red`, `yellow` or `green`."""
    if is_green(arm, time_s):
        return "green"
    return "yellow" if is_green(arm, time_s - YELLOW_S) else "red"


class Traffic:
    """Steps all vehicles; `offset_s` shifts the traffic light."""

    def __init__(self, random: np.random.Generator, rate_per_s: float, offset_s: float) -> None:
        self.random, self._rate, self._offset_s = random, rate_per_s, offset_s
        self.lanes = _network()
        self.drivers: list[Driver] = []
        self.gone: list[Driver] = []
        self._step = 0
        self._count = 0
        self._due_s = 0.0
        self._pending: list[tuple[str, Route, float, float, tuple[Bay, float] | None]] = []

    @property
    def time_s(self) -> float:
        return self._step * STEP_S

    def step(self, lengths: npt.NDArray[np.float64]) -> None:
        """`lengths[i]` is the length in metres of the `i`-th vehicle to enter."""
        self._spawn(lengths)
        on_lanes: dict[str, list[Driver]] = defaultdict(list)
        for driver in self.drivers:
            on_lanes[driver.lane].append(driver)
        accelerations = [self._acceleration(driver, on_lanes) for driver in self.drivers]
        for driver, acceleration in zip(self.drivers, accelerations, strict=True):
            self._advance(driver, acceleration)
        self.gone += [driver for driver in self.drivers if driver.s >= driver.route.along[-1]]
        self.drivers = [driver for driver in self.drivers if driver.s < driver.route.along[-1]]
        self._step += 1

    def _spawn(self, lengths: npt.NDArray[np.float64]) -> None:
        if self.time_s >= self._due_s:
            self._due_s = self.time_s + float(self.random.exponential(1.0 / self._rate))
            arm = str(self.random.choice(ARMS, p=(0.28, 0.2, 0.24, 0.28)))
            route = Route.of(self._names(arm), self.lanes)
            stop = None
            for bay in BAYS:
                if bay.lane in route.lanes and self.random.random() < 0.3:
                    stop = (bay, float(self.random.uniform(6.0, 16.0)))
            self._pending.append((arm, route, float(self.random.uniform(0.82, 1.12)), 0.0, stop))
        for waiting in list(self._pending):
            arm, route, desired, _, stop = waiting
            length = float(lengths[self._count])
            first = route.lanes[0]
            nearest = min((driver.on_lane for driver in self.drivers if driver.lane == first), default=math.inf)
            coming = min((driver.to_lane_end for driver in self.drivers if driver.next_lane == first), default=math.inf)
            if nearest > 22.0 + length and coming > 25.0 + length:
                self._pending.remove(waiting)
                speed = 0.8 * self.lanes[first].speed_limit * desired
                self.drivers.append(Driver(self._count, route, length, desired, stop, 0.0, speed, self._step))
                self._count += 1

    def _names(self, arm: str) -> tuple[str, ...]:
        names = ["far-east.in", "roundabout.arrive", "roundabout.return", "east.in"] if arm == "east" else [f"{arm}.in"]
        for _ in range(5):
            arrived = names[-1].split(".")[0]
            others = [other for other in ARMS if other not in (arrived, _OPPOSITE[arrived])]
            # Straight on, either side, back; with a preference for the east, where there is a camera.
            targets = (_OPPOSITE[arrived], *others, arrived)
            weights = np.array([0.44, 0.24, 0.24, 0.08]) * [1.5 if target == "east" else 1.0 for target in targets]
            target = str(self.random.choice(targets, p=weights / weights.sum()))
            names += [f"{arrived}>{target}", f"{target}.out"]
            comes_back = self.random.random() < 0.68
            if target == "east":
                if not comes_back:
                    return (*names, "roundabout.enter", "roundabout.onward", "far-east.out")
                names += ["roundabout.enter", "roundabout.turn", "roundabout.return", "east.in"]
            elif comes_back:
                link = _WAYS_BACK[f"{target}.out"]
                names += [link, _AFTER[link]]
            else:
                return tuple(names)
        # A vehicle that has come this far goes straight on and leaves the site.
        arrived = names[-1].split(".")[0]
        target = _OPPOSITE[arrived]
        names += [f"{arrived}>{target}", f"{target}.out"]
        return (*names, "roundabout.enter", "roundabout.onward", "far-east.out") if target == "east" else tuple(names)

    def _acceleration(self, driver: Driver, on_lanes: dict[str, list[Driver]]) -> float:
        wanted = self._allowed_speed(driver)
        free = _ACCELERATION * (1 - (driver.v / max(wanted, 0.5)) ** 4)
        worst = max(free, -2 * _BRAKING)
        for gap, speed in self._obstacles(driver, on_lanes):
            desired_gap = _GAP_M + max(
                0.0, driver.v * _HEADWAY_S + driver.v * (driver.v - speed) / (2 * math.sqrt(_ACCELERATION * _BRAKING))
            )
            worst = min(worst, free - _ACCELERATION * (desired_gap / max(gap, 0.1)) ** 2)
        return max(worst, -8.0)

    def _allowed_speed(self, driver: Driver) -> float:
        """The speed limit here, reduced to brake for lower limits ahead."""
        wanted = self.lanes[driver.lane].speed_limit * driver.desired
        for i in range(driver.lane_index + 1, len(driver.route.lanes)):
            distance = float(driver.route.starts[i]) - driver.s - 1.0
            if distance > _LOOK_AHEAD_M:
                break
            limit = self.lanes[driver.route.lanes[i]].speed_limit * driver.desired
            wanted = min(wanted, math.sqrt(limit * limit + 2 * 1.8 * max(distance, 0.0)))
        return wanted

    def _obstacles(self, driver: Driver, on_lanes: dict[str, list[Driver]]) -> list[tuple[float, float]]:
        """Gaps in metres, and speeds, of the obstacles ahead."""
        found = []
        ahead = self._leader(driver, on_lanes)
        if ahead is not None:
            found.append(ahead)
        front = driver.length / 2
        if self._must_wait(driver, on_lanes):
            found.append((driver.to_lane_end - front, 0.0))
        bay = driver.bay_range()
        if bay is not None and driver.stop is not None:
            halt = (bay[0] + bay[1]) / 2
            if driver.s < halt + 0.5 and driver.waited < driver.stop[1]:
                found.append((halt + _GAP_M - driver.s, 0.0))
            elif abs(driver.s - halt) < 4.0 and self._somebody_comes(driver, on_lanes):
                found.append((0.5, 0.0))
        return found

    def _leader(self, driver: Driver, on_lanes: dict[str, list[Driver]]) -> tuple[float, float] | None:
        best: tuple[float, float] | None = None
        lane_start = 0.0
        source = driver.lane.split(">")[0] if ">" in driver.lane else ""
        for i in range(driver.lane_index, len(driver.route.lanes)):
            lane_start = float(driver.route.starts[i]) - driver.s
            if lane_start > _LOOK_AHEAD_M:
                break
            for other in on_lanes.get(driver.route.lanes[i], ()):
                distance = lane_start + other.on_lane
                if other is driver or distance <= 0.0 or abs(other.shift - driver.shift) > 2.2:
                    continue
                best = _nearer(best, distance, driver, other)
        crossing = driver.lane if source else driver.next_lane or ""
        for name in _siblings().get(crossing, ()):
            # A vehicle from the same lane that turns off is ahead until the paths separate.
            for other in on_lanes.get(name, ()):
                distance = other.on_lane - (driver.on_lane if source else -driver.to_lane_end)
                if distance > 0.0 and other.on_lane - other.length / 2 < _PARTING_M:
                    best = _nearer(best, distance, driver, other)
        if driver.next_lane is not None and driver.to_lane_end < _MERGING_FROM_M:
            for name in _merging().get((driver.lane, driver.next_lane), ()):
                for other in on_lanes.get(name, ()):
                    distance = driver.to_lane_end - other.to_lane_end
                    if distance > 0.0 or (distance == 0.0 and other.number < driver.number):
                        best = _nearer(best, distance, driver, other)
        return best

    def _must_wait(self, driver: Driver, on_lanes: dict[str, list[Driver]]) -> bool:
        """Whether the vehicle must stop at the end of its lane now."""
        to_line = driver.to_lane_end - driver.length / 2
        if to_line < -0.5 or to_line > _LOOK_AHEAD_M or driver.next_lane is None:
            return False
        if driver.lane == "far-east.in":
            circling = on_lanes.get("roundabout.turn", [])
            coming = [other for other in on_lanes.get("roundabout.enter", ()) if other.next_lane == "roundabout.turn"]
            return bool(circling or coming) and to_line > 0.0
        arm = self.lanes[driver.lane].signal
        if not arm:
            return False
        stopping = driver.v * driver.v / (2 * 3.5)
        if not is_green(arm, self.time_s + self._offset_s):
            return to_line > min(stopping, 30.0) - 0.3 or driver.v < 3.0
        if to_line > stopping + 6.0:
            return False
        way = driver.next_lane
        for (name, other_name), until in _conflicts().items():
            if name != way:
                continue
            for other in on_lanes.get(other_name, ()):
                if other.on_lane - other.length / 2 < until + 1.0:
                    return True
        source, target = way.split(">")
        if target in (_OPPOSITE[source], _right_of(source)):
            return False
        open_to_them = is_green(_OPPOSITE[source], self.time_s + self._offset_s)
        for other in on_lanes.get(f"{_OPPOSITE[source]}.in", ()):
            if not open_to_them and other.v * other.v / (2 * 3.5) < other.to_lane_end - other.length / 2:
                continue
            crossing = other.next_lane is not None and (way, other.next_lane) in _conflicts()
            first = other.next_lane is not None and other.next_lane.split(">")[1] in (
                _OPPOSITE[_OPPOSITE[source]],
                _right_of(_OPPOSITE[source]),
            )
            if crossing and first and other.to_lane_end < _GAP_TO_CROSS_M:
                return True
        return False

    def _somebody_comes(self, driver: Driver, on_lanes: dict[str, list[Driver]]) -> bool:
        return any(
            other is not driver and other.v > 1.0 and other.shift < 1.5 and -8.0 < driver.on_lane - other.on_lane < 22.0
            for other in on_lanes.get(driver.lane, ())
        )

    def _advance(self, driver: Driver, acceleration: float) -> None:
        v = max(0.0, driver.v + acceleration * STEP_S)
        driver.s += (driver.v + v) / 2 * STEP_S
        driver.v = v
        driver.find_lane()
        bay = driver.bay_range()
        if bay is not None and driver.v < 0.3 and abs(driver.s - (bay[0] + bay[1]) / 2) < 5.0:
            driver.waited += STEP_S
        driver.history.append((driver.s, driver.v))


def _nearer(best: tuple[float, float] | None, distance: float, driver: Driver, other: Driver) -> tuple[float, float]:
    gap = distance - (driver.length + other.length) / 2
    return (gap, other.v) if best is None or gap < best[0] else best


def _right_of(arm: str) -> str:
    """The arm that a right turn from an arm leads to."""
    heading = -np.array(OUTWARD[arm])
    right = (heading[1], -heading[0])
    return next(name for name, outward in OUTWARD.items() if tuple(outward) == tuple(right))
