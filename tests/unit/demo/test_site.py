"""A rendered site on disk, and its reuse."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo.cache import cache_name, rendered_site
from demo.errors import DemoError
from demo.rendering import Renderer
from demo.site import DemoSite, write_site
from launcher.site_file import load_site

CAMERA = "north-street"
SITE = DemoSite(seed=7, seconds=2.0, cameras=(CAMERA,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of one camera and ten pictures."""
    folder = tmp_path_factory.mktemp("cache") / cache_name(SITE)
    rendered_site(folder, SITE)
    return folder


def test_video_truth_and_calibration_are_those_of_the_scenario(folder: Path) -> None:
    scenario = SITE.scenario()
    camera = scenario.camera(CAMERA)
    renderer = Renderer(scenario, camera)
    capture = cv2.VideoCapture(str(folder / f"{CAMERA}.mp4"))
    pictures = [capture.read()[1] for _ in range(scenario.ticks)]
    assert not capture.read()[0]
    difference = pictures[9].astype(int) - renderer.picture(9)
    assert np.abs(difference).mean() < 6

    rows = np.loadtxt(folder / "ground_truth" / f"{CAMERA}.txt", delimiter=",", ndmin=2)
    truth = renderer.truth(9)
    np.testing.assert_array_equal(rows[rows[:, 0] == 10, 1], truth.ids)
    calibration = json.loads((folder / f"{CAMERA}.calibration.json").read_text())
    np.testing.assert_allclose(calibration["image_to_ground"], camera.image_to_ground)


def test_the_site_file_is_one_that_mtmc_accepts(folder: Path) -> None:
    site = load_site(folder / "site.yaml", {})
    assert [camera.name for camera in site.cameras] == [CAMERA]
    assert Path(site.cameras[0].source) == folder / f"{CAMERA}.mp4"


def test_an_equal_site_is_reused_and_a_different_one_rendered_again(folder: Path) -> None:
    video = folder / f"{CAMERA}.mp4"
    first = video.stat().st_mtime_ns
    rendered_site(folder, SITE)
    assert video.stat().st_mtime_ns == first

    (folder / "made-of.json").write_text('{"sources": "of an older version"}')
    (folder / "left-over.mp4").touch()
    rendered_site(folder, SITE)
    assert video.stat().st_mtime_ns > first
    assert not (folder / "left-over.mp4").exists()


def test_leftovers_of_a_killed_rendering_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-1").mkdir()
    assert rendered_site(tmp_path, SITE).is_file()


def test_a_rendering_killed_while_moving_its_files_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Path] = []
    move = Path.replace

    def die_after_one(path: Path, target: Path) -> Path:
        if moved:
            raise KeyboardInterrupt
        moved.append(path)
        return move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die_after_one)
        with pytest.raises(KeyboardInterrupt):
            rendered_site(tmp_path / "site", SITE)
    assert rendered_site(tmp_path / "site", SITE).is_file()


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (DemoSite(-1, 2.0), "seed -1: must be 0 or more"),
        (DemoSite(1, 0.0), "0 seconds: must be 1 to 3600"),
        (DemoSite(1, 2.0, fps=99), "99 pictures per second: must be 1 to 30"),
        (DemoSite(1, 2.0, ("gate",)), "there is no camera 'gate'; the demo has crossing-southwest, "),
    ],
)
def test_an_impossible_site_is_refused_before_anything_is_written(site: DemoSite, message: str, tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=message):
        rendered_site(tmp_path / "site", site)
    assert not (tmp_path / "site").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").touch()
    with pytest.raises(DemoError, match="is not a rendered site; move it away"):
        rendered_site(tmp_path, SITE)
    with pytest.raises(DemoError, match="already exists"):
        write_site(tmp_path, SITE)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


def test_a_path_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match="cannot be written"):
        rendered_site(tmp_path / "file" / "site", SITE)
    with pytest.raises(DemoError, match="already exists"):
        rendered_site(tmp_path / "file", SITE)
