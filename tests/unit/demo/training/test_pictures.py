"""Seeds and their purposes, and scenes rendered into a folder."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from demo.rendering import Renderer
from demo.scenario import Scenario
from demo.training.crops import CropSelection, crops_of, stretched
from demo.training.pictures import read_scene, render_scene
from demo.training.seeds import FPS, SCENES

SEED = 77


def test_no_scene_serves_two_purposes() -> None:
    for one, other in itertools.combinations(SCENES.values(), 2):
        assert set(one).isdisjoint(other)
    assert min(map(min, SCENES.values())) >= 1_000_000  # `mtmc demo --seed` is unlikely to show a training scene


def test_a_scene_read_from_its_folder_equals_the_rendered_one(tmp_path: Path) -> None:
    render_scene(tmp_path, SEED, seconds=2, every_ticks=8)

    pictures = read_scene(tmp_path, SEED)

    scenario = Scenario.generate(SEED, 2, FPS)
    assert {picture.camera for picture in pictures} == {camera.name for camera in scenario.cameras}
    picture = next(picture for picture in pictures if len(picture.truth))
    renderer = Renderer(scenario, scenario.camera(picture.camera))
    expected = renderer.truth(picture.tick)
    np.testing.assert_array_equal(picture.truth.ids, expected.ids)
    np.testing.assert_array_equal(picture.truth.boxes_xyxy, expected.boxes_xyxy)
    difference = picture.read().astype(int) - renderer.picture(picture.tick)
    assert np.abs(difference).mean() < 6  # JPEG

    crops = crops_of(pictures, CropSelection(min_visibility=0.5, min_height_px=16))
    seen = [(crop.camera, tuple((crop.box_xyxy[2:] - crop.box_xyxy[:2]).tolist())) for crop in crops]
    wanted = [
        (picture.camera, tuple((box[2:] - box[:2]).tolist()))
        for picture in pictures
        for box, visibility in zip(picture.truth.boxes_xyxy, picture.truth.visibility, strict=True)
        if visibility >= 0.5 and box[3] - box[1] >= 16
    ]
    assert seen == wanted
    first = crops[0]
    cut = stretched(first, first.box_xyxy, *(first.box_xyxy[2:] - first.box_xyxy[:2]).astype(int).tolist())
    x0, y0, x1, y1 = next(
        box for box in pictures[0].truth.boxes_xyxy.astype(int) if (box[2:] - box[:2] == cut.shape[1::-1]).all()
    )
    np.testing.assert_array_equal(cut, pictures[0].read()[y0:y1, x0:x1])
