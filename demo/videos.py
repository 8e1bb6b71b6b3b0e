"""Writes pictures to video files and truth to text, in several processes."""

from __future__ import annotations

import errno
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import cv2

from demo.geometry import SceneCamera
from demo.rendering import Renderer
from demo.scenario import Scenario
from demo.truth import Truth

GROUND_TRUTH = "ground_truth"
_FOURCC = "mp4v"
"""MPEG-4 part 2: OpenCV's wheels can write it on every platform, and every frame can be seeked to."""
_TELL_EVERY_S = 0.2


def render_cameras(
    scenario: Scenario,
    cameras: Sequence[SceneCamera],
    folder: Path,
    processes: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes `{camera}.mp4` and `ground_truth/{camera}.txt` for each camera into `folder`.

    Raises:
        OSError: the disk cannot be written or is full.
    """
    for vehicle in scenario.vehicles:
        _ = vehicle.mesh  # built once, and sent to every process
    context = multiprocessing.get_context("spawn")
    done, stopped = context.Value("q", 0), context.Event()
    total = scenario.ticks * len(cameras)
    workers = max(1, min(processes, len(cameras)))
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(done, stopped)) as pool:
        try:
            jobs = {pool.submit(_render_in_pool, scenario, camera, folder) for camera in cameras}
            waiting = jobs
            while waiting:
                finished, waiting = wait(waiting, _TELL_EVERY_S, FIRST_EXCEPTION)
                for job in finished:
                    job.result()
                if progress is not None:
                    progress(done.value, total)
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


_pool: dict[str, Any] = {}
"""In a process of the pool: the objects that it shares with its parent."""


def _begin(done: Any, stopped: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    cv2.setNumThreads(1)
    _pool.update(done=done, stopped=stopped)


def _render_in_pool(scenario: Scenario, camera: SceneCamera, folder: Path) -> None:
    def go_on() -> bool:
        with _pool["done"].get_lock():
            _pool["done"].value += 1
        return not _pool["stopped"].is_set()

    render_camera(scenario, camera, folder, go_on)


def render_camera(
    scenario: Scenario, camera: SceneCamera, folder: Path, go_on: Callable[[], bool] = lambda: True
) -> None:
    """Writes video and truth of one camera; after each picture, stops if `go_on` returns False.

    Raises:
        OSError: the disk cannot be written or is full.
    """
    renderer = Renderer(scenario.as_seen_by(camera), camera)
    path = folder / f"{camera.name}.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*_FOURCC), scenario.fps, (camera.width, camera.height))
    if not writer.isOpened():
        raise OSError(errno.EIO, f"OpenCV cannot write {path.name}")
    rows: list[str] = []
    try:
        for tick in range(scenario.ticks):
            writer.write(renderer.picture(tick))
            rows += mot_rows(tick, renderer.truth(tick))
            if not go_on():
                return
    finally:
        writer.release()
    _check_complete(path, scenario.ticks)
    (folder / GROUND_TRUTH / f"{camera.name}.txt").write_text("".join(f"{row}\n" for row in rows))


def _check_complete(path: Path, ticks: int) -> None:
    """OpenCV does not report a full disk, but a truncated file cannot be opened."""
    capture = cv2.VideoCapture(str(path))
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    if frames != ticks:
        raise OSError(errno.ENOSPC, f"{path.name} is truncated after {frames} of {ticks} pictures; is the disk full?")


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
