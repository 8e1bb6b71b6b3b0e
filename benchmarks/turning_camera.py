"""What the background of the pictures adds to a tracker if the camera turns: HOTA and IDF1 with and without it.

    python -m benchmarks.turning_camera [--seeds 1 2] [--seconds 60] [--cache FOLDER]

A window of 60 % of the width and height moves over the pictures of the demo, as a camera that turns would see them:
`still`, `slow` (up to a quarter of its width per second) or `fast` (up to 60 %). It shows few vehicles, which say
little about the camera. Detections are the true boxes, of which a tenth is left out, with noise of 4 % of the height.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from demo.cache import cache_name, rendered_site
from demo.site import DemoSite
from evaluation.matching import match_camera
from evaluation.scores import IdentifiedCamera, pooled_scores
from evaluation.tracks import PublishedTracks
from evaluation.truth import CameraTruth, read_truth
from launcher.programs import usable_cores
from vision.tracking.background_motion import BackgroundMotion
from vision.tracking.settings import TrackerSettings
from vision.tracking.tracker import Tracker

_SPEEDS = {"still": 0.0, "slow": 0.25, "fast": 0.6}
"""Name → the greatest speed of the window, widths per second."""
_SHARE = 0.6
_TOP = 0.3
"""Upper edge of the window, as a share of the picture's height."""
_MISSED, _NOISE = 0.1, 0.04
_HZ = 5.0


@dataclass
class _Tracks:
    """The tracks of one camera, made with or without the shift of its background."""

    has_background: bool
    tracker: Tracker = field(default_factory=lambda: Tracker(TrackerSettings(), first_id=1))
    frames: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    boxes: list[npt.NDArray[np.float32]] = field(default_factory=list)

    def update(self, frame: int, boxes: npt.NDArray[np.float32], shift: npt.NDArray[np.float64]) -> None:
        scores, classes = np.full(len(boxes), 0.8, np.float32), np.zeros(len(boxes), np.int16)
        background = shift if self.has_background else None
        tracked = self.tracker.update(boxes, scores, classes, frame / _HZ, background)
        self.frames += [frame] * len(tracked.track_ids)
        self.ids += tracked.track_ids.tolist()
        self.boxes += list(tracked.boxes_xyxy)

    def identified(self, truth: CameraTruth, ticks: npt.NDArray[np.int64]) -> IdentifiedCamera:
        ids = np.array(self.ids, np.int64)
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        tracks = PublishedTracks.of(np.array(self.frames, np.int64), np.zeros(len(ids)), ids, boxes, ids)
        return IdentifiedCamera(match_camera(truth, tracks, ticks, ticks), tracks.gids)


def _window_positions(rng: np.random.Generator, count: int, rate_hz: float, room: float, fastest: float) -> list[int]:
    """Left edge of the window in each picture: it turns and stops, and its speed changes every one to three seconds."""
    positions, position, speed, wanted, until = list[int](), room / 2, 0.0, 0.0, 0
    for number in range(count):
        if number >= until:
            until = number + int(rng.uniform(1.0, 3.0) * rate_hz)
            wanted = rng.choice([0.0, 1.0, 1.0]) * rng.uniform(-fastest, fastest)
        speed += (wanted - speed) * min(1.0, 1.0 / (0.3 * rate_hz))
        position += speed / rate_hz
        if not 0.0 <= position <= room:
            position, speed, wanted = min(max(position, 0.0), room), -speed, -wanted
        positions.append(int(position))
    return positions


def _tracked(video: Path, truth: CameraTruth, speed: float, seed: int) -> tuple[list[IdentifiedCamera], float]:
    """The tracks of a turning camera without and with the background, and the share of pictures that shifted."""
    capture, rng = cv2.VideoCapture(str(video)), np.random.default_rng(seed)
    rate_hz, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    width, height = (int(_SHARE * capture.get(name)) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    top = int(_TOP * capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    room = capture.get(cv2.CAP_PROP_FRAME_WIDTH) - width
    lefts = _window_positions(rng, count, rate_hz, room, speed * width)
    step, motion, both = max(1, round(rate_hz / _HZ)), BackgroundMotion(), [_Tracks(False), _Tracks(True)]
    frames, rows, boxes, shifts = list[int](), list[int](), list[npt.NDArray[np.float32]](), 0
    for number, left in enumerate(lefts):
        has_picture, picture = capture.read()
        if not has_picture or number % step:
            continue
        shown = np.flatnonzero(truth.frames == number + 1)
        here = truth.boxes_xyxy[shown] - np.array([left, top, left, top])
        centres = (here[:, :2] + here[:, 2:]) / 2
        inside = ((centres > 0) & (centres < (width, height))).all(axis=1)
        shown, here, frame = shown[inside], here[inside], number // step
        frames, rows, boxes = frames + [frame] * len(shown), rows + shown.tolist(), boxes + list(here)
        noisy = here + rng.normal(0.0, _NOISE, here.shape) * (here[:, 3:] - here[:, 1:2])
        detected = noisy[rng.random(len(here)) >= _MISSED].astype(np.float32)
        window = np.ascontiguousarray(picture[top : top + height, left : left + width])
        shift = motion.shift(window, detected)
        shifts += bool(shift.any())
        for tracks in both:
            tracks.update(frame, detected, shift)
    ticks = np.arange(len(lefts) // step + 1)
    seen = CameraTruth(
        np.array(frames, np.int64),
        truth.identities[rows],
        np.array(boxes, np.float32).reshape(-1, 4),
        truth.counted[rows],
        truth.ignored[rows],
    )
    return [tracks.identified(seen, ticks) for tracks in both], shifts / len(ticks)


def main() -> None:
    parser = argparse.ArgumentParser(description="HOTA and IDF1 of a turning camera with and without the background")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="scenes of the demo")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each scene")
    parser.add_argument("--cache", type=Path, help="folder of rendered scenes (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cache, cameras = arguments.cache or Path(temporary), list[tuple[Path, CameraTruth]]()
        for seed in arguments.seeds:
            site = DemoSite(seed, arguments.seconds)
            folder = rendered_site(cache / cache_name(site), site, processes=usable_cores()).parent
            videos = sorted(folder.glob("*.mp4"))
            truth = read_truth(folder / "ground_truth", [video.stem for video in videos])
            cameras += [(video, truth[video.stem]) for video in videos]
        for name, speed in _SPEEDS.items():
            done = [_tracked(video, truth, speed, number) for number, (video, truth) in enumerate(cameras)]
            shifted = 100 * np.mean([share for _, share in done])
            for has_background in (False, True):
                pooled = pooled_scores([runs[has_background] for runs, _ in done])
                assert pooled is not None
                how = "with" if has_background else "without"
                print(
                    f"{name:5} {how:7} background: HOTA {100 * pooled.hota:.1f}  IDF1 {100 * pooled.idf1:.1f}  "
                    f"(the background shifts in {shifted:.0f} % of the pictures)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
