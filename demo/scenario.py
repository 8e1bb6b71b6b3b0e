"""The events on the site, from a seed: vehicles with their looks and motion, the cameras, the traffic light."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from demo.appearance import Look, dealt_bodies, random_look, shown_details, with_details
from demo.bodies import Mesh, mesh_of
from demo.body_parts import Size, size_of
from demo.cameras import site_cameras
from demo.geometry import Floats, SceneCamera
from demo.parking import PARKING_SPOTS
from demo.scenery import Scenery, scenery_of
from demo.traffic import CYCLE_S, STEP_S, Driver, Traffic, bay_shift, light_of

_PARKED = 3
_PARKED_BODIES = ("hatchback", "sedan", "estate", "suv", "van")
WARM_UP_S = 70.0
"""Simulated before the first tick, so that the roads are full from the start."""
RATE_PER_S = 0.21
_RECENT = 30
"""Maximum number of vehicles on the site at once."""
_LOOK_ALIKE_SHARE = 0.3
"""Share of entering vehicles that are made to resemble one that entered shortly before."""
_HARD_RATE = 1.5
_HARD_LOOK_ALIKE_SHARE = 0.7
_HARD_CLOCK_S = 0.1
_MOST_PER_S = 1.0
"""Upper limit of vehicles that can enter; far fewer do."""


class Difficulty(StrEnum):
    """How hard the scene is."""

    NORMAL = "normal"
    HARD = "hard"
    """Half as many vehicles more, most of them look-alikes, and every camera's clock is off by up to 100 ms."""


@dataclass(frozen=True)
class Vehicle:
    """One vehicle during its time on the site."""

    id: int
    """Counts from 1; the same in all cameras."""
    look: Look
    first_tick: int
    poses: Floats
    """`(ticks, 3)`: x, y of the centre in metres, heading in radians (0: east, counter-clockwise)."""
    braking: npt.NDArray[np.bool_]
    """`(ticks,)`."""

    @cached_property
    def mesh(self) -> Mesh:
        """Its body."""
        return mesh_of(self.look)

    @cached_property
    def size(self) -> Size:
        """Size of its body."""
        return size_of(self.look)

    def pose(self, tick: int) -> Floats | None:
        index = tick - self.first_tick
        return self.poses[index] if 0 <= index < len(self.poses) else None

    def shifted(self, ticks: float) -> Vehicle:
        """The same vehicle at times that are `ticks` later."""
        at, known = np.arange(len(self.poses)) + ticks, np.arange(len(self.poses))
        columns = (*self.poses[:, :2].T, np.unwrap(self.poses[:, 2]))
        return replace(self, poses=np.column_stack([np.interp(at, known, column) for column in columns]))


@dataclass(frozen=True)
class Scenario:
    """Deterministic: the same arguments of `generate` give the same scenario on every machine."""

    seed: int
    fps: float
    ticks: int
    vehicles: tuple[Vehicle, ...]
    cameras: tuple[SceneCamera, ...]
    scenery: Scenery
    light_offset_s: float
    clocks_s: tuple[float, ...] = ()
    """How much the clock of each camera is ahead, seconds; empty if none is."""

    @classmethod
    def generate(
        cls, seed: int, seconds: float, fps: float = 5.0, difficulty: Difficulty = Difficulty.NORMAL
    ) -> Scenario:
        """Generates `seconds` of traffic, with `fps` ticks per second."""
        if seed < 0 or seconds <= 0 or fps <= 0:
            raise ValueError("seed must be 0 or more, seconds and fps above 0")
        looks_random, motion_random, parked_random, scenery_random, cameras_random, clocks_random = (
            np.random.Generator(np.random.PCG64(sequence)) for sequence in np.random.SeedSequence(seed).spawn(6)
        )
        is_hard = difficulty is Difficulty.HARD
        ticks = math.ceil(seconds * fps)
        share = _HARD_LOOK_ALIKE_SHARE if is_hard else _LOOK_ALIKE_SHARE
        looks = _looks(looks_random, math.ceil((WARM_UP_S + seconds) * _MOST_PER_S), share)
        lengths = np.array([size_of(look).length for look in looks])
        offset_s = float(motion_random.uniform(0.0, CYCLE_S))
        traffic = Traffic(motion_random, RATE_PER_S * (_HARD_RATE if is_hard else 1.0), offset_s)
        for _ in range(math.ceil((WARM_UP_S + ticks / fps) / STEP_S) + 1):
            traffic.step(lengths)
        drivers = sorted([*traffic.gone, *traffic.drivers], key=lambda driver: driver.number)
        moving = [_vehicle(driver, looks[driver.number], ticks, fps) for driver in drivers]
        parked = _parked(parked_random, ticks)
        vehicles = [vehicle for vehicle in moving if vehicle is not None]
        numbered = [replace(vehicle, id=i + 1) for i, vehicle in enumerate([*parked, *vehicles])]
        cameras = site_cameras(cameras_random)
        clocks = clocks_random.uniform(-_HARD_CLOCK_S, _HARD_CLOCK_S, len(cameras)).tolist() if is_hard else ()
        return cls(seed, fps, ticks, tuple(numbered), cameras, scenery_of(scenery_random), offset_s, tuple(clocks))

    def as_seen_by(self, camera: SceneCamera) -> Scenario:
        """The scenario at the times that the clock of `camera` says."""
        if not self.clocks_s:
            return self
        ahead = self.clocks_s[self.cameras.index(camera)] * self.fps
        return replace(self, vehicles=tuple(vehicle.shifted(ahead) for vehicle in self.vehicles))

    def camera(self, name: str) -> SceneCamera:
        """Raises KeyError for an unknown name."""
        return {camera.name: camera for camera in self.cameras}[name]

    def light(self, arm: str, tick: int) -> str:
        """`red`, `yellow` or `green`: the traffic light of an arm of the junction."""
        return light_of(arm, WARM_UP_S + tick / self.fps + self.light_offset_s)

    def present(self, tick: int) -> list[Vehicle]:
        """The vehicles that are on the site at a tick."""
        return [vehicle for vehicle in self.vehicles if vehicle.pose(tick) is not None]


