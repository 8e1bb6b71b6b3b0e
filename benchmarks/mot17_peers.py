"""Runs another project's tracker on prepared detections, in that project's environment.

    PYTHON mot17_peers.py TRACKER INPUT.npz OUTPUT.npz

The environment needs numpy and the package of the tracker; nothing of this project. INPUT has `frame`, `box_xyxy`,
`score`, `class_id` (one row per detection), `ticks` and `time_s` (one per picture), and `rate_hz`. OUTPUT gets `frame`,
`id`, `box_xyxy`, and `seconds`, the time that the updates took.
"""

from __future__ import annotations

import sys
import time

import numpy as np

SIZE = (1080, 1920, 3)


def of_trackers(name, rate_hz):
    """A tracker of the package `trackers`, all with its defaults and with time stamps."""
    import supervision
    import trackers

    kind = {
        "trackers-bytetrack": trackers.ByteTrackTracker,
        "trackers-ocsort": trackers.OCSORTTracker,
        "trackers-cbiou": trackers.CBIoUTracker,
    }[name]
    tracker = kind(frame_rate=rate_hz)

    def update(boxes, scores, classes, time_s):
        given = supervision.Detections(xyxy=boxes, confidence=scores, class_id=classes.astype(int))
        done = tracker.update(given, timestamp=time_s)
        known = done.tracker_id >= 0 if done.tracker_id is not None else np.zeros(0, bool)
        return (done.tracker_id[known], done.xyxy[known]) if len(known) else (np.zeros(0), np.zeros((0, 4)))

    return update


def of_boxmot(name, rate_hz):
    """A tracker of boxmot without appearance. It takes no time stamps, only the frame rate."""
    from boxmot import BotSort, ByteTrack

    if name == "boxmot-bytetrack":
        tracker = ByteTrack(frame_rate=max(1, round(rate_hz)))
    else:
        tracker = BotSort(use_embeddings=False, use_cmc=False, frame_rate=max(1, round(rate_hz)))
    picture = np.zeros(SIZE, np.uint8)

    def update(boxes, scores, classes, time_s):
        given = np.column_stack([boxes, scores, classes]) if len(boxes) else np.zeros((0, 6))
        done = np.asarray(tracker.update(given, picture)).reshape(-1, 8)
        return done[:, 4], done[:, :4]

    return update


def of_ultralytics(name, rate_hz):
    """ByteTrack of Ultralytics with its defaults."""
    from types import SimpleNamespace

    from ultralytics.trackers.byte_tracker import BYTETracker

    settings = SimpleNamespace(
        track_high_thresh=0.25, track_low_thresh=0.1, new_track_thresh=0.25, track_buffer=30, match_thresh=0.8,
        fuse_score=True,
    )  # fmt: skip
    tracker = BYTETracker(settings)

    class Results:
        """What BYTETracker reads of a result."""

        def __init__(self, xyxy, conf, cls):
            self.xyxy, self.conf, self.cls = xyxy, conf, cls

        def __len__(self):
            return len(self.conf)

        def __getitem__(self, rows):
            return Results(self.xyxy[rows], self.conf[rows], self.cls[rows])

        @property
        def xywh(self):
            centres = (self.xyxy[:, :2] + self.xyxy[:, 2:]) / 2
            return np.concatenate([centres, self.xyxy[:, 2:] - self.xyxy[:, :2]], axis=1)

    def update(boxes, scores, classes, time_s):
        done = np.asarray(tracker.update(Results(boxes, scores, classes), None)).reshape(-1, 8)
        return done[:, 4], done[:, :4]

    return update


def main():
    name, source, target = sys.argv[1:4]
    given = dict(np.load(source))
    make = {"trackers": of_trackers, "boxmot": of_boxmot, "ultralytics": of_ultralytics}[name.split("-")[0]]
    update = make(name, float(given["rate_hz"]))
    frames, ids, boxes, seconds = [], [], [], 0.0
    for tick, time_s in zip(given["ticks"].tolist(), given["time_s"].tolist()):  # noqa: B905 (also Python 3.9)
        here = slice(*np.searchsorted(given["frame"], (tick, tick + 1)))
        detected = given["box_xyxy"][here], given["score"][here], given["class_id"][here]
        began_s = time.perf_counter()
        found, where = update(*detected, time_s)
        seconds += time.perf_counter() - began_s
        frames.append(np.full(len(found), tick))
        ids.append(np.asarray(found))
        boxes.append(np.asarray(where).reshape(-1, 4))
    np.savez(
        target,
        frame=np.concatenate(frames).astype(np.int64),
        id=np.concatenate(ids).astype(np.int64),
        box_xyxy=np.concatenate(boxes).astype(np.float32),
        seconds=seconds,
    )


if __name__ == "__main__":
    main()
