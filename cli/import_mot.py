"""`mtmc import-mot`: a recording from the output of any tracker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import counted, table_console
from cli.mot_options import FirstFrame, Fps, FrameSize, Stride, frame_size
from cli.options import RecordingFolder
from cli.progress import progress_bar

if TYPE_CHECKING:
    from recording.mot_import import MotSource


def import_mot(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="CAMERA=TRACKS.txt[,FEATURES.npy] …",
            help="For each camera its tracks, and an array (rows, D) of embeddings, row by row.",
            show_default=False,
        ),
    ],
    fps: Fps,
    out: RecordingFolder,
    layout: Annotated[
        Path | None,
        typer.Option(help="A layout text file of these cameras, in this order.", show_default="every step is possible"),
    ] = None,
    size: FrameSize = None,
    stride: Stride = 1,
    first_frame: FirstFrame = 1,
    max_lost_seconds: Annotated[
        float, typer.Option(min=0.01, max=86400, help="So long after its last box a track counts as ended.")
    ] = 2.5,
    site: Annotated[str, typer.Option("--name", help="Of the site.")] = "imported",
) -> None:
    """Make a recording out of MOTChallenge text, of any tracker.

    A line is frame,id,left,top,width,height[,conf[,class,visibility]],
    in any order; ids are those of one camera. Without embeddings no track
    gets a global id. The formats are described in docs/recordings.md.

    Example:  mtmc import-mot a=a.txt,a.npy b=b.txt,b.npy --fps 10 -o run1
    """
    from recording import mot_import

    options = mot_import.ImportOptions(fps, stride, first_frame, layout, frame_size(size), site, max_lost_seconds)
    with progress_bar("importing") as progress:
        done = mot_import.import_mot(_sources(sources), options, out, progress)
    console = table_console()
    counts = [counted(done.ticks, "tick"), counted(done.tracks, "track"), counted(done.boxes, "box", "boxes")]
    console.print(f"{out}: {', '.join(counts)}, {counted(done.embeddings, 'embedding')}", soft_wrap=True)
    if done.clipped:
        console.print(f"note: {done.clipped} confidences lay beyond 0 to 1 and were clipped", soft_wrap=True)


def _sources(words: list[str]) -> list[MotSource]:
    """`CAMERA=TRACKS[,FEATURES.npy]` of each camera.

    Raises:
        BadParameter: a word is something else, or a camera is named twice.
    """
    from recording.mot_import import MotSource
    from shared.config import NAME_PATTERN

    sources = []
    for word in words:
        camera, equals, files = word.partition("=")
        if not equals or not files or not re.match(NAME_PATTERN, camera) or len(camera) > 64:
            raise typer.BadParameter(
                f"'{word}': write CAMERA=TRACKS.txt or CAMERA=TRACKS.txt,FEATURES.npy; a camera's name has letters, "
                "digits, '_', '-' and '.'"
            )
        tracks, comma, features = files.rpartition(",")
        with_features = bool(comma) and features.endswith(".npy")
        sources.append(
            MotSource(camera, Path(tracks), Path(features)) if with_features else MotSource(camera, Path(files))
        )
    names = [source.camera for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise typer.BadParameter(f"camera {', '.join(twice)} stands there more than once")
    return sources