def _looks(random: np.random.Generator, count: int, look_alike_share: float) -> list[Look]:
    looks: list[Look] = []
    bodies = dealt_bodies(random)
    for i in range(count):
        if i >= 6 and random.random() < look_alike_share:
            looks.append(_resembling(looks[i - 1 - int(random.integers(6))], looks[-_RECENT:], random))
        else:
            looks.append(random_look(random, next(bodies)))
    return looks


def _resembling(look: Look, recent: list[Look], random: np.random.Generator) -> Look:
    """Returns a look of the same type, size and base colours that differs in at least two larger details.

    It differs from every other look in `recent` that also resembles `look` in at least one detail.
    """
    alike = [shown_details(other) for other in recent if replace(other, **_details(look)) == look]
    while True:
        other = with_details(look, random)
        shown = shown_details(other)
        if sum(a != b for a, b in zip(shown, shown_details(look), strict=True)) >= 2 and shown not in alike:
            return other


def _details(look: Look) -> dict[str, Any]:
    """Details that may differ between look-alikes."""
    names = ("paint", "stripe", "stripe_colour", "roof", "roof_colour", "sign", "glass", "wheel")
    return {name: getattr(look, name) for name in names}


def _vehicle(driver: Driver, look: Look, ticks: int, fps: float) -> Vehicle | None:
    history = np.array(driver.history)
    if not len(history):
        return None
    times = (driver.born_step + 1 + np.arange(len(history))) * STEP_S - WARM_UP_S
    first, last = max(0, math.ceil(times[0] * fps)), min(ticks - 1, math.floor(times[-1] * fps))
    if first > last:
        return None
    at = np.arange(first, last + 1) / fps
    s, v = np.interp(at, times, history[:, 0]), np.interp(at, times, history[:, 1])
    before = np.interp(at - 0.3, times, history[:, 1])
    return Vehicle(0, look, first, _poses(driver, look, s), (v < before - 0.25) | (v < 0.2))


def _poses(driver: Driver, look: Look, s: Floats) -> Floats:
    half = size_of(look).wheelbase / 2
    axles = []
    for shift in (half, -half):
        points, ahead = driver.route.at(s + shift), driver.route.at(s + shift + 0.5)
        bay = driver.bay_range()
        if bay is not None and driver.stop is not None:
            direction = ahead - points
            direction /= np.linalg.norm(direction, axis=1)[:, None]
            right = np.column_stack([direction[:, 1], -direction[:, 0]])
            points = points + right * bay_shift(s + shift, bay, driver.stop[0])[:, None]
        axles.append(points)
    front, rear = axles
    heading = np.arctan2(front[:, 1] - rear[:, 1], front[:, 0] - rear[:, 0])
    return np.column_stack([(front + rear) / 2, heading])


def _parked(random: np.random.Generator, ticks: int) -> list[Vehicle]:
    chosen = random.permutation(len(PARKING_SPOTS))[:_PARKED]
    vehicles = []
    for index in sorted(chosen.tolist()):
        look = random_look(random, _PARKED_BODIES[int(random.integers(len(_PARKED_BODIES)))])
        x, y, heading = PARKING_SPOTS[index]
        pose = np.array(
            [x + random.uniform(-0.3, 0.3), y + random.uniform(-0.15, 0.15), heading + random.uniform(-0.03, 0.03)]
        )
        vehicles.append(Vehicle(0, look, 0, np.tile(pose, (ticks, 1)), np.zeros(ticks, bool)))
    return vehicles
