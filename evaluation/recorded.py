"""Evaluates a recording against ground truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.alignment import frames_off, note_on_frames
from evaluation.source_frames import frames_of
from evaluation.timing import Durations, RunTiming, cycle_ms, tick_to_gid_ms
from evaluation.tracks import PublishedTracks
from evaluation.truth import CameraTruth, TruthError, ignore_note
from evaluation.verdict import CameraInput, Verdict, judge
from recording.association import associate
from recording.reading import Recording
from shared.progress import OpenProgress, ReportProgress, ignore_progress

ReadTruth = Callable[[Sequence[str]], Mapping[str, CameraTruth]]
"""Reads the ground truth of the given cameras."""


@dataclass(frozen=True)
class EvaluatedRun:
    """One run with its scores."""

    recording: Recording
    verdict: Verdict
    timing: RunTiming


def evaluate_recording(
    folder: Path,
    read: ReadTruth,
    progress: OpenProgress,
    *,
    seconds: float | None = None,
    as_recorded: bool = False,
    note: Callable[[str], None] = ignore_note,
) -> EvaluatedRun:
    """Score a recording: rerun the association over its tracks, or score the recorded gids (`as_recorded`).

    `read` reads the ground truth of the given cameras. `seconds` limits the scored site time; None: all.

    Raises:
        MtmcError: the recording or the ground truth cannot be used.
    """
    recording = Recording.open(folder)
    truth = read(recording.cameras)
    require_truth_of(truth, recording)
    if as_recorded:
        timing = RunTiming(cycle_ms(recording), tick_to_gid_ms(recording))
    else:
        began = time.monotonic()
        with progress("associating") as report:
            run = associate(recording, progress=report)
        recording = run.recording
        timing = RunTiming(Durations.of(run.cycle_seconds * 1000), run_seconds=time.monotonic() - began)
    with progress("scoring") as report:
        verdict = judge_recording(recording, truth, seconds=seconds, progress=report, note=note)
    return EvaluatedRun(recording, verdict, timing)


def first_shown(recording: Recording) -> int:
    """The first recorded tick at which the sources showed a picture; in live mode, models are loaded before."""
    return max(recording.first_tick, recording.description.frames.tick_of_first)


def judge_recording(
    recording: Recording,
    truth: Mapping[str, CameraTruth],
    *,
    seconds: float | None = None,
    progress: ReportProgress = ignore_progress,
    note: Callable[[str], None] = ignore_note,
) -> Verdict:
    """Score the gids of `recording`, all of it or only its first `seconds` of site time.

    `note` is called with a message if the ground truth seems to be off by one frame.

    Raises:
        MtmcError: the recording is damaged, or the scores cannot be computed.
    """
    first, last = first_shown(recording), recording.last_tick
    if seconds is not None:
        last = min(last, first + max(1, round(seconds * recording.fps)) - 1)
    ticks = np.arange(first, last + 1)
    cameras, frames = {}, frames_of(recording)
    for camera in recording.cameras:
        tracks = PublishedTracks.recorded(recording, camera).between(first, last)
        cameras[camera] = CameraInput(tracks, truth[camera], frames(camera, ticks))
    if off := frames_off(cameras.values(), ticks):
        note(note_on_frames(off))
    return judge(cameras, ticks, 1.0 / recording.fps, progress)


def require_truth_of(truth: Mapping[str, CameraTruth], recording: Recording) -> None:
    """Raise TruthError if there are no boxes in the recorded frames."""
    frames = recording.frame_of(np.array([recording.first_tick, recording.last_tick]))
    first, last = (frames + 1 - recording.description.frames.first).tolist()
    if not any(((camera.frames >= first) & (camera.frames <= last)).any() for camera in truth.values()):
        raise TruthError(
            f"the ground truth has no boxes in the recorded frames {first} to {last} (counted from 1); is it the truth "
            "of this recording?"
        )
