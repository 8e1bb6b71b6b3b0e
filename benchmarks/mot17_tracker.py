"""Scores of the tracker alone, on recorded detections: HOTA, IDF1 and MOTA at 30, 10 and 5 Hz, and its speed.

    python -m benchmarks.mot17_tracker [--strides 1 3 6] [--variants original pan shake] [--campus]
    python -m benchmarks.mot17_tracker --peers PYTHON --strides 1 3 6 15

Reads `mot17/*/det.txt` and `gt.txt` (or CAMPUS Auditorium's) below `../shared/data` or `$MTMC_SHARED/data`. A stride of
3 uses every third picture, in three runs that start at the first, second and third picture, so that every picture
counts at every rate. Truth is as in MOTChallenge: pedestrians (class 1) that are not marked as ignored; tracks on
people in cars, statues and reflections are ignored.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.mot17_variants import FRAME_SIZE, Sequence, Variant, varied
from benchmarks.shared_data import shared_folder
from evaluation.matching import match_camera
from evaluation.scores import CameraScores, IdentifiedCamera, pooled_scores
from evaluation.tracks import PublishedTracks
from evaluation.truth import MOT17, read_camera_truth
from recording.mot_text import read_mot
from vision.tracking.settings import TrackerSettings
from vision.tracking.tracker import Tracker

_PEERS = (
    "trackers-bytetrack",
    "trackers-ocsort",
    "trackers-cbiou",
    "boxmot-bytetrack",
    "boxmot-botsort",
    "ultralytics-bytetrack",
)
_FEW_STARTS = 3
_SHOWN = ("hota", "assa", "deta", "idf1", "mota")


def read_sequence(folder: Path, rate_hz: float) -> Sequence:
    """Reads `det.txt` and `gt.txt`."""
    detections = read_mot(folder / "det.txt", detections=True)
    detections = detections.select(np.argsort(detections.frame, kind="stable"))
    truth = read_camera_truth(folder / "gt.txt", MOT17)
    length = int(max(detections.frame.max(), truth.frames.max()))
    return Sequence(folder.name, rate_hz, detections, truth, np.arange(1, length + 1))


def sequences(data: Path, campus: bool) -> list[Sequence]:
    """Returns the sequences in `data`; exits if there are none."""
    folder, rate_hz = (data / "campus-auditorium", 29.97) if campus else (data / "mot17", 30.0)
    found = [read_sequence(path.parent, rate_hz) for path in sorted(folder.glob("*/det.txt"))]
    if not found:
        sys.exit(f"no {folder}/*/det.txt: set MTMC_SHARED to the folder that holds data/")
    return found


@dataclass(frozen=True)
class Tracks:
    """What a tracker made of one run: `(n,)` frames and ids, `(n, 4)` boxes."""

    frames: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    boxes_xyxy: npt.NDArray[np.float32]


def track(sequence: Sequence, frames: npt.NDArray[np.int64], settings: TrackerSettings | None = None) -> Tracks:
    """Runs our tracker on these frames."""
    tracker, rows = Tracker(settings or TrackerSettings(), FRAME_SIZE, first_id=1), sequence.detections
    boxes = rows.box_xyxy
    ticks, ids, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros((0, 4), np.float32)]
    for frame in frames.tolist():
        here = slice(*np.searchsorted(rows.frame, (frame, frame + 1)).tolist())
        tracked = tracker.update(boxes[here], rows.confidence[here], rows.class_id[here], frame / sequence.rate_hz)
        ticks.append(np.full(len(tracked.track_ids), frame))
        ids.append(tracked.track_ids)
        found.append(tracked.boxes_xyxy)
    return Tracks(np.concatenate(ticks), np.concatenate(ids), np.concatenate(found))


def identified(sequence: Sequence, frames: npt.NDArray[np.int64], made: Tracks) -> IdentifiedCamera:
    """The tracks of one run with the truth."""
    tracks = PublishedTracks.of(made.frames, np.zeros(len(made.frames)), made.ids, made.boxes_xyxy, made.ids)
    return IdentifiedCamera(match_camera(sequence.truth, tracks, frames, frames), tracks.gids)


def scores(all_sequences: list[Sequence], stride: int, settings: TrackerSettings | None = None) -> CameraScores:
    """Scores over all sequences together, with one run from each of the first `stride` pictures."""
    runs = []
    for sequence in all_sequences:
        for first in range(1, stride + 1):
            frames = sequence.ticks(first, stride)
            runs.append(identified(sequence, frames, track(sequence, frames, settings)))
    pooled = pooled_scores(runs)
    assert pooled is not None
    return pooled


def peer_tracks(
    python: Path, name: str, sequence: Sequence, frames: npt.NDArray[np.int64], stride: int
) -> tuple[Tracks, float]:
    """Runs a peer on these frames; returns its tracks, and the seconds that its updates took."""
    rows = sequence.detections
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        np.savez(
            given, frame=rows.frame, box_xyxy=rows.box_xyxy, score=rows.confidence, class_id=rows.class_id,
            ticks=frames, time_s=frames / sequence.rate_hz, rate_hz=sequence.rate_hz / stride,
        )  # fmt: skip
        script = Path(__file__).with_name("mot17_peers.py")
        subprocess.run([python, script, name, given, made], check=True, capture_output=True)
        done = np.load(made)
        return Tracks(done["frame"], done["id"], done["box_xyxy"]), float(done["seconds"])


def compare_peers(python: Path, versions: list[Sequence], variant: Variant, stride: int) -> None:
    """Prints HOTA and IDF1 of each tracker: the mean over the sequences, and each sequence."""
    starts = range(1, stride + 1) if stride <= _FEW_STARTS else (1, stride // 2, stride)
    for name in ("mtmc", *_PEERS):
        figures, seconds, updates = list[tuple[float, float]](), 0.0, 0
        for sequence in versions:
            runs = []
            for first in starts:
                frames = sequence.ticks(first, stride)
                began_s = time.perf_counter()
                if name == "mtmc":
                    made, took_s = track(sequence, frames), time.perf_counter() - began_s
                else:
                    made, took_s = peer_tracks(python, name, sequence, frames, stride)
                seconds, updates = seconds + took_s, updates + len(frames)
                runs.append(identified(sequence, frames, made))
            pooled = pooled_scores(runs)
            assert pooled is not None
            figures.append((100 * pooled.hota, 100 * pooled.idf1))
        hota, idf1 = np.mean(figures, axis=0)
        each = "  ".join(f"{one:4.1f} {other:4.1f}" for one, other in figures)
        took_ms = 1000 * seconds / updates
        print(f"{variant:9} 1/{stride:<2} {name:22} {hota:4.1f} {idf1:4.1f}  ({each})  {took_ms:.2f} ms", flush=True)


def milliseconds_per_update(objects: int, updates: int = 300) -> float:
    """Median duration of an update with `objects` moving boxes, one in twenty missed at each update."""
    random = np.random.default_rng(1)
    corners = random.uniform((0, 0), FRAME_SIZE, (objects, 2))
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
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 3, 6], help="use every n-th picture")
    parser.add_argument("--campus", action="store_true", help="CAMPUS Auditorium (YOLOv8n) instead of MOT17 (FRCNN)")
    parser.add_argument(
        "--variants",
        type=Variant,
        nargs="+",
        default=[Variant.ORIGINAL],
        help=f"what to do to the sequences: {', '.join(Variant)} (default: original)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the variants")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="PYTHON",
        help="compare with other projects' trackers, which this interpreter can import (see mot17_peers.py)",
    )
    arguments = parser.parse_args()
    for objects in (10, 100):
        print(f"{objects:4d} objects: {milliseconds_per_update(objects):.2f} ms per update")
    shared = shared_folder() or sys.exit("no data found: set MTMC_SHARED to the folder that holds data/")
    originals = sequences(shared / "data", arguments.campus)
    if arguments.peers:
        for variant in arguments.variants:
            versions = [varied(sequence, variant, arguments.seed) for sequence in originals]
            for stride in arguments.strides:
                compare_peers(arguments.peers, versions, variant, stride)
        return
    for variant in arguments.variants:
        versions = [varied(sequence, variant, arguments.seed) for sequence in originals]
        for stride in arguments.strides:
            done = scores(versions, stride)
            figures = "  ".join(f"{name.upper()} {100 * getattr(done, name):6.2f}" for name in _SHOWN)
            rate_hz = originals[0].rate_hz / stride
            print(f"{variant:9} {rate_hz:5.1f} Hz: {figures}  switches {done.idsw}", flush=True)


if __name__ == "__main__":
    main()
