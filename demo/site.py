"""A rendered site on disk: one video for each camera, exact truth, calibration, and a site file that runs it."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from demo.appearance import CLASS_NAMES
from demo.geometry import Camera
from demo.layout import layout_settings
from demo.rendering import Renderer
from demo.scenario import Scenario
from demo.truth import Truth
from shared.errors import MtmcError

SITE_NAME = "demo"
GROUND_TRUTH = "ground_truth"
_FOURCC = "mp4v"
MODELS = Path(__file__).resolve().parent.parent / "models"
DETECTOR, EMBEDDER = "demo_detector.onnx", "demo_embedder.onnx"


class DemoError(MtmcError):
    """The synthetic site cannot be made as asked."""


def write_site(
    folder: Path,
    seed: int,
    seconds: float,
    cameras: Sequence[str] | None = None,
    fps: float = 5.0,
    *,
    models: Path = MODELS,
    processes: int = 2,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Renders the site into `folder`, which must not exist or be empty; returns the path of its `site.yaml`.

    `folder/{camera}.mp4`, `folder/{camera}.calibration.json`, `folder/ground_truth/{camera}.txt` (MOTChallenge rows,
    `frame,id,left,top,width,height,1,class,visibility`; frame 1 is tick 0, classes count from 1) and `folder/site.yaml`.
    Everything is written beside `folder` first, so a folder of this name is always complete. `models` holds the
    detector and the embedder that the site file names; they need not be there yet. `progress` is told how many
    pictures were rendered since the last call.

    Raises:
        DemoError: an unknown camera, an impossible number, or no place to write.
    """
    scenario = scenario_of(seed, seconds, fps)
    chosen = chosen_cameras(scenario, cameras)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DemoError(f"{folder} is there already; remove it, or name another folder")
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    try:
        (unfinished / GROUND_TRUTH).mkdir(parents=True)
        _render_all(scenario, chosen, unfinished, processes, progress)
        for camera in chosen:
            (unfinished / f"{camera.name}.calibration.json").write_text(json.dumps(calibration_of(camera), indent=1) + "\n")
        (unfinished / "site.yaml").write_text(site_text(scenario, chosen, models))
        unfinished.replace(folder)
    except OSError as error:
        raise DemoError(f"{folder} cannot be written: {error.strerror or error}; make room, or name another folder") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder / "site.yaml"


def scenario_of(seed: int, seconds: float, fps: float) -> Scenario:
    """Raises DemoError where a number is impossible."""
    if seed < 0:
        raise DemoError(f"seed {seed}: give a whole number from 0")
    if not 1.0 <= seconds <= 3600.0:
        raise DemoError(f"{seconds:g} seconds: give a length from 1 to 3600 seconds")
    if not 1.0 <= fps <= 30.0:
        raise DemoError(f"{fps:g} pictures a second: give a rate from 1 to 30")
    return Scenario.generate(seed, seconds, fps)


def chosen_cameras(scenario: Scenario, names: Sequence[str] | None) -> tuple[Camera, ...]:
    """Raises DemoError where there is no such camera."""
    known = [camera.name for camera in scenario.cameras]
    for name in names or ():
        if name not in known:
            raise DemoError(f"there is no camera '{name}'; the demo has {', '.join(known)}")
    return tuple(camera for camera in scenario.cameras if names is None or camera.name in names)


def _render_all(
    scenario: Scenario,
    cameras: Sequence[Camera],
    folder: Path,
    processes: int,
    progress: Callable[[int], None] | None,
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, min(processes, len(cameras))), mp_context=context) as pool:
        jobs = [pool.submit(render_camera, scenario, camera, folder) for camera in cameras]
        for job in as_completed(jobs):
            written = job.result()
            if progress is not None:
                progress(written)


def render_camera(scenario: Scenario, camera: Camera, folder: Path) -> int:
    """Writes video and truth of one camera; returns the number of pictures.

    Raises:
        OSError: the disk does not take them.
    """
    cv2.setNumThreads(1)
    renderer = Renderer(scenario, camera)
    path = folder / f"{camera.name}.mp4"
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*_FOURCC), scenario.fps, (camera.width, camera.height)
    )
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write {path}")
    rows: list[str] = []
    for tick in range(scenario.ticks):
        writer.write(renderer.picture(tick))
        rows += mot_rows(tick, renderer.truth(tick))
    writer.release()
    (folder / GROUND_TRUTH / f"{camera.name}.txt").write_text("".join(f"{row}\n" for row in rows))
    return scenario.ticks


def mot_rows(tick: int, truth: Truth) -> list[str]:
    """MOTChallenge rows; left and top are pixel edges from 0, as everywhere in this project."""
    rows = []
    for i in range(len(truth)):
        left, top, right, bottom = truth.boxes_xyxy[i].tolist()
        rows.append(
            f"{tick + 1},{truth.ids[i]},{left:g},{top:g},{right - left:g},{bottom - top:g},1,"
            f"{truth.class_ids[i] + 1},{truth.visibility[i]:.4f}"
        )
    return rows


def calibration_of(camera: Camera) -> dict[str, Any]:
    """Matrices in rows; the world is flat, in metres, z up."""

    def rows(matrix: np.ndarray[Any, Any]) -> list[list[float]]:
        return [[float(value) for value in row] for row in matrix]

    return {
        "camera": camera.name,
        "resolution": {"width": camera.width, "height": camera.height},
        "intrinsic": rows(camera.intrinsic),
        "rotation": rows(camera.rotation),
        "position": list(camera.position),
        "projection": rows(camera.projection),
        "image_to_ground": rows(camera.image_to_ground),
        "ground_to_image": rows(camera.ground_to_image),
    }


def site_text(scenario: Scenario, cameras: Sequence[Camera], models: Path) -> str:
    """The site file: five ticks a second, looping, live."""
    names = tuple(camera.name for camera in cameras)
    settings: dict[str, Any] = {
        "site": SITE_NAME,
        "clock": {"target_fps": scenario.fps},
        "detector": {"model": str(models / DETECTOR), "classes": list(CLASS_NAMES)},
        "embedder": {"model": str(models / EMBEDDER)},
        "cameras": [{"name": name, "source": f"{name}.mp4", "loop": True} for name in names],
        "layout": layout_settings(names),
    }
    return yaml.safe_dump(settings, sort_keys=False)
