"""The road network: lanes as curves, and which lane follows which. Right-hand traffic.

A junction with a traffic light at the origin; a roundabout 150 m east; a street with a lay-by 140 m north; a link that
leads from the north end round to the west end, and a turning loop at the south end, both out of every camera's view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LANE_OFFSET_M = 1.85
HALF_ROAD_M = 3.7
STOP_LINE_M = 11.0
ROUNDABOUT_CENTRE = (150.0, 0.0)
ROUNDABOUT_RADIUS_M = 8.2
ISLAND_RADIUS_M = 4.6
ROUNDABOUT_OUTER_M = 12.0
ARM_LENGTH_M = {"north": 240.0, "east": 250.0, "south": 120.0, "west": 150.0}
OUTWARD = {"north": (0.0, 1.0), "east": (1.0, 0.0), "south": (0.0, -1.0), "west": (-1.0, 0.0)}
ARMS = tuple(OUTWARD)
_STEP_M = 0.5


@dataclass(frozen=True)
class Bay:
    """A place next to a lane where vehicles stop, between two distances along the lane."""

    lane: str
    start_m: float
    end_m: float
    shift_m: float = 3.1


BAYS = (Bay("north.out", 108.0, 154.0), Bay("west.out", 8.0, 50.0))


@dataclass(frozen=True)
class Lane:
    """A curve that vehicles follow. `points` is `(n, 2)`; `points` and `length` are in metres."""

    name: str
    points: Floats
    speed_limit: float
    """Metres per second."""
    signal: str = ""
    """The arm whose traffic light is at the end of this lane; empty: none."""

    @property
    def length(self) -> float:
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())


def _resampled(points: Floats) -> Floats:
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    count = max(2, math.ceil(along[-1] / _STEP_M) + 1)
    at = np.linspace(0.0, along[-1], count)
    return np.column_stack([np.interp(at, along, points[:, 0]), np.interp(at, along, points[:, 1])])


def _line(start: Floats, end: Floats) -> Floats:
    return _resampled(np.stack([start, end]))


def _bezier(start: Floats, heading: Floats, end: Floats, end_heading: Floats, pull: float) -> Floats:
    t = np.linspace(0.0, 1.0, 60)[:, None]
    a, b = start + heading * pull, end - end_heading * pull
    return _resampled((1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 * end)


def _arc(centre: tuple[float, float], radius: float, start: float, end: float) -> Floats:
    angles = np.radians(np.linspace(start, end, 80))
    return _resampled(np.column_stack([np.cos(angles), np.sin(angles)]) * radius + np.array(centre))


def _right(direction: Floats) -> Floats:
    return np.array([direction[1], -direction[0]])


def _lane_point(arm: str, along: float, *, inbound: bool) -> Floats:
    outward = np.array(OUTWARD[arm])
    direction = -outward if inbound else outward
    return outward * along + _right(direction) * LANE_OFFSET_M


def road_lanes() -> dict[str, Lane]:
    """Every lane by name: `west.in`, `west.out`, `west>east` (over the junction), `roundabout.back`, …"""
    lanes: list[Lane] = []
    for arm in ARMS:
        end = ARM_LENGTH_M[arm]
        if arm == "east":
            continue
        lanes.append(
            Lane(
                f"{arm}.in",
                _line(_lane_point(arm, end, inbound=True), _lane_point(arm, STOP_LINE_M, inbound=True)),
                13.0,
                signal=arm,
            )
        )
        lanes.append(
            Lane(
                f"{arm}.out",
                _line(_lane_point(arm, STOP_LINE_M, inbound=False), _lane_point(arm, end, inbound=False)),
                13.0,
            )
        )
    lanes += _roundabout_lanes() + _junction_lanes() + _outer_lanes()
    return {lane.name: lane for lane in lanes}


def _roundabout_lanes() -> list[Lane]:
    x, _ = ROUNDABOUT_CENTRE
    entry = 20.0
    west_in, west_out = x - entry, x - entry
    east = x + entry
    end = ARM_LENGTH_M["east"]
    out_start = np.array([STOP_LINE_M, -LANE_OFFSET_M])
    forward, back = np.array([1.0, 0.0]), np.array([-1.0, 0.0])
    south = np.array([x, -ROUNDABOUT_RADIUS_M])
    north = np.array([x, ROUNDABOUT_RADIUS_M])
    return [
        Lane("east.out", _line(out_start, np.array([west_in, -LANE_OFFSET_M])), 13.0),
        Lane("roundabout.enter", _bezier(np.array([west_in, -LANE_OFFSET_M]), forward, south, forward, 10.0), 6.0),
        Lane("roundabout.onward", _bezier(south, forward, np.array([east, -LANE_OFFSET_M]), forward, 10.0), 7.0),
        Lane("roundabout.turn", _arc(ROUNDABOUT_CENTRE, ROUNDABOUT_RADIUS_M, -90.0, 90.0), 5.0),
        Lane("roundabout.return", _bezier(north, back, np.array([west_out, LANE_OFFSET_M]), back, 10.0), 6.5),
        Lane("far-east.out", _line(np.array([east, -LANE_OFFSET_M]), np.array([end, -LANE_OFFSET_M])), 13.0),
        Lane("far-east.in", _line(np.array([end, LANE_OFFSET_M]), np.array([east, LANE_OFFSET_M])), 13.0),
        Lane("roundabout.arrive", _bezier(np.array([east, LANE_OFFSET_M]), back, north, back, 10.0), 6.0),
        Lane(
            "east.in",
            _line(np.array([west_out, LANE_OFFSET_M]), np.array([STOP_LINE_M, LANE_OFFSET_M])),
            13.0,
            signal="east",
        ),
    ]


def _junction_lanes() -> list[Lane]:
    lanes = []
    for source in ARMS:
        for target in ARMS:
            heading, leaving = -np.array(OUTWARD[source]), np.array(OUTWARD[target])
            start = _lane_point(source, STOP_LINE_M, inbound=True)
            end = _lane_point(target, STOP_LINE_M, inbound=False)
            turn = float(heading[0] * leaving[1] - heading[1] * leaving[0])
            if source == target:
                lanes.append(Lane(f"{source}>{target}", _u_turn(start, heading, end), 4.0))
            elif turn == 0:
                lanes.append(Lane(f"{source}>{target}", _line(start, end), 11.5))
            else:
                pull = 8.5 if turn > 0 else 6.5
                lanes.append(
                    Lane(f"{source}>{target}", _bezier(start, heading, end, leaving, pull), 6.5 if turn > 0 else 5.0)
                )
    return lanes


def _u_turn(start: Floats, heading: Floats, end: Floats) -> Floats:
    """A U-turn: into the junction, around, and back out. A teardrop, wider than the distance between the lanes."""
    side = (end - start) / np.linalg.norm(end - start)
    deep, wide = 9.0, 4.3
    middle = (start + end) / 2
    corners = [
        start,
        start + heading * 3.0,
        middle + heading * (deep - 2.0) - side * wide,
        middle + heading * (deep + 2.6),
        middle + heading * (deep - 2.0) + side * wide,
        end + heading * 3.0,
        end,
    ]
    from scipy.interpolate import CubicSpline

    t = np.linspace(0.0, 1.0, len(corners))
    spline = CubicSpline(t, np.stack(corners), bc_type=((1, heading * 25.0), (1, -heading * 25.0)))
    return _resampled(spline(np.linspace(0.0, 1.0, 120)))


def _outer_lanes() -> list[Lane]:
    """The lanes that no camera sees: the link between the north and west ends, and the loop at the south end."""
    north, west, south = ARM_LENGTH_M["north"], ARM_LENGTH_M["west"], ARM_LENGTH_M["south"]
    up, left, down = np.array([0.0, 1.0]), np.array([-1.0, 0.0]), np.array([0.0, -1.0])
    northward = _lane_point("north", north, inbound=False)
    southward = _lane_point("north", north, inbound=True)
    return [
        Lane("link.west", _bezier(northward, up, _lane_point("west", west, inbound=True), -left, 120.0), 17.0),
        Lane("link.north", _bezier(_lane_point("west", west, inbound=False), left, southward, -up, 120.0), 17.0),
        Lane(
            "loop.south",
            _bezier(
                _lane_point("south", south, inbound=False), down, _lane_point("south", south, inbound=True), -down, 45.0
            ),
            9.0,
        ),
    ]
