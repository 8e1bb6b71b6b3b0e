"""Pictures of synthetic scenes with their truth, rendered once into a folder.

`SPLIT/SEED/CAMERA-TICK.jpg` is one picture. `SPLIT/SEED/truth.npz` has the truth of all pictures of the scene; it is
written last, so a scene that has it is complete. If you change the scenes, delete the folder.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from demo.rendering import Renderer
from demo.scenario import Scenario
from demo.training.progress import ProgressLines
from demo.training.seeds import FPS, PICTURE_EVERY_TICKS, SCENE_SECONDS, SCENES, Split
from demo.truth import Truth

# Compression varies between cameras and files; the models must be robust to it.
_JPEG_QUALITIES = (75, 96)


@dataclass(frozen=True, eq=False)
class Picture:
    """A rendered picture with its truth."""

    seed: int
    camera: str
    tick: int
    path: Path
    truth: Truth

    def read(self) -> npt.NDArray[np.uint8]:
        """`(height, width, 3)` uint8 BGR."""
        image = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if image is None:
            raise FileNotFoundError(f"{self.path}: cannot be read; remove its folder and render again")
        return np.asarray(image, np.uint8)


def render(folder: Path, split: Split) -> list[Picture]:
    """Returns all pictures of `split` in `folder`; renders missing scenes, one per core at a time."""
    missing = [seed for seed in SCENES[split] if not _truth_file(folder / split, seed).exists()]
    if missing:
        progress = ProgressLines(f"rendering {split} scenes", len(missing))
        draw = partial(render_scene, folder / split, seconds=SCENE_SECONDS, every_ticks=PICTURE_EVERY_TICKS)
        with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0)), _one_thread) as pool:
            for done, _ in enumerate(pool.imap_unordered(draw, missing), 1):
                progress.at(done)
    return [picture for seed in SCENES[split] for picture in read_scene(folder / split, seed)]


def render_scene(folder: Path, seed: int, *, seconds: float, every_ticks: int) -> None:
    """Renders one scene into `folder`: one picture per camera every `every_ticks` ticks."""
    truth_file = _truth_file(folder, seed)
    truth_file.parent.mkdir(parents=True, exist_ok=True)
    scenario = Scenario.generate(seed, seconds, FPS)
    random = np.random.default_rng(seed)
    # An offset, so that scenes are not in phase with each other.
    ticks = range(int(random.integers(every_ticks)), scenario.ticks, every_ticks)
    cameras, numbers, truths = [], [], []
    for camera in scenario.cameras:
        renderer = Renderer(scenario, camera)
        for tick in ticks:
            quality = int(random.integers(*_JPEG_QUALITIES))
            picture_file = _picture_file(folder, seed, camera.name, tick)
            if not cv2.imwrite(str(picture_file), renderer.picture(tick), [cv2.IMWRITE_JPEG_QUALITY, quality]):
                raise OSError(f"{picture_file}: cannot be written; free some disk space, or name another folder")
            cameras.append(camera.name)
            numbers.append(tick)
            truths.append(renderer.truth(tick))
    columns: dict[str, Any] = {name: np.concatenate([getattr(truth, name) for truth in truths]) for name in _COLUMNS}
    counts = np.array([len(truth) for truth in truths], np.int64)
    part = truth_file.with_suffix(".part.npz")
    np.savez(part, cameras=np.array(cameras), ticks=np.array(numbers, np.int64), counts=counts, **columns)
    part.replace(truth_file)


def read_scene(folder: Path, seed: int) -> Sequence[Picture]:
    """Returns the pictures of a scene in `folder`, camera by camera."""
    with np.load(_truth_file(folder, seed)) as stored:
        cameras, ticks, ends = stored["cameras"].tolist(), stored["ticks"].tolist(), np.cumsum(stored["counts"])[:-1]
        pieces = [np.split(stored[name], ends) for name in _COLUMNS]
    truths = [Truth(*columns) for columns in zip(*pieces, strict=True)]
    return [
        Picture(seed, camera, tick, _picture_file(folder, seed, camera, tick), truth)
        for camera, tick, truth in zip(cameras, ticks, truths, strict=True)
    ]


_COLUMNS = tuple(field.name for field in fields(Truth))


def _truth_file(folder: Path, seed: int) -> Path:
    return folder / str(seed) / "truth.npz"


def _picture_file(folder: Path, seed: int, camera: str, tick: int) -> Path:
    return folder / str(seed) / f"{camera}-{tick:05d}.jpg"


def _one_thread() -> None:
    cv2.setNumThreads(1)
