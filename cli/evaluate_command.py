"""What can be typed after `mtmc evaluate`, and its help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.console import table_console
from cli.options import MaybeSiteFile
from shared.errors import MtmcError


def evaluate(
    site_file: MaybeSiteFile = None,
    recording: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A recording: only the aggregator runs, over its tracks.", show_default=False),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="A synthetic site, which is made with its truth.")] = False,
    ground_truth: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="MOTChallenge text: CAMERA.txt or CAMERA/gt.txt.", show_default=False),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the synthetic site.", show_default="1")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, max=86400, help="So much site time.", show_default="to the end; demo: 120")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Camera workers.", show_default="1, or one for each GPU")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Run the files by the wall clock too, and show the difference.")
    ] = False,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="With --recording: score the gids it holds; nothing runs.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with everything.", show_default=False)
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the recording of the run (and the demo's files).", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Score the global ids against ground truth, as they were published live.

    Runs the real services over a site's recordings in virtual time, on a
    Redis of its own: the same figures every time. What each figure means
    stands in docs/evaluation.md.

    The fields of --json are stable: cameras (hota, deta, assa, idf1, mota,
    idsw), multi_camera and bound (idf1, idp, idr, hota, assa),
    bound_cameras, live and seconds; with --live also wall_clock (the same
    of that run, and timing) and difference.

    Examples:
      mtmc evaluate site.yaml --ground-truth truth
      mtmc evaluate --demo --seed 7 --report report.html
      mtmc evaluate --recording run1 --ground-truth truth --json
    """
    from cli.evaluate import EvaluateOptions
    from cli.evaluate import evaluate as run_evaluate

    chosen = [name for name, given in (("SITE.yaml", site_file), ("--recording", recording), ("--demo", demo)) if given]
    if len(chosen) != 1:
        found = f", not {' and '.join(chosen)}" if chosen else ""
        raise MtmcError(f"evaluate what? Give one of SITE.yaml, --recording DIR and --demo{found}")
    if demo and ground_truth:
        raise MtmcError("--demo makes its own ground truth; leave out --ground-truth")
    if not demo and ground_truth is None:
        raise MtmcError(f"{chosen[0]} needs --ground-truth DIR, with CAMERA.txt or CAMERA/gt.txt for each camera")
    for name, given, allowed in (
        ("--seed", seed is not None, demo),
        ("--live", live, recording is None),
        ("--workers", workers is not None, recording is None),
        ("--as-recorded", as_recorded, recording is not None),
        ("--keep", keep is not None, recording is None),
    ):
        if given and not allowed:
            raise MtmcError(f"{name} means nothing with {chosen[0]}")
    options = EvaluateOptions(
        site_file=site_file,
        recording=recording,
        ground_truth=ground_truth,
        demo_seed=(1 if seed is None else seed) if demo else None,
        seconds=seconds,
        workers=workers,
        live=live,
        as_recorded=as_recorded,
        report=report,
        keep=keep,
        json=json,
    )
    run_evaluate(options, os.environ, table_console())


def register(app: typer.Typer) -> None:
    """Makes it a command of `app`."""
    app.command("evaluate")(evaluate)
