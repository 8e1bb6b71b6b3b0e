"""`mtmc evaluate`: runs a site, a recording or the demo, and says what the ids were worth."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.progress import progress
from evaluation.recorded import judge_recording, truth_of
from evaluation.scores import require_scores
from evaluation.tables import show, show_differences
from evaluation.timing import Durations, Timing, cycle_ms, differences, tick_to_gid_ms
from evaluation.truth import read_truth
from evaluation.verdict import Verdict
from launcher.site_file import load_site
from launcher.site_run import Run, SiteRun, run_site, runnable
from recording.association import associate
from recording.reading import Recording
from shared.errors import MtmcError
from shared.logs import logs_of_command
from site_checks.files import check_files

DEMO_SECONDS = 120.0


@dataclass(frozen=True)
class EvaluateOptions:
    """What the command line says; one of `site_file`, `recording` and `demo_seed` is set."""

    site_file: Path | None = None
    recording: Path | None = None
    ground_truth: Path | None = None
    demo_seed: int | None = None
    seconds: float | None = None
    """None: to the end; of the demo `DEMO_SECONDS`."""
    workers: int | None = None
    live: bool = False
    as_recorded: bool = False
    report: Path | None = None
    keep: Path | None = None
    json: bool = False


@dataclass(frozen=True)
class Outcome:
    """One run, judged."""

    recording: Recording
    verdict: Verdict
    timing: Timing


def evaluate(options: EvaluateOptions, environment: Mapping[str, str], console: Console) -> None:
    """Runs and scores, and shows what came of it.

    Raises:
        MtmcError: the user must mend something.
    """
    require_scores()
    if options.report is not None:
        _refuse_unwritable(options.report)
    with logs_of_command("evaluate"), _ended_in_good_order(), ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mtmc-evaluate-")))
        if options.recording is not None:
            outcome, by_wall_clock = _of_recording(options, options.recording), None
        else:
            outcome, by_wall_clock = of_site(options, folder, environment)
        _tell(options, outcome, by_wall_clock, console)


@contextmanager
def _ended_in_good_order() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: what it started and wrote for itself goes with it."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _of_recording(options: EvaluateOptions, folder: Path) -> Outcome:
    assert options.ground_truth is not None
    recording = Recording.open(folder)
    truth = truth_of(options.ground_truth, recording)
    timing = Timing()
    if options.as_recorded:
        timing = Timing(cycle_ms(recording), tick_to_gid_ms(recording))
    else:
        began = time.monotonic()
        with progress("associating") as told:
            run = associate(recording, told=told)
        recording = run.recording
        timing = Timing(Durations.of(run.cycle_seconds * 1000), run_seconds=time.monotonic() - began)
    with progress("scoring") as told:
        verdict = judge_recording(recording, truth, seconds=options.seconds, told=told)
    return Outcome(recording, verdict, timing)


def of_site(options: EvaluateOptions, folder: Path, environment: Mapping[str, str]) -> tuple[Outcome, Outcome | None]:
    """In virtual time, and, if it was asked for, by the wall clock."""
    _make_empty(folder)
    site_file, ground_truth, seconds = options.site_file, options.ground_truth, options.seconds
    if options.demo_seed is not None:
        from cli.demo_site import make_demo

        seconds = DEMO_SECONDS if seconds is None else seconds
        site_file, ground_truth = make_demo(folder / "demo", options.demo_seed, seconds)
    assert site_file is not None
    assert ground_truth is not None
    site = load_site(site_file, environment, tell=True)
    runnable(site, seconds, live=False)
    truth = read_truth(ground_truth, site.camera_names)
    check_files(site_file, site, environment)
    outcomes = []
    for live in (False, True) if options.live else (False,):
        name = "wall clock" if live else "virtual time"
        own = folder / name.replace(" ", "-")
        run = SiteRun(runnable(site, seconds, live=live), site_file, own, seconds, options.workers)
        with progress(f"running, {name}") as told:
            done = run_site(run, environment, told)
        with progress("scoring") as told:
            verdict = judge_recording(done.recording, truth, seconds=seconds, told=told)
        outcomes.append(Outcome(done.recording, verdict, _timing(done, live=live)))
    return outcomes[0], outcomes[1] if options.live else None


def _timing(run: Run, *, live: bool) -> Timing:
    return Timing(cycle_ms(run.recording), tick_to_gid_ms(run.recording) if live else None, run.seconds)


def _make_empty(folder: Path) -> None:
    """Raises MtmcError where something is there already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise MtmcError(f"{folder}: cannot be used ({error.strerror}); name another folder") from None
    if occupied:
        raise MtmcError(f"{folder}: is not empty; name another folder for --keep")


def _refuse_unwritable(report: Path) -> None:
    """Before a long run, and not after it. Raises MtmcError."""
    nearest = next(folder for folder in report.absolute().parents if folder.exists())
    if report.is_dir() or not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise MtmcError(f"{report}: no report can be written there; name a file in a folder of yours")


def _tell(options: EvaluateOptions, outcome: Outcome, by_wall_clock: Outcome | None, console: Console) -> None:
    content = outcome.verdict.to_dict()
    difference = None
    if by_wall_clock is not None:
        other = by_wall_clock.verdict.to_dict()
        difference = differences(other, content)
        content |= {"wall_clock": {**other, "timing": by_wall_clock.timing.to_dict()}, "difference": difference}
    if options.report is not None:
        _write_report(options.report, outcome)
    if options.json:
        console.out(json.dumps(content), highlight=False)
        return
    show(outcome.verdict, outcome.timing, console)
    if by_wall_clock is not None and difference is not None:
        console.print()
        show_differences(difference, console)
    if options.report is not None:
        console.print(f"\n{options.report}: the report", soft_wrap=True)


def _write_report(path: Path, outcome: Outcome) -> None:
    from evaluation.report import ReportContent, write_report
    from evaluation.tradeoff import tradeoff

    with progress("first gid against changes") as told:
        points = tradeoff(outcome.recording, told=told)
    name = str(outcome.recording.site["site"])
    write_report(path, ReportContent(name, outcome.recording, outcome.verdict, outcome.timing, points))
