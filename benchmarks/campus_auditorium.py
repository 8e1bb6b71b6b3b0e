"""CAMPUS Auditorium, four partly overlapping views: association on real motion, with simulated appearance.

    python -m benchmarks.campus_auditorium [--boxes true|detected] [--profiles base hard] [--mode live|reference]

Boxes and identities are real (`../shared/data/campus-auditorium` or `$MTMC_SHARED/data/…`), at 10 Hz; there are no
pixels, so embeddings come from `../shared/tools/simulated_appearance.py`. `true` uses the true boxes, with one track
for each stay in a view. `detected` runs our tracker on the real detections. A box has the appearance of the object that
it shows, or of a unique person if it shows none.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.shared_data import shared_folder
from cli.console import table_console
from evaluation.matching import NOBODY, match_camera
from evaluation.recorded import judge_recording
from evaluation.tables import SummaryTable
from evaluation.tracks import PublishedTracks
from evaluation.truth import CameraTruth, read_truth
from evaluation.verdict import Verdict
from recording.association import associate
from recording.mot_import import ImportOptions, MotSource, import_mot
from recording.mot_text import mot_lines, read_mot, write_lines
from recording.mot_tracking import TrackingOptions, track_mot
from recording.reading import Recording
from recording.rows import Ids
from shared.logs import configure_logging
from vision.tracking.settings import TrackerSettings

CAMERAS = ("HC3", "HC4", "IP2", "IP5")
FPS, STRIDE, SIZE = 29.97, 3, (1920, 1080)
SITE = Path("data") / "campus-auditorium"
_LOST_S = TrackerSettings().max_lost_seconds
# As in the camera worker: a new track is embedded at each of its first five ticks, then every half second.
_FIRST_EMBEDDINGS, _REFRESH_S = 5, 0.5
Boxes = Literal["true", "detected"]
DataProfile = Literal["base", "hard"]


def make_recording(
    shared: Path, boxes: Boxes, profile: DataProfile, seed: int, folder: Path, seconds: float | None = None
) -> Recording:
    """Writes a recording of the four views (or of their first `seconds`) into `folder`, without global ids."""
    sources, shown, tracks = [], [], []
    truth = read_truth(shared / SITE, CAMERAS)
    folder.mkdir(parents=True, exist_ok=True)
    for camera in CAMERAS:
        path = folder / f"{camera}.txt"
        rows = _true_tracks(truth[camera]) if boxes == "true" else _detected(shared / SITE / camera, path)
        rows = rows if seconds is None else rows.between(1, round(seconds * FPS))
        tracks.append(rows)
        shown.append(_objects(truth[camera], rows))
        sources.append(MotSource(camera, path, folder / f"{camera}.npy"))
    for source, rows, features in zip(sources, tracks, _embeddings(shared, tracks, shown, profile, seed), strict=True):
        scores = np.ones(len(rows), np.float32)
        if boxes == "detected":
            scores = _confidences(source.tracks)[: len(rows)]
        lines = mot_lines(rows.ticks, rows.track_ids, rows.boxes_xyxy.astype(np.float32), scores)
        write_lines(source.tracks, lines)
        assert source.features is not None
        np.save(source.features, features)
    options = ImportOptions(FPS, STRIDE, size=SIZE, site="campus", max_lost_seconds=_LOST_S)
    import_mot(sources, options, folder / "recording")
    return Recording.open(folder / "recording")


def _sampled(frames: Ids) -> npt.NDArray[np.bool_]:
    chosen: npt.NDArray[np.bool_] = (frames - 1) % STRIDE == 0
    return chosen


def _true_tracks(truth: CameraTruth) -> PublishedTracks:
    """The true boxes; `ticks` are frames. An object that was away for longer returns as a new track."""
    rows = np.flatnonzero(_sampled(truth.frames))
    frames, objects = truth.frames[rows], truth.identities[rows]
    order = np.lexsort((frames, objects))
    away = (np.diff(frames[order], prepend=-1) > _LOST_S * FPS) | (np.diff(objects[order], prepend=-1) != 0)
    track_ids = np.empty(len(rows), np.int64)
    track_ids[order] = np.cumsum(away)
    nothing = np.zeros(len(rows), np.int64)
    return PublishedTracks.of(frames, nothing, track_ids, truth.boxes_xyxy[rows], nothing)


def _detected(source: Path, path: Path) -> PublishedTracks:
    """The output of our tracker on the real detections; `ticks` are frames."""
    track_mot(source / "det.txt", TrackingOptions(FPS, STRIDE, size=SIZE), TrackerSettings(), path)
    rows = read_mot(path)
    nothing = np.zeros(len(rows), np.int64)
    return PublishedTracks.of(rows.frame, nothing, rows.object_id, rows.box_xyxy, nothing)


def _confidences(path: Path) -> npt.NDArray[np.float32]:
    """In the order of frames and ids."""
    rows = read_mot(path)
    return rows.confidence[np.lexsort((rows.object_id, rows.frame))]


def _objects(truth: CameraTruth, tracks: PublishedTracks) -> Ids:
    """The object that each box shows, or `NOBODY`."""
    frames = np.unique(tracks.ticks)
    return match_camera(truth, tracks, frames, frames).shown


def _embeddings(
    shared: Path, tracks: list[PublishedTracks], shown: list[Ids], profile: DataProfile, seed: int
) -> list[npt.NDArray[np.float32]]:
    """The embedding of every box; zero if the camera worker would not embed it."""
    identity, camera, times = [], [], []
    known = np.unique(np.concatenate(shown))
    strangers = len(known)
    for index, (rows, objects) in enumerate(zip(tracks, shown, strict=True)):
        unique, inverse = np.unique(rows.track_ids, return_inverse=True)
        identity.append(np.where(objects != NOBODY, np.searchsorted(known, objects), strangers + inverse))
        strangers += len(unique)
        camera.append(np.full(len(rows), index))
        times.append(rows.ticks / FPS)
    lengths = [len(rows) for rows in tracks]
    ids, cameras, at = np.concatenate(identity), np.concatenate(camera), np.concatenate(times)
    order = np.lexsort((cameras, at))
    look = _appearance(shared).Appearance(profile, strangers, len(tracks), np.random.default_rng(seed))
    drawn = np.empty((len(at), look.dim), np.float32)
    drawn[order] = look.detections(ids[order], cameras[order], at[order])
    parts = np.split(drawn, np.cumsum(lengths)[:-1])
    for part, rows in zip(parts, tracks, strict=True):
        part[~_embedded(rows)] = 0.0
    return parts


def _embedded(tracks: PublishedTracks) -> npt.NDArray[np.bool_]:
    due = np.zeros(len(tracks), np.bool_)
    for track_id in np.unique(tracks.track_ids):
        count, last_s = 0, -np.inf
        for row in np.flatnonzero(tracks.track_ids == track_id):
            now_s = tracks.ticks[row] / FPS
            if count < _FIRST_EMBEDDINGS or now_s - last_s >= _REFRESH_S:
                due[row] = True
                count, last_s = count + 1, now_s
    return due


def _appearance(shared: Path) -> ModuleType:
    path = shared / "tools" / "simulated_appearance.py"
    spec = importlib.util.spec_from_file_location("simulated_appearance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judged(
    shared: Path, boxes: Boxes, profile: DataProfile, seed: int, seconds: float | None = None, **association: Any
) -> Verdict:
    """Scores the aggregator, with `association` instead of its default settings."""
    with tempfile.TemporaryDirectory() as name:
        recording = make_recording(shared, boxes, profile, seed, Path(name), seconds)
        run = associate(recording, association=association)
        return judge_recording(run.recording, read_truth(shared / SITE, CAMERAS))


def main() -> None:
    """Prints one table for each kind of boxes."""
    parser = argparse.ArgumentParser(description="Association on CAMPUS Auditorium with simulated appearance")
    parser.add_argument("--boxes", nargs="+", choices=["true", "detected"], default=["true", "detected"])
    parser.add_argument("--profiles", nargs="+", choices=["base", "hard"], default=["base", "hard"])
    parser.add_argument("--seed", type=int, default=1, help="seed of the embeddings (default 1)")
    parser.add_argument("--seconds", type=float, help="use only the first seconds")
    parser.add_argument("--mode", choices=["live", "reference"], default="live", help="association.mode (default live)")
    arguments = parser.parse_args()
    shared = shared_folder() or sys.exit("no data found: set MTMC_SHARED to the folder that holds data/ and tools/")
    configure_logging("campus", "WARNING")
    table = SummaryTable("CAMPUS Auditorium at 10 Hz")
    for boxes in arguments.boxes:
        for profile in arguments.profiles:
            verdict = judged(shared, boxes, profile, arguments.seed, arguments.seconds, mode=arguments.mode)
            table.add(f"{boxes} boxes, {profile}", verdict)
    table.show(table_console())


if __name__ == "__main__":
    main()
