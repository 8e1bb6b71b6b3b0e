"""The scenario, without pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demo.appearance import CLASS_NAMES, shown_details
from demo.bodies import solids_of
from demo.body_parts import Size, size_of
from demo.occlusion import Footprint, hides
from demo.scenario import Scenario, Vehicle
from demo.sprites import vehicle_footprint

_MIRROR_M = 0.19
"""Mirrors are separate small boxes next to a body."""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario.generate(5, 60.0)


def test_the_same_seed_gives_the_same_scenario(scenario: Scenario) -> None:
    again = Scenario.generate(5, 60.0)
    assert again.cameras == scenario.cameras
    assert again.scenery.things == scenario.scenery.things
    assert [vehicle.look for vehicle in again.vehicles] == [vehicle.look for vehicle in scenario.vehicles]
    for one, other in zip(scenario.vehicles, again.vehicles, strict=True):
        np.testing.assert_array_equal(one.poses, other.poses)


def test_another_seed_gives_another_scenario(scenario: Scenario) -> None:
    other = Scenario.generate(6, 60.0)
    assert other.cameras != scenario.cameras
    assert other.scenery.things != scenario.scenery.things
    assert [vehicle.look for vehicle in other.vehicles] != [vehicle.look for vehicle in scenario.vehicles]


def test_a_shorter_scenario_is_the_beginning_of_a_longer_one(scenario: Scenario) -> None:
    short = Scenario.generate(5, 20.0)
    for vehicle in short.vehicles:
        longer = scenario.vehicles[vehicle.id - 1]
        assert longer.look == vehicle.look
        np.testing.assert_allclose(longer.poses[: len(vehicle.poses)], vehicle.poses, atol=1e-9)


def test_vehicles_move_as_vehicles_do(scenario: Scenario) -> None:
    for vehicle in scenario.vehicles:
        steps = np.diff(vehicle.poses, axis=0)
        speed = np.linalg.norm(steps[:, :2], axis=1) * scenario.fps
        assert speed.max(initial=0.0) < 20.0, vehicle.id
        turn = np.abs((steps[:, 2] + np.pi) % (2 * np.pi) - np.pi)
        assert turn.max(initial=0.0) < 0.6, vehicle.id  # radians in 0.2 s: the tightest turn at its speed


@pytest.mark.parametrize("seed", [5, 6])
def test_vehicles_hardly_ever_touch(seed: int) -> None:
    """The simple traffic model is not perfect: a few near misses per minute are accepted."""
    scenario = Scenario.generate(seed, 60.0)
    touching = set()
    for tick in range(0, scenario.ticks, 5):
        present = scenario.present(tick)
        poses = [pose for vehicle in present if (pose := vehicle.pose(tick)) is not None]
        # A little smaller, so that only real overlaps count.
        sizes = [_smaller(size_of(vehicle.look)) for vehicle in present]
        corners = [vehicle_footprint(size, pose) for size, pose in zip(sizes, poses, strict=True)]
        for i in range(len(corners)):
            for j in range(i):
                if max(abs(poses[i][:2])) < 110 and _overlap(corners[i], corners[j]):
                    touching.add((present[j].id, present[i].id))
    assert len(touching) <= 2, touching


def _smaller(size: Size) -> Size:
    return replace(size, length=size.length - 0.5, width=size.width - 0.4)


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Tests two convex outlines with the separating axes along their edges."""
    for first, second in ((one, other), (other, one)):
        along = np.roll(first, -1, axis=0) - first
        normals = np.column_stack([along[:, 1], -along[:, 0]])
        outside = ((second[None] - first[:, None]) * normals[:, None]).sum(axis=-1).min(axis=1)
        if outside.max() > 0:
            return False
    return True


def test_every_class_and_a_stop_at_the_light_occur(scenario: Scenario) -> None:
    assert {CLASS_NAMES[vehicle.look.class_id] for vehicle in scenario.vehicles} == set(CLASS_NAMES)
    assert {scenario.light(arm, tick) for arm in ("north", "west") for tick in range(scenario.ticks)} == {
        "red",
        "yellow",
        "green",
    }
    moving = [vehicle for vehicle in scenario.vehicles if np.ptp(vehicle.poses[:, :2], axis=0).max() > 5]
    waited = [vehicle for vehicle in moving if (np.abs(np.diff(vehicle.poses[:, :2], axis=0)).max(axis=1) < 0.01).any()]
    assert len(waited) >= 5


def test_crossing_roads_never_have_green_together(scenario: Scenario) -> None:
    for tick in range(scenario.ticks):
        green = {arm for arm in ("north", "south", "east", "west") if scenario.light(arm, tick) == "green"}
        assert green <= {"north", "south"} or green <= {"east", "west"}


def test_every_face_of_a_solid_looks_outward(scenario: Scenario) -> None:
    """Solids are convex: their centre is behind each face. Otherwise a body would show its inside."""
    for look in {vehicle.look for vehicle in scenario.vehicles}:
        for solid in solids_of(look):
            if solid.level in (1, 2):  # the levels below and above have several boxes each: wheels, racks
                middle = np.concatenate([face.points for face in solid.faces[:6]]).mean(axis=0)
                for face in solid.faces:
                    sides = np.ptp(face.points, axis=0)
                    if np.sort(sides)[1] > _MIRROR_M:
                        assert (middle - face.points[0]) @ face.normal < 0.01, (look.body, face)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_quarter_of_the_vehicles_has_a_look_alike_on_the_site_at_the_same_time(seed: int) -> None:
    scenario = Scenario.generate(seed, 120.0)
    with_one = set()
    for one in scenario.vehicles:
        for other in scenario.vehicles:
            if one.id == other.id or one.look.body != other.look.body:
                continue
            alike = np.abs(np.subtract(one.look.paint, other.look.paint)).max() <= 14
            together = min(_end(one), _end(other)) - max(one.first_tick, other.first_tick)
            if alike and together >= 5 * scenario.fps:
                with_one.add(one.id)
                assert shown_details(one.look) != shown_details(other.look)
    assert len(with_one) / len(scenario.vehicles) >= 0.25


def _end(vehicle: Vehicle) -> int:
    return int(vehicle.first_tick + len(vehicle.poses))


def test_an_object_in_between_hides_the_other() -> None:
    square = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    viewer = (0.0, -20.0)
    before, behind = (Footprint.of(square + np.array([0.0, y])) for y in (-5.0, 5.0))
    assert hides(before, Footprint.of(square), viewer)
    assert not hides(behind, Footprint.of(square), viewer)
    # A long object next to it is partly closer to the viewer, but still behind it.
    long = Footprint.of(np.array([(-9.0, 1.5), (9.0, 1.5), (9.0, 3.5), (-9.0, 3.5)]))
    beside, viewer = Footprint.of(square + np.array([8.0, 0.0])), (-20.0, -20.0)
    assert long.distance_sq(viewer) < beside.distance_sq(viewer)
    assert not hides(long, beside, viewer)
    assert hides(beside, long, viewer)
