"""Runs the tracker over detections in MOTChallenge text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recording.errors import RecordingError
from recording.mot_forms import COLUMNS, Form
from recording.mot_text import mot_lines, read_mot, write_lines
from shared.progress import ReportProgress, ignore_progress
from vision.tracking.settings import TrackerSettings
from vision.tracking.tracker import Tracker


@dataclass(frozen=True)
class TrackingOptions:
    """How the detections are read."""

    fps: float
    """Frames per second of the text."""
    stride: int = 1
    """The tracker sees every `stride`-th frame; the others are skipped."""
    first_frame: int | None = None
    """Number of the first frame, 0 or 1. None: 0 if there is a frame 0, else 1."""
    size: tuple[int, int] | None = None
    """Width and height of the frames, pixels: tracks that leave the frame end at once. None: unknown."""
    form: Form | None = None
    """None: the content decides."""


@dataclass(frozen=True)
class TrackedText:
    """Counts of a run of the tracker."""

    frames: int
    boxes: int
    tracks: int


def track_mot(
    detections: Path,
    options: TrackingOptions,
    settings: TrackerSettings,
    out: Path,
    progress: ReportProgress = ignore_progress,
) -> TrackedText:
    """Track the detections and write MOTChallenge text with their frame numbers and with ids from 1.

    `progress` counts frames.

    Raises:
        RecordingError: the detections are invalid, or `out` cannot be written.
    """
    rows = read_mot(detections, detections=True, first_frame=options.first_frame, form=options.form)
    if rows.form == "cityflow":
        raise RecordingError(detections, f"has the columns of tracks of several cameras ({COLUMNS['cityflow']})")
    rows = rows.select(~rows.is_region)
    if not len(rows):
        raise RecordingError(detections, "contains no detections")
    first_frame = min(1, int(rows.frame.min())) if options.first_frame is None else options.first_frame
    order = np.argsort(rows.frame, kind="stable")
    rows = rows.select(order)
    boxes, last = rows.box_xyxy, int(rows.frame[-1])
    frames = range(first_frame, last + 1, options.stride)
    begins = np.searchsorted(rows.frame, frames).tolist()
    ends = np.searchsorted(rows.frame, frames, side="right").tolist()
    tracker = Tracker(settings, options.size, first_id=1)
    lines: list[str] = []
    seen: set[int] = set()
    for done, (frame, begin, end) in enumerate(zip(frames, begins, ends, strict=True), start=1):
        here = slice(begin, end)
        tracked = tracker.update(boxes[here], rows.confidence[here], rows.class_id[here], frame / options.fps)
        numbers = np.full(len(tracked.track_ids), frame, np.int64)
        lines += mot_lines(numbers, tracked.track_ids, tracked.boxes_xyxy, tracked.scores)
        seen.update(tracked.track_ids.tolist())
        progress(done, len(frames))
    return TrackedText(len(frames), write_lines(out, lines), len(seen))
