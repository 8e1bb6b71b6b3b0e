"""A rendered site on disk: one video per camera, exact truth, calibration, and a site file to run it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo.appearance import CLASS_NAMES
from demo.calibration import calibration_of, wrong_calibration_of
from demo.errors import DemoError
from demo.geometry import SceneCamera
from demo.layout import layout_settings
from demo.scenario import Difficulty, Scenario
from demo.videos import GROUND_TRUTH, render_cameras

SITE_NAME = "demo"
SITE_FILE = "site.yaml"
_BYTES_PER_PICTURE = 16_000
"""Size of a compressed picture; measured: 9 to 14 kB."""
MODELS = Path(__file__).resolve().parent.parent / "models"
_UNFINISHED = ".unfinished-"
DETECTOR, EMBEDDER = "demo_detector.onnx", "demo_embedder.onnx"


@dataclass(frozen=True)
class DemoSite:
    """Parameters of a synthetic site; its files depend on nothing else."""

    seed: int
    """0 or more; determines vehicles, scenery and light."""
    seconds: float
    """Length of the videos, 1 to 3600."""
    cameras: tuple[str, ...] | None = None
    """None selects all six."""
    fps: float = 5.0
    """Pictures and ticks per second, 1 to 30."""
    difficulty: Difficulty = Difficulty.NORMAL
    has_layout: bool = True
    """Whether the site file says which views overlap, and how long the ways between the others take."""
    has_calibration: bool = True
    """Whether the site file names the calibrations."""
    models: Path = MODELS
    """Folder of the detector and the embedder in the site file; they do not have to exist yet."""

    def scenario(self) -> Scenario:
        """Raises DemoError if a number is out of range."""
        if self.seed < 0:
            raise DemoError(f"seed {self.seed}: must be 0 or more")
        if not 1.0 <= self.seconds <= 3600.0:
            raise DemoError(f"{self.seconds:g} seconds: must be 1 to 3600")
        if not 1.0 <= self.fps <= 30.0:
            raise DemoError(f"{self.fps:g} pictures per second: must be 1 to 30")
        return Scenario.generate(self.seed, self.seconds, self.fps, self.difficulty)

    def chosen_cameras(self, scenario: Scenario) -> tuple[SceneCamera, ...]:
        """Raises DemoError if there is no such camera."""
        known = [camera.name for camera in scenario.cameras]
        for name in self.cameras or ():
            if name not in known:
                raise DemoError(f"there is no camera '{name}'; the demo has {', '.join(known)}")
        return tuple(camera for camera in scenario.cameras if self.cameras is None or camera.name in self.cameras)


def require_models(folder: Path) -> None:
    """Checks that the models exist, before a long rendering of a site that could not run.

    Raises:
        DemoError: the demo's models are missing.
    """
    missing = [name for name in (DETECTOR, EMBEDDER) if not (folder / name).is_file()]
    if missing:
        raise DemoError(
            f"the demo's models are missing: there is no {' and no '.join(missing)} in {folder}; reinstall mtmc, "
            "or name a folder that holds them with --models"
        )


def write_site(
    folder: Path,
    site: DemoSite,
    *,
    processes: int = 2,
    progress: Callable[[int, int], None] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Renders `site` into `folder`, which must be empty or not exist; returns the path of its `site.yaml`.

    `folder/{camera}.mp4`, `folder/{camera}.calibration.json`, `folder/site.yaml` and `folder/ground_truth/{camera}.txt`
    (MOTChallenge rows, `frame,id,left,top,width,height,1,class,visibility`; frame 1 is tick 0, classes count from 1).
    The site file is written last, so a folder that has one is complete. `progress` is called with the number of
    rendered pictures and the total. `notes` are further files, name → content as JSON.

    Raises:
        DemoError: a camera is unknown, a number is out of range, or the folder cannot be written.
    """
    scenario = site.scenario()
    chosen = site.chosen_cameras(scenario)
    unfinished = folder / f"{_UNFINISHED}{os.getpid()}"
    try:
        if folder.exists() and not (folder.is_dir() and is_vacant(folder)):
            raise DemoError(f"{folder} already exists; remove it, or name another folder")
        shutil.rmtree(unfinished, ignore_errors=True)
        (unfinished / GROUND_TRUTH).mkdir(parents=True)
        _check_room(unfinished, scenario.ticks * len(chosen))
        render_cameras(scenario, chosen, unfinished, processes, progress)
        for camera in chosen:
            is_hard = site.difficulty is Difficulty.HARD
            content = wrong_calibration_of(camera, site.seed) if is_hard else calibration_of(camera)
            _write_json(unfinished / calibration_file(camera.name), content)
        for name, content in (notes or {}).items():
            _write_json(unfinished / name, content)
        # The notes come first: they identify an unfinished folder as a rendered site, which may be replaced.
        for path in sorted(unfinished.iterdir(), key=lambda path: (path.name not in (notes or {}), path.name)):
            path.replace(folder / path.name)
        text = site_text(
            scenario, chosen, site.models, has_layout=site.has_layout, has_calibration=site.has_calibration
        )
        (unfinished / SITE_FILE).write_text(text)
        (unfinished / SITE_FILE).replace(folder / SITE_FILE)
    except OSError as error:
        raise DemoError(
            f"{folder} cannot be written: {error.strerror or error}; name another folder, or make room"
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder / SITE_FILE


def is_vacant(folder: Path) -> bool:
    """Whether the folder contains only leftovers of a killed rendering."""
    return all(path.name.startswith(_UNFINISHED) for path in folder.iterdir())


def _check_room(folder: Path, pictures: int) -> None:
    free, needed = shutil.disk_usage(folder).free, pictures * _BYTES_PER_PICTURE
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def calibration_file(camera: str) -> str:
    """Name of the file in the site's folder."""
    return f"{camera}.calibration.json"


def site_text(
    scenario: Scenario,
    cameras: Sequence[SceneCamera],
    models: Path,
    *,
    has_layout: bool = True,
    has_calibration: bool = True,
) -> str:
    """Content of the site file: five ticks per second, looping, live."""
    names = tuple(camera.name for camera in cameras)
    settings: dict[str, Any] = {
        "site": SITE_NAME,
        "clock": {"target_fps": scenario.fps},
        "detector": {"model": str(models / DETECTOR), "classes": list(CLASS_NAMES)},
        "embedder": {"model": str(models / EMBEDDER)},
        "cameras": [
            {
                "name": name,
                "source": f"{name}.mp4",
                "loop": True,
                **({"calibration": calibration_file(name)} if has_calibration else {}),
            }
            for name in names
        ],
        **({"layout": layout_settings(names)} if has_layout else {}),
    }
    return yaml.safe_dump(settings, sort_keys=False)
