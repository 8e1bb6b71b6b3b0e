"""Truth against pictures: removing a vehicle changes exactly the pixels that the truth has for it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from demo.background import Background, background_of
from demo.geometry import to_ground
from demo.rendering import Renderer
from demo.scenario import Scenario

SEED = 11
TICKS = range(0, 100, 20)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario.generate(SEED, 20.0)


@pytest.fixture(scope="module")
def backgrounds(scenario: Scenario) -> dict[str, Background]:
    chosen = ("crossing-southwest", "crossing-southeast")
    return {name: background_of(scenario.scenery, scenario.camera(name)) for name in chosen}


@pytest.fixture
def renderers(scenario: Scenario, backgrounds: dict[str, Background]) -> list[Renderer]:
    return [Renderer(scenario, scenario.camera(name), background) for name, background in backgrounds.items()]


def without(renderer: Renderer, vehicle_id: int) -> Renderer:
    scenario = renderer.scenario
    rest = tuple(vehicle for vehicle in scenario.vehicles if vehicle.id != vehicle_id)
    return Renderer(replace(scenario, vehicles=rest), renderer.camera, renderer.background)


def test_a_picture_is_the_same_every_time(renderers: list[Renderer]) -> None:
    for renderer in renderers:
        backwards = Renderer(renderer.scenario, renderer.camera)
        later = [backwards.picture(tick) for tick in reversed(TICKS)]
        for tick, picture in zip(TICKS, reversed(later), strict=True):
            shown = renderer.picture(tick)
            assert (shown.shape, shown.dtype) == ((360, 640, 3), np.uint8)
            np.testing.assert_array_equal(shown, picture)


def test_the_truth_is_the_same_whether_or_not_a_picture_was_taken(renderers: list[Renderer]) -> None:
    for renderer in renderers:
        alone = Renderer(renderer.scenario, renderer.camera, renderer.background)
        for tick in TICKS:
            renderer.picture(tick)
            one, other = renderer.truth(tick), alone.truth(tick)
            np.testing.assert_array_equal(one.ids, other.ids)
            np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)
            np.testing.assert_array_equal(one.visibility, other.visibility)


def test_a_box_is_where_a_picture_changes_when_its_vehicle_is_taken_away(renderers: list[Renderer]) -> None:
    """Ignores the shadow, which is low: the change begins at the upper, left and right edges."""
    checked = 0
    for renderer in renderers:
        for tick in TICKS:
            truth, picture = renderer.truth(tick), renderer.picture(tick)
            for i in np.flatnonzero(truth.visibility > 0.6):
                left, top, right, bottom = truth.boxes_xyxy[i].astype(int)
                if bottom - top < 20:
                    continue
                # The noise depends on the tick only, so it is the same in both pictures.
                other = without(renderer, int(truth.ids[i])).picture(tick)
                change = np.abs(picture.astype(int) - other).max(axis=2) > 12
                inside = change[top:bottom, left:right]
                assert inside.mean() > 0.35, (renderer.camera.name, tick, int(truth.ids[i]))
                rows = np.flatnonzero(change.any(axis=1))
                assert abs(int(rows[0]) - top) <= 2, (renderer.camera.name, tick, int(truth.ids[i]))
                assert inside[:, :3].any()
                assert inside[:, -3:].any()
                assert inside[-3:].any()
                checked += 1
    assert checked >= 8


def test_visibility_is_the_share_that_a_lonely_vehicle_would_show(renderers: list[Renderer]) -> None:
    """Visibility, counted independently: pixels that change with the vehicle, relative to those on an empty plain."""
    checked = 0
    for renderer in renderers:
        empty = replace(
            renderer.background,
            front=np.full_like(renderer.background.front, -1),
            front_alpha=np.zeros_like(renderer.background.front_alpha),
        )
        for tick in TICKS:
            truth = renderer.truth(tick)
            for i, vehicle_id in enumerate(truth.ids.tolist()):
                alone = tuple(each for each in renderer.scenario.vehicles if each.id == vehicle_id)
                plain = Renderer(replace(renderer.scenario, vehicles=alone), renderer.camera, empty).truth(tick)
                left, top, right, bottom = plain.boxes_xyxy[0]
                if left <= 0 or top <= 0 or right >= 640 or bottom >= 360:
                    continue
                assert plain.visibility[0] == pytest.approx(1.0, abs=0.01)
                assert truth.visibility[i] <= 1.0
                inner = truth.boxes_xyxy[i]
                assert (inner[:2] >= (left, top)).all()
                assert (inner[2:] <= (right, bottom)).all()
                checked += 1
    assert checked >= 8


def test_the_border_of_the_picture_also_hides(scenario: Scenario, backgrounds: dict[str, Background]) -> None:
    name = "crossing-southwest"
    renderer = Renderer(scenario, scenario.camera(name), backgrounds[name])
    cut = [
        (box, share)
        for tick in range(scenario.ticks)
        for truth in [renderer.truth(tick)]
        for box, share in zip(truth.boxes_xyxy, truth.visibility, strict=True)
        if box[2] >= 640 or box[0] <= 0
    ]
    assert cut
    assert min(share for _, share in cut) < 0.7
    assert all(0 <= box[0] < box[2] <= 640 and 0 <= box[1] < box[3] <= 360 for box, _ in cut)


def test_the_homography_round_trips(scenario: Scenario) -> None:
    for camera in scenario.cameras:
        random = np.random.default_rng(0)
        pixels = np.column_stack([random.uniform(0, 640, 50), random.uniform(200, 360, 50)])
        ground = to_ground(camera, pixels)
        back, depth = camera.project(np.column_stack([ground, np.zeros(50)]))
        assert (depth > 0).all()
        np.testing.assert_allclose(back, pixels, atol=1e-6)


def test_a_box_and_the_homography_give_the_position_of_the_vehicle(renderers: list[Renderer]) -> None:
    """The middle of the lower edge is below the vehicle, near the side that the camera sees."""
    apart = []
    for renderer in renderers:
        for tick in TICKS:
            truth = renderer.truth(tick)
            whole = (truth.visibility > 0.97) & (truth.boxes_xyxy[:, 3] < 358)
            boxes = truth.boxes_xyxy[whole]
            feet = np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]])
            if len(feet):
                apart += np.linalg.norm(to_ground(renderer.camera, feet) - truth.world_xy[whole], axis=1).tolist()
    assert len(apart) >= 8
    assert np.median(apart) < 3.0


def test_four_cameras_see_one_junction(scenario: Scenario) -> None:
    for camera in scenario.cameras[:4]:
        pixels, depth = camera.project(np.array([(x, y, 0.5) for x in (-4, 4) for y in (-4, 4)]))
        assert (depth > 0).all()
        assert (pixels > 0).all()
        assert (pixels < (640, 360)).all()
    gains = {(camera.exposure, camera.white_balance_bgr, camera.noise_sigma) for camera in scenario.cameras}
    assert len(gains) == 6


def test_noise_has_the_strength_set_for_the_camera(scenario: Scenario, backgrounds: dict[str, Background]) -> None:
    empty = replace(scenario, vehicles=())
    for name, background in backgrounds.items():
        camera = scenario.camera(name)
        renderer = Renderer(empty, camera, background)
        difference = renderer.picture(3).astype(int) - renderer.picture(4)
        dull = (
            cv2.erode(((background.picture > 30) & (background.picture < 220)).all(axis=2).astype(np.uint8), None) > 0
        )
        assert difference[dull].std() / np.sqrt(2) == pytest.approx(camera.noise_sigma, rel=0.12)
