"""Pictures of synthetic scenes with their truth, rendered once into a folder.

FOLDER/SPLIT/SEED/CAMERA-TICK.jpg   one picture
FOLDER/SPLIT/SEED/truth.npz         the boxes of all pictures of the scene; written last, so its presence says
                                    that the scene is complete
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from demo.background import Background, background_of
from demo.geometry import Camera
from demo.rendering import Renderer
from demo.scenario import Scenario
from demo.training.progress import Progress
from demo.training.seeds import FPS, PICTURE_EVERY_TICKS, SCENE_SECONDS, SCENES, Split

Floats = npt.NDArray[np.float32]
# Cameras and recordings compress more or less; the models must not mind.
_JPEG_QUALITIES = (75, 96)


@dataclass(frozen=True, eq=False)
class Truth:
    """The vehicles in one picture."""

    ids: npt.NDArray[np.int64]
    """`(n,)`, the same in all cameras of a scene."""
    boxes_xyxy: Floats
    """`(n, 4)`, pixels of the picture."""
    class_ids: npt.NDArray[np.int16]
    """`(n,)`, numbers of `demo.appearance.CLASS_NAMES`."""
    visibility: Floats
    """`(n,)`, the share of the vehicle that nothing hides, 0 to 1."""


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


def render(folder: Path, split: Split, processes: int | None = None) -> list[Picture]:
    """All pictures of `split` in `folder`, rendering the scenes that are not there yet."""
    missing = [seed for seed in SCENES[split] if not _truth_file(folder, split, seed).exists()]
    if missing:
        progress = Progress(f"rendering {split} scenes", len(missing))
        count = processes or len(os.sched_getaffinity(0))
        with multiprocessing.get_context("spawn").Pool(count, initializer=_one_thread) as pool:
            for done, seed in enumerate(pool.imap_unordered(partial(_render_scene, folder, split), missing), 1):
                progress.at(done, f"seed {seed}")
    return [picture for seed in SCENES[split] for picture in _read_scene(folder, split, seed)]


def _one_thread() -> None:
    cv2.setNumThreads(1)


@cache
def _background(camera: Camera) -> Background:
    """The same in all scenes."""
    return background_of(camera)


def _truth_file(folder: Path, split: Split, seed: int) -> Path:
    return folder / split / str(seed) / "truth.npz"


def _render_scene(folder: Path, split: Split, seed: int) -> int:
    truth_file = _truth_file(folder, split, seed)
    truth_file.parent.mkdir(parents=True, exist_ok=True)
    scenario = Scenario.generate(seed, SCENE_SECONDS, FPS)
    random = np.random.default_rng(seed)
    # Not in step with the traffic light or the other scenes.
    first = int(random.integers(PICTURE_EVERY_TICKS))
    ticks = range(first, int(SCENE_SECONDS * FPS), PICTURE_EVERY_TICKS)
    names, numbers, truths = [], [], []
    for camera in scenario.cameras:
        renderer = Renderer(scenario, camera, _background(camera))
        for tick in ticks:
            quality = int(random.integers(*_JPEG_QUALITIES))
            path = truth_file.with_name(f"{camera.name}-{tick:05d}.jpg")
            cv2.imwrite(str(path), renderer.picture(tick), [cv2.IMWRITE_JPEG_QUALITY, quality])
            names.append(camera.name)
            numbers.append(tick)
            truths.append(renderer.truth(tick))
    part = truth_file.with_suffix(".part.npz")
    np.savez(
        part,
        cameras=np.array(names),
        ticks=np.array(numbers, np.int64),
        counts=np.array([len(truth.ids) for truth in truths], np.int64),
        ids=np.concatenate([truth.ids for truth in truths]).astype(np.int64),
        boxes_xyxy=np.concatenate([truth.boxes_xyxy for truth in truths]).astype(np.float32),
        class_ids=np.concatenate([truth.class_ids for truth in truths]).astype(np.int16),
        visibility=np.concatenate([truth.visibility for truth in truths]).astype(np.float32),
    )
    part.replace(truth_file)
    return seed


def _read_scene(folder: Path, split: Split, seed: int) -> Iterator[Picture]:
    truth_file = _truth_file(folder, split, seed)
    with np.load(truth_file) as stored:
        cameras, ticks, counts = stored["cameras"], stored["ticks"], stored["counts"]
        ids, boxes_xyxy = stored["ids"], stored["boxes_xyxy"]
        class_ids, visibility = stored["class_ids"], stored["visibility"]
    ends = np.cumsum(counts)
    for camera, tick, start, end in zip(cameras.tolist(), ticks.tolist(), ends - counts, ends, strict=True):
        rows = slice(int(start), int(end))
        truth = Truth(ids[rows], boxes_xyxy[rows], class_ids[rows], visibility[rows])
        yield Picture(seed, camera, tick, truth_file.with_name(f"{camera}-{tick:05d}.jpg"), truth)
