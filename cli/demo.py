"""`mtmc demo`: renders the synthetic site once, then runs it as `mtmc up` does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.options import LogLevel, LogLevelOption


def demo(
    seed: Annotated[int, typer.Option(help="Random seed; each number renders a different site.")] = 1,
    seconds: Annotated[float, typer.Option(help="Length of the video files; they loop.")] = 120.0,
    cameras: Annotated[
        str | None, typer.Option(metavar="A,B", help="Use only these cameras.", show_default="all six")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Camera workers on this machine.", show_default="1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the page (0 picks a free port).", show_default="8080"),
    ] = None,
    cache: Annotated[Path, typer.Option(metavar="DIR", help="Folder in which rendered sites are cached.")] = Path(
        ".mtmc"
    ),
    models: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with demo_detector.onnx and demo_embedder.onnx.",
            show_default="the shipped models",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--output",
            "-o",
            metavar="DIR",
            help="Only render, into this folder. A site rendered there earlier is replaced.",
            show_default=False,
        ),
    ] = None,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Run a synthetic site with six cameras around a road junction. Nothing to download.

    The site is rendered once, as video files with exact ground truth, and
    cached. It then runs as with `mtmc up`, until Ctrl-C.

    Cameras: crossing-southwest, crossing-northwest, crossing-northeast,
    crossing-southeast, roundabout, north-street.

    Examples:
      mtmc demo --seed 7 --cameras crossing-southwest,roundabout
      mtmc demo --seconds 60 -o my-demo
    """
    from cli.progress import progress_bar
    from cli.up import run_until_stopped
    from demo.cache import cache_name, rendered_site
    from demo.site import MODELS, DemoSite, require_models
    from launcher.programs import usable_cores
    from shared.lasting_output import lasting

    names = tuple(name.strip() for name in cameras.split(",")) if cameras is not None else None
    site = DemoSite(seed, seconds, names, models=models or MODELS)
    if output is None:
        require_models(site.models)
    folder = output or cache / cache_name(site)
    with progress_bar(f"rendering {seconds:g} s") as progress:
        site_file = rendered_site(folder, site, processes=usable_cores(), progress=progress)
    console = Console(file=lasting(sys.stdout), highlight=False)
    console.print(f"site file: {site_file} (ground truth is in the same folder)", markup=False, soft_wrap=True)
    if output is not None:
        return
    raise typer.Exit(
        run_until_stopped(site_file, os.environ, console, workers=workers, port=port, log_level=log_level.value)
    )
