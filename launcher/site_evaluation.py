"""Runs a site's video files through the real services and scores the published ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from evaluation.recorded import EvaluatedRun, judge_recording
from evaluation.timing import RunTiming, cycle_ms, tick_to_gid_ms
from evaluation.truth import CameraTruth, ignore_note
from launcher.site_run import run_site, runnable
from shared.config import SiteConfig
from shared.progress import OpenProgress


def evaluate_site(
    site: SiteConfig,
    truth: Mapping[str, CameraTruth],
    folder: Path,
    environment: Mapping[str, str],
    progress: OpenProgress,
    *,
    seconds: float | None = None,
    workers: int | None = None,
    live: bool = False,
    note: Callable[[str], None] = ignore_note,
) -> EvaluatedRun:
    """Runs a site in virtual time, or in real time if `live`; writes to a subfolder of `folder`.

    `truth`: camera → its ground truth. `seconds`: site time to run; None: until every video file has ended.
    `workers`: number of camera workers; None: one, or one for each GPU. `note` gets a message if the ground truth
    seems to be off by one frame.

    Raises:
        MtmcError: the site cannot be run, or the scores cannot be computed.
    """
    name = "wall clock" if live else "virtual time"
    with progress(f"running, {name}") as report:
        run = run_site(
            runnable(site, seconds, live=live),
            folder / name.replace(" ", "-"),
            environment,
            seconds=seconds,
            workers=workers,
            progress=report,
        )
    with progress("scoring") as report:
        verdict = judge_recording(run.recording, truth, seconds=seconds, progress=report, note=note)
    timing = RunTiming(cycle_ms(run.recording), tick_to_gid_ms(run.recording) if live else None, run.seconds)
    return EvaluatedRun(run.recording, verdict, timing)
