"""`mtmc evaluate`: runs a site, a recording or the demo, and scores the global ids against ground truth."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli.console import print_note, table_console
from cli.mot_options import FirstFrame, FormatOption, TextFormat, form_of
from cli.options import JsonOption, MaybeSiteFile
from cli.progress import progress_bar
from shared.errors import MtmcError

if TYPE_CHECKING:
    from evaluation.recorded import EvaluatedRun, ReadTruth

_DEMO_SECONDS = 120.0


class Difficulty(StrEnum):
    """As `demo.scenario.Difficulty`, which takes long to import."""

    NORMAL = "normal"
    HARD = "hard"


class _Scene(NamedTuple):
    """A scene of the synthetic site."""

    seed: int
    seconds: float
    difficulty: Difficulty
    has_layout: bool
    has_calibration: bool

    @property
    def title(self) -> str:
        """Names what the seeds of one run have in common."""
        without = [
            name for name, has in (("layout", self.has_layout), ("calibration", self.has_calibration)) if not has
        ]
        return f"demo, {self.seconds:g} s, {self.difficulty}{''.join(f', no {name}' for name in without)}"


def evaluate(
    site_file: MaybeSiteFile = None,
    recording: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run only the aggregator, over this recording's tracks.", show_default=False),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Run the synthetic site, which has its own ground truth.")
    ] = False,
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of text: CAMERA.txt or CAMERA/gt.txt for each camera; or a file of the AI City Challenge.",
            show_default=False,
        ),
    ] = None,
    text_format: FormatOption = None,
    first_frame: FirstFrame = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the synthetic site.", show_default="1")] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="RANGES",
            help="Run the synthetic site once for each seed, as in 1-3 or 1,5,200-209; prints mean and worst.",
            show_default=False,
        ),
    ] = None,
    difficulty: Annotated[
        Difficulty,
        typer.Option(
            help="Of the synthetic site. hard: more vehicles, most of them look-alikes, clocks that differ, inexact "
            "calibrations."
        ),
    ] = Difficulty.NORMAL,
    no_layout: Annotated[
        bool, typer.Option("--no-layout", help="With --demo: the site does not say which views overlap.")
    ] = False,
    no_calibration: Annotated[
        bool, typer.Option("--no-calibration", help="With --demo: the site does not use the cameras' calibrations.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=86400, help="Seconds of site time to run.", show_default="until the files end; demo: 120"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Camera workers.", show_default="1, or one for each GPU")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Run a second time, in real time, and show the difference.")
    ] = False,
    as_recorded: Annotated[
        bool,
        typer.Option(
            "--as-recorded",
            help="With --recording: score the gids in the recording, instead of running the aggregator on it.",
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write an HTML report.", show_default=False)
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the recording of the run (and the demo's files).", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score the published global ids against ground truth.

    Runs the real services over a site's video files in virtual time, on a
    Redis of its own, so every run yields the same scores. The scores are
    explained in docs/evaluation.md.

    The fields of --json are stable: cameras (hota, deta, assa, idf1, mota,
    idsw), multi_camera and bound (idf1, idp, idr, hota, assa),
    bound_cameras, live and seconds. The field live has the figures of the
    gids as published at each tick, also in virtual time. With the option
    --live there are also wall_clock (the same fields for the run in real
    time, and timing) and difference. With --seeds, each seed has its own
    object.

    Examples:
      mtmc evaluate site.yaml --ground-truth truth
      mtmc evaluate --demo --seed 7 --report report.html
      mtmc evaluate --demo --seeds 200-209 --difficulty hard
      mtmc evaluate --recording run1 --ground-truth truth --json
    """
    chosen = [name for name, given in (("SITE.yaml", site_file), ("--recording", recording), ("--demo", demo)) if given]
    if len(chosen) != 1:
        found = f", not {' and '.join(chosen)}" if chosen else ""
        raise MtmcError(f"give exactly one of SITE.yaml, --recording DIR and --demo{found}")
    if demo and ground_truth:
        raise MtmcError("--demo renders its own ground truth; omit --ground-truth")
    if not demo and ground_truth is None:
        raise MtmcError(f"{chosen[0]} needs --ground-truth DIR, with CAMERA.txt or CAMERA/gt.txt for each camera")
    for name, given, allowed in (
        ("--seed", seed is not None, demo),
        ("--seeds", seeds is not None, demo),
        ("--format", text_format is not None, not demo),
        ("--first-frame", first_frame is not None, not demo),
        ("--no-layout", no_layout, demo),
        ("--no-calibration", no_calibration, demo),
        ("--difficulty", difficulty is not Difficulty.NORMAL, demo),
        ("--live", live, recording is None),
        ("--workers", workers is not None, recording is None),
        ("--as-recorded", as_recorded, recording is not None),
        ("--keep", keep is not None, recording is None),
    ):
        if given and not allowed:
            raise MtmcError(f"{name} cannot be combined with {chosen[0]}")

    if seeds is not None:
        for name, given in (("--seed", seed is not None), ("--live", live), ("--report", report is not None)):
            if given:
                raise MtmcError(f"{name} cannot be combined with --seeds")

    import tempfile

    from evaluation.recorded import evaluate_recording
    from evaluation.scores import require_scores
    from shared.logs import logs_of_command

    require_scores()
    if report is not None:
        _require_writable(report)
    with logs_of_command("evaluate"), _sigterm_as_ctrl_c(), ExitStack() as stack:
        if recording is not None and ground_truth is not None:
            read = _truth_reader(ground_truth, text_format, first_frame)
            runs = [
                evaluate_recording(
                    recording, read, progress_bar, seconds=seconds, as_recorded=as_recorded, note=print_note
                )
            ]
        else:
            folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mtmc-evaluate-")))
            _require_empty(folder)
            if demo:
                seconds = _DEMO_SECONDS if seconds is None else seconds
            if seeds is not None:
                assert seconds is not None
                has = not no_layout, not no_calibration
                scenes = [_Scene(one, seconds, difficulty, *has) for one in _parsed_seeds(seeds)]
                _run_seeds(scenes, folder, workers, as_json=as_json)
                return
            if demo:
                assert seconds is not None
                scene = _Scene(1 if seed is None else seed, seconds, difficulty, not no_layout, not no_calibration)
                site_file, ground_truth = _render_demo(folder / "demo", scene)
            assert site_file is not None
            assert ground_truth is not None
            read = _truth_reader(ground_truth, text_format, first_frame)
            runs = _run_site(site_file, read, folder, seconds=seconds, workers=workers, live=live)
        _show(runs, report, as_json=as_json)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Makes SIGTERM end the command as Ctrl-C does, so that processes and temporary files are cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parsed_seeds(text: str) -> list[int]:
    """The seeds of a text such as `1,5,200-209`; raises MtmcError."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            found = range(int(first), int(last or first) + 1)
        except ValueError:
            found = range(0)
        if not found:
            raise MtmcError(f"--seeds {text}: write numbers and ranges, as in 1-3 or 1,5,200-209")
        seeds += found
    return seeds


def _run_seeds(scenes: list[_Scene], folder: Path, workers: int | None, *, as_json: bool) -> None:
    """Evaluates one scene after the other, and prints a line for each, their mean and the worst."""
    import json

    from evaluation.tables import SummaryTable

    table, contents = SummaryTable(scenes[0].title), {}
    for scene in scenes:
        own = folder / f"seed-{scene.seed}"
        site_file, ground_truth = _render_demo(own / "demo", scene)
        runs = _run_site(
            site_file, _truth_reader(ground_truth), own, seconds=scene.seconds, workers=workers, live=False
        )
        table.add(f"seed {scene.seed}", runs[0].verdict)
        contents[str(scene.seed)] = runs[0].verdict.to_dict()
    console = table_console()
    if as_json:
        console.out(json.dumps(contents), highlight=False)
        return
    table.add_mean_and_worst()
    table.show(console)


def _render_demo(folder: Path, scene: _Scene) -> tuple[Path, Path]:
    """Renders the synthetic site; returns its site file and the folder of its ground truth."""
    import demo.scenario
    from demo.site import MODELS, DemoSite, require_models, write_site
    from demo.videos import GROUND_TRUTH

    require_models(MODELS)
    difficulty = demo.scenario.Difficulty(scene.difficulty)
    site = DemoSite(
        scene.seed,
        scene.seconds,
        difficulty=difficulty,
        has_layout=scene.has_layout,
        has_calibration=scene.has_calibration,
    )
    with progress_bar("rendering") as progress:
        site_file = write_site(folder, site, progress=progress)
    return site_file, folder / GROUND_TRUTH


def _run_site(
    site_file: Path, read: ReadTruth, folder: Path, *, seconds: float | None, workers: int | None, live: bool
) -> list[EvaluatedRun]:
    """Evaluates in virtual time, and with `live` in real time too."""
    from launcher.site_evaluation import evaluate_site
    from launcher.site_file import load_site
    from launcher.site_run import runnable
    from site_checks.files import require_usable_files

    site = load_site(site_file, os.environ, note=print_note)
    runnable(site, seconds, live=False)
    truth = read(site.camera_names)
    require_usable_files(site_file, site, os.environ)
    run = partial(evaluate_site, site, truth, folder, os.environ, progress_bar, seconds=seconds, workers=workers)
    return [run(note=print_note), *([run(live=True)] if live else [])]


def _truth_reader(
    ground_truth: Path, text_format: TextFormat | None = None, first_frame: int | None = None
) -> ReadTruth:
    """Reads the ground truth in `ground_truth`, and says on stderr what was decided about its form."""
    from evaluation.truth import read_truth

    return partial(read_truth, ground_truth, form=form_of(text_format), first_frame=first_frame, note=print_note)


def _require_empty(folder: Path) -> None:
    """Creates the folder if needed; raises MtmcError if it is not empty."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise MtmcError(f"{folder}: cannot be used ({error.strerror}); give another folder") from None
    if occupied:
        raise MtmcError(f"{folder}: is not empty; give another folder with --keep")


