"""Evaluates a recording against ground truth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.source_frames import frames_of
from evaluation.timing import Durations, RunTiming, cycle_ms, tick_to_gid_ms
from evaluation.tracks import PublishedTracks
from evaluation.truth import OUR_RULES, CameraTruth, TruthError, TruthRules, read_truth
from evaluation.verdict import CameraInput, Verdict, judge
from recording.association import associate
from recording.reading import Recording
from shared.progress import OpenProgress, ReportProgress, ignore_progress


@dataclass(frozen=True)
class EvaluatedRun:
    """One run with its scores."""

    recording: Recording
    verdict: Verdict
    timing: RunTiming


def evaluate_recording(
    folder: Path, truth_folder: Path, progress: OpenProgress, *, seconds: float | None = None, as_recorded: bool = False
) -> EvaluatedRun:
    """Score a recording: rerun the association over its tracks, or score the recorded gids (`as_recorded`).

    `seconds` limits the scored site time; None: all.

    Raises:
        MtmcError: the recording or the ground truth cannot be used.
    """
    recording = Recording.open(folder)
    truth = truth_of(truth_folder, recording)
    if as_recorded:
        timing = RunTiming(cycle_ms(recording), tick_to_gid_ms(recording))
    else:
        began = time.monotonic()
        with progress("associating") as report:
            run = associate(recording, progress=report)
        recording = run.recording
        timing = RunTiming(Durations.of(run.cycle_seconds * 1000), run_seconds=time.monotonic() - began)
    with progress("scoring") as report:
        verdict = judge_recording(recording, truth, seconds=seconds, progress=report)
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
) -> Verdict:
    """Score the gids of `recording`, all of it or only its first `seconds` of site time.

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
    return judge(cameras, ticks, 1.0 / recording.fps, progress)


def truth_of(folder: Path, recording: Recording, rules: TruthRules = OUR_RULES) -> dict[str, CameraTruth]:
    """Read the ground truth of a recording's cameras.

    Raises:
        TruthError: it is missing or invalid, or has no boxes in the recorded frames.
    """
    truth = read_truth(folder, recording.cameras, rules)
    frames = recording.frame_of(np.array([recording.first_tick, recording.last_tick]))
    first, last = int(frames[0]), int(frames[1])
    if not any(((camera.frames >= first) & (camera.frames <= last)).any() for camera in truth.values()):
        raise TruthError(
            f"{folder}: has no boxes in the recorded frames {first} to {last}; is it the truth of this recording?"
        )
    return truth
