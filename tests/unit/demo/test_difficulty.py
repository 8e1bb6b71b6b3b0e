"""Hard scenes: more vehicles, more look-alikes, clocks that differ. Normal scenes never change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import yaml

from demo.rendering import Renderer
from demo.scenario import Difficulty, Scenario
from demo.site import MODELS, site_text
from demo.videos import GROUND_TRUTH, mot_rows, render_camera

NORMAL_PICTURE = "9443e08cc088b99b62d545f88ed2ddd0705621fd69fb99aca7a145ba0d2e9e55"  # before there were hard scenes
NORMAL_POSES = "511124c4e5c36cc62fc7f725def78bb4d6fe2d811193d81b0f0764f961428c5a"


def test_normal_scenes_are_the_same_as_ever() -> None:
    """Pictures too: the models were trained and all figures measured on them."""
    scenario = Scenario.generate(7, 4.0)
    camera = scenario.cameras[0]
    picture = Renderer(scenario.as_seen_by(camera), camera).picture(10)
    assert hashlib.sha256(picture.tobytes()).hexdigest() == NORMAL_PICTURE
    poses = np.concatenate([vehicle.poses for vehicle in scenario.vehicles])
    assert hashlib.sha256(np.round(poses, 6).tobytes()).hexdigest() == NORMAL_POSES


def test_a_hard_scene_has_more_vehicles_and_more_of_them_look_alike() -> None:
    normal, hard = (Scenario.generate(3, 120.0, difficulty=difficulty) for difficulty in Difficulty)
    assert len(hard.vehicles) > 1.2 * len(normal.vehicles)
    alike = [
        len({(vehicle.look.body, vehicle.look.scale) for vehicle in scene.vehicles}) / len(scene.vehicles)
        for scene in (normal, hard)
    ]
    assert alike[1] < alike[0]


def test_the_clocks_of_a_hard_scene_differ_by_up_to_100_ms_each_way() -> None:
    hard = Scenario.generate(3, 20.0, difficulty=Difficulty.HARD)
    assert len(hard.clocks_s) == len(hard.cameras)
    assert len(set(hard.clocks_s)) == len(hard.cameras)
    assert max(map(abs, hard.clocks_s)) <= 0.1
    shifted = hard.as_seen_by(hard.cameras[0])
    pairs = zip(hard.vehicles, shifted.vehicles, strict=True)
    assert any(np.abs(after.poses - before.poses).max() > 0.05 for before, after in pairs)
    for camera, clock_s in zip(hard.cameras, hard.clocks_s, strict=True):
        seen = hard.as_seen_by(camera)
        for before, after in zip(hard.vehicles, seen.vehicles, strict=True):
            assert (after.id, after.first_tick, len(after.poses)) == (before.id, before.first_tick, len(before.poses))
            if len(before.poses) > 2:
                step = np.linalg.norm(before.poses[2, :2] - before.poses[1, :2])
                moved = np.linalg.norm(after.poses[1, :2] - before.poses[1, :2])
                assert (
                    moved
                    <= abs(clock_s) * hard.fps * max(step, np.linalg.norm(np.diff(before.poses[:2, :2], axis=0))) + 1e-6
                )


def test_a_hard_video_shows_the_scene_at_the_times_of_its_camera(tmp_path: Path) -> None:
    hard = Scenario.generate(3, 2.0, difficulty=Difficulty.HARD)
    (tmp_path / GROUND_TRUTH).mkdir()
    camera = hard.cameras[0]
    render_camera(hard, camera, tmp_path)
    written = (tmp_path / GROUND_TRUTH / f"{camera.name}.txt").read_text().splitlines()
    of_its_clock, of_the_site = (Renderer(scene, camera) for scene in (hard.as_seen_by(camera), hard))
    assert written == [row for tick in range(hard.ticks) for row in mot_rows(tick, of_its_clock.truth(tick))]
    assert written != [row for tick in range(hard.ticks) for row in mot_rows(tick, of_the_site.truth(tick))]


def test_a_site_without_a_layout_says_nothing_of_overlaps() -> None:
    scenario = Scenario.generate(3, 2.0)
    with_layout, without = (
        yaml.safe_load(site_text(scenario, scenario.cameras, MODELS, has_layout=has)) for has in (True, False)
    )
    assert "layout" in with_layout
    assert "layout" not in without