def _require_writable(report: Path) -> None:
    """Raises MtmcError if the report could not be written. Called before the run, which takes long."""
    nearest = next(folder for folder in report.absolute().parents if folder.exists())
    if report.is_dir() or not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise MtmcError(f"{report}: the report cannot be written there; give a file in a writable folder")


def _show(runs: list[EvaluatedRun], report: Path | None, *, as_json: bool) -> None:
    """Prints the scores of the first run, and how the second one (in real time) differs."""
    import json

    from evaluation.tables import show_differences, show_run
    from evaluation.timing import differences

    console, run = table_console(), runs[0]
    content = run.verdict.to_dict()
    difference = None
    for by_clock in runs[1:]:
        other = by_clock.verdict.to_dict()
        difference = differences(other, content)
        content |= {"wall_clock": {**other, "timing": by_clock.timing.to_dict()}, "difference": difference}
    if report is not None:
        _write_report(report, run)
    if as_json:
        console.out(json.dumps(content), highlight=False)
        return
    show_run(run.verdict, run.timing, console)
    if difference is not None:
        console.print()
        show_differences(difference, console)
    if report is not None:
        console.print(f"\nreport: {report}", soft_wrap=True)


def _write_report(path: Path, run: EvaluatedRun) -> None:
    from evaluation.report import ReportContent, write_report
    from evaluation.tradeoff import tradeoff

    with progress_bar("first gid against changes") as progress:
        points = tradeoff(run.recording, progress=progress)
    name = str(run.recording.site["site"])
    write_report(path, ReportContent(name, run.recording, run.verdict, run.timing, points))
