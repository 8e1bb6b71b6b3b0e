"""Scores of the tracker alone, on recorded detections: HOTA, IDF1 and MOTA at 30, 10 and 5 Hz, and its speed.

    python -m benchmarks.mot17_tracker [--strides 1 3 6] [--campus]

Reads `mot17/*/det.txt` and `gt.txt` (or CAMPUS Auditorium's) below `../shared/data` or `$MTMC_SHARED/data`. A stride of
3 takes every third picture, once from each of the three first ones, so that every picture counts at every rate. Truth
is what MOTChallenge takes for it: pedestrians (class 1) that are not marked as ignored; tracks on people in cars,
statues and reflections count neither for nor against. Needs the package trackeval, which the project itself does not.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from services.camera_worker.matching import iou_matrix
from services.camera_worker.tracking import Tracker, TrackerSettings

Floats = npt.NDArray[np.float64]

_FRAME_SIZE = (1920, 1080)
_PEDESTRIAN = 1
# Classes that MOTChallenge neither rewards nor punishes: person on vehicle, static person, distractor, reflection.
_DISTRACTORS = (2, 7, 8, 12)


class Sequence:
    """Detections and truth of one recording, picture by picture."""

    def __init__(self, folder: Path, rate_hz: float) -> None:
        self.name, self.rate_hz = folder.name, rate_hz
        detections = _boxes_from(folder / "det.txt", columns=7)
        truth = _boxes_from(folder / "gt.txt", columns=8)
        self.length = int(max(detections[:, 0].max(), truth[:, 0].max()))
        self.detections = [detections[detections[:, 0] == frame] for frame in range(1, self.length + 1)]
        self.truth = [truth[truth[:, 0] == frame] for frame in range(1, self.length + 1)]


def _boxes_from(path: Path, columns: int) -> Floats:
    rows: Floats = np.loadtxt(path, delimiter=",", usecols=range(columns), ndmin=2)
    rows[:, 4:6] += rows[:, 2:4]
    return rows


def sequences(data: Path, campus: bool) -> list[Sequence]:
    """The recordings below `data`; leaves the program where there are none."""
    folder, rate_hz = (data / "campus-auditorium", 29.97) if campus else (data / "mot17", 30.0)
    found = [Sequence(path.parent, rate_hz) for path in sorted(folder.glob("*/det.txt"))]
    if not found:
        sys.exit(f"no {folder}/*/det.txt: set MTMC_SHARED to the folder that holds data/")
    return found


def track(sequence: Sequence, first: int, stride: int) -> Iterator[tuple[Floats, npt.NDArray[np.int64], Floats]]:
    """Truth rows, track ids and track boxes of every `stride`-th picture from `first` on."""
    tracker = Tracker(TrackerSettings(), _FRAME_SIZE)
    for frame in range(first, sequence.length, stride):
        rows = sequence.detections[frame]
        tracked = tracker.update(
            rows[:, 2:6].astype(np.float32),
            rows[:, 6].astype(np.float32),
            np.zeros(len(rows), np.int16),
            frame / sequence.rate_hz,
        )
        yield sequence.truth[frame], tracked.track_ids, tracked.boxes_xyxy.astype(np.float64)


def comparison(run: Iterator[tuple[Floats, npt.NDArray[np.int64], Floats]]) -> dict[str, Any]:
    """What trackeval's metrics take for one run, after MOTChallenge's own filtering."""
    truth_ids, track_ids, similarities = [], [], []
    for truth, ids, boxes in run:
        similarity = iou_matrix(truth[:, 2:6], boxes)
        overlapping = np.where(similarity >= 0.5, similarity, 0.0)
        rows, columns = linear_sum_assignment(overlapping, maximize=True)
        ignored = (overlapping[rows, columns] > 0.0) & np.isin(truth[rows, 7], _DISTRACTORS)
        kept = np.setdiff1d(np.arange(len(ids)), columns[ignored])
        counted = (truth[:, 6] != 0.0) & (truth[:, 7] == _PEDESTRIAN)
        truth_ids.append(truth[counted, 1].astype(np.int64))
        track_ids.append(ids[kept])
        similarities.append(similarity[counted][:, kept])
    data: dict[str, Any] = {"similarity_scores": similarities, "num_timesteps": len(similarities)}
    for name, per_frame in (("gt", truth_ids), ("tracker", track_ids)):
        unique, dense = np.unique(np.concatenate(per_frame), return_inverse=True)
        ends = np.cumsum([len(ids) for ids in per_frame])
        data[f"{name}_ids"] = np.split(dense, ends[:-1])
        data[f"num_{name}_ids"] = len(unique)
        data[f"num_{name}_dets"] = int(ends[-1])
    return data


def scores(recordings: list[Sequence], stride: int) -> dict[str, float]:
    """HOTA, AssA, DetA, IDF1 and MOTA in percent and the number of identity switches, over all recordings together."""
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError as error:
        sys.exit(f"scores need the package {error.name}: pip install trackeval, in an environment of its own")
    # trackeval prints its settings and the seconds of every call.
    with contextlib.redirect_stdout(io.StringIO()):
        metrics = {"hota": HOTA(), "clear": CLEAR(), "identity": Identity()}
        results: dict[str, dict[str, Any]] = {name: {} for name in metrics}
        for sequence in recordings:
            for first in range(stride):
                data = comparison(track(sequence, first, stride))
                for name, metric in metrics.items():
                    results[name][f"{sequence.name} from {first}"] = metric.eval_sequence(data)
        combined = {name: metric.combine_sequences(results[name]) for name, metric in metrics.items()}
    hota, clear = combined["hota"], combined["clear"]
    return {
        "HOTA": 100.0 * float(np.mean(hota["HOTA"])),
        "AssA": 100.0 * float(np.mean(hota["AssA"])),
        "DetA": 100.0 * float(np.mean(hota["DetA"])),
        "IDF1": 100.0 * float(combined["identity"]["IDF1"]),
        "MOTA": 100.0 * float(clear["MOTA"]),
        "switches": float(clear["IDSW"]),
    }


def milliseconds_per_update(objects: int, updates: int = 300) -> float:
    """Median duration of an update with `objects` moving boxes, one in twenty missed at each update."""
    random = np.random.default_rng(1)
    corners = random.uniform((0, 0), _FRAME_SIZE, (objects, 2))
    speeds = random.uniform(-60, 60, (objects, 2))
    sizes = random.uniform((20, 60), (60, 180), (objects, 2))
    tracker, durations_s = Tracker(TrackerSettings()), []
    for step in range(updates):
        corners += speeds / 25.0
        boxes = np.concatenate([corners, corners + sizes], axis=1) + random.normal(0.0, 1.0, (objects, 4))
        seen = random.random(objects) > 0.05
        boxes_seen, class_ids = boxes[seen].astype(np.float32), np.zeros(int(seen.sum()), np.int16)
        confidences = random.uniform(0.4, 1.0, len(boxes_seen)).astype(np.float32)
        started_s = time.perf_counter()
        tracker.update(boxes_seen, confidences, class_ids, step / 25.0)
        durations_s.append(time.perf_counter() - started_s)
    return 1000.0 * float(np.median(durations_s))


def main() -> None:
    parser = argparse.ArgumentParser(description="HOTA, IDF1 and MOTA of the tracker on recorded detections")
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 3, 6], help="take every n-th picture")
    parser.add_argument("--campus", action="store_true", help="CAMPUS Auditorium (YOLOv8n) instead of MOT17 (FRCNN)")
    arguments = parser.parse_args()
    for objects in (10, 100):
        print(f"{objects:4d} objects: {milliseconds_per_update(objects):.2f} ms per update")
    shared = Path(os.environ.get("MTMC_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    recordings = sequences(shared / "data", arguments.campus)
    for stride in arguments.strides:
        figures = "  ".join(f"{name} {value:6.2f}" for name, value in scores(recordings, stride).items())
        print(f"{recordings[0].rate_hz / stride:5.1f} Hz: {figures}", flush=True)


if __name__ == "__main__":
    main()
