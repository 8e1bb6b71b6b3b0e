"""`mtmc import-mot`: makes a recording from the output of any tracker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import counted, table_console
from cli.mot_options import FirstFrame, FormatOption, Fps, FrameSize, Stride, form_of, frame_size
from cli.options import RecordingFolder
from cli.progress import progress_bar

if TYPE_CHECKING:
    from recording.mot_import import MotSource


def import_mot(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="CAMERA=TRACKS.txt[,FEATURES.npy] …",
            help="Tracks of each camera, and optionally a (rows, D) array with one embedding per row of the text.",
            show_default=False,
        ),
    ],
    fps: Fps,
    out: RecordingFolder,
    layout: Annotated[
        Path | None,
        typer.Option(
            help="Layout text file of these cameras, in this order.", show_default="every transition is possible"
        ),
    ] = None,
    size: FrameSize = None,
    stride: Stride = 1,
    first_frame: FirstFrame = None,
    text_format: FormatOption = None,
    max_lost_seconds: Annotated[
        float, typer.Option(min=0.01, max=86400, help="A track ends this long after its last box.")
    ] = 2.5,
    site: Annotated[str, typer.Option("--name", help="Name of the site.")] = "imported",
) -> None:
    """Make a recording from the text of any tracker.

    Each line is frame,id,left,top,width,height[,conf[,class,visibility]];
    lines may be in any order, and ids are per camera. Texts of 2D MOT 2015,
    VisDrone and the AI City Challenge are recognised. Tracks without
    embeddings get no global id. Formats: docs/recordings.md.

    Examples:
      mtmc import-mot a=a.txt,a.npy b=b.txt,b.npy --fps 10 -o run1
      mtmc import-mot c041=track1.txt c042=track1.txt --fps 10 -o run1
    """
    from recording import mot_forms, mot_import

    options = mot_import.ImportOptions(
        fps, stride, first_frame, layout, frame_size(size), site, max_lost_seconds, form_of(text_format)
    )
    with progress_bar("importing") as progress:
        done = mot_import.import_mot(_sources(sources), options, out, progress)
    console = table_console()
    counts = [counted(done.ticks, "tick"), counted(done.tracks, "track"), counted(done.boxes, "box", "boxes")]
    console.print(f"{out}: {', '.join(counts)}, {counted(done.embeddings, 'embedding')}", soft_wrap=True)
    recognised = {rows.form for rows in done.texts.rows.values() if len(rows)} - {"mot"}
    for form in sorted(recognised) if text_format is None else ():
        console.print(f"note: read as {form} ({mot_forms.COLUMNS[form]})", soft_wrap=True)
    if done.left_out:
        left_out = counted(done.left_out, "box", "boxes")
        console.print(f"note: left out {left_out} that do not count (flag 0, ignored regions)", soft_wrap=True)
    if done.texts.first_frame_found:
        console.print("note: frames count from 0, as a file has a frame 0", soft_wrap=True)
    if done.clipped:
        console.print(f"note: {done.clipped} confidences were outside 0 to 1 and were clipped", soft_wrap=True)


def _sources(words: list[str]) -> list[MotSource]:
    """Parses `CAMERA=TRACKS[,FEATURES.npy]` of each camera.

    Raises:
        BadParameter: a word has another form, or a camera is given twice.
    """
    from recording.mot_import import MotSource
    from shared.config_fields import NAME_PATTERN

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
        raise typer.BadParameter(f"camera {', '.join(twice)} is given more than once")
    return sources
