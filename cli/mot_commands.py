"""What can be typed after `mtmc` about files of other trackers and detectors, and its help."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import counted, table_console
from cli.options import RecordingFolder, TicksStride

if TYPE_CHECKING:
    from recording.mot_import import MotSource

Fps = Annotated[float, typer.Option("--fps", min=0.001, max=1000, help="Frames per second of the text.")]
FirstFrame = Annotated[int, typer.Option(min=0, max=1, help="Number of the first frame: 1, or 0.")]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Of the frames, pixels; else nothing is known of their borders.")
]


class ExportFormat(str, Enum):
    """As typed."""

    MOT = "mot"
    CITYFLOW = "cityflow"
    CSV = "csv"


class Ids(str, Enum):
    """As typed."""

    GID = "gid"
    TRACK = "track"


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
    size: Size = None,
    stride: TicksStride = 1,
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
    from cli.progress import progress
    from recording.mot_import import ImportOptions
    from recording.mot_import import import_mot as run_import

    options = ImportOptions(fps, stride, first_frame, layout, frame_size(size), site, max_lost_seconds)
    with progress("importing") as told:
        done = run_import(mot_sources(sources), options, out, told)
    console = table_console()
    said = [counted(done.ticks, "tick"), counted(done.tracks, "track"), counted(done.boxes, "box", "boxes")]
    console.print(f"{out}: {', '.join(said)}, {counted(done.embeddings, 'embedding')}", soft_wrap=True)
    if done.clipped:
        console.print(f"note: {done.clipped} confidences lay beyond 0 to 1 and were clipped", soft_wrap=True)


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The recording.", show_default=False)],
    style: Annotated[ExportFormat, typer.Option("--format", help="See docs/recordings.md.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="mot: a folder, with a file for each camera; else a file.")],
    ids: Annotated[Ids, typer.Option(help="mot: number objects by global id, or by each camera's tracks.")] = Ids.GID,
) -> None:
    """Write a recording's boxes with the global ids that were published at their ticks.

    mot       frame,id,left,top,width,height,conf,-1,-1,-1
    cityflow  camera_id obj_id frame_id xmin ymin width height -1 -1
    csv       all there is, with a header

    Example:  mtmc export run1 --format mot -o run1-text
    """
    from cli.progress import progress
    from recording.export import export as run_export
    from recording.reading import Recording
    from shared.errors import MtmcError

    if ids is Ids.TRACK and style is not ExportFormat.MOT:
        raise typer.BadParameter("--ids track is for --format mot; csv has both ids anyhow")
    recording = Recording.open(folder)
    if ids is Ids.GID and style is not ExportFormat.CSV and not len(recording.assignments()):
        raise MtmcError(
            f"{folder} has no global ids; give it some first: mtmc replay {folder} -o {folder.name}-ids"
            + (" (or export its tracks: --ids track)" if style is ExportFormat.MOT else "")
        )
    with progress("exporting") as told:
        done = run_export(recording, style.value, out, ids=ids.value, told=told)
    console = table_console()
    said = f"{counted(done.boxes, 'box', 'boxes')} in {counted(len(done.files), 'file')}"
    console.print(f"{out}: {said}", soft_wrap=True)
    if done.without_gid:
        kept = "have none in the table" if style is ExportFormat.CSV else "were left out"
        console.print(f"note: {done.without_gid} boxes had no gid at their tick; they {kept}", soft_wrap=True)


def track_mot(
    detections: Annotated[Path, typer.Argument(metavar="DET.txt", help="Detections.", show_default=False)],
    fps: Fps,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    stride: TicksStride = 1,
    first_frame: FirstFrame = 1,
    size: Size = None,
    high_score: Annotated[float, typer.Option(help="Detections from here on are matched first.")] = 0.5,
    low_score: Annotated[float, typer.Option(help="Detections from here on continue tracks.")] = 0.1,
    new_track_score: Annotated[
        float | None, typer.Option(help="Detections from here on begin tracks.", show_default="0.5, or --high-score")
    ] = None,
    match_iou: Annotated[float, typer.Option(help="Least IoU of a confident detection with its track.")] = 0.2,
    low_match_iou: Annotated[float, typer.Option(help="Least IoU of an unsure detection with its track.")] = 0.5,
    search_per_second: Annotated[
        float, typer.Option(help="How far a new track is looked for, in box sizes per second.")
    ] = 2.0,
    max_lost_seconds: Annotated[float, typer.Option(help="A track not seen for so long has ended.")] = 2.5,
    min_hits: Annotated[int, typer.Option(help="Detections until a track is believed.")] = 2,
    match_classes: Annotated[
        bool, typer.Option("--match-classes", help="Match only detections of the track's class.")
    ] = False,
) -> None:
    """Run our tracker over detections in MOTChallenge text.

    Detections are lines frame,-1,left,top,width,height,conf; the result has
    the same frame numbers. The defaults are those of a site.

    Example:  mtmc track-mot det.txt --fps 30 --stride 3 -o tracks.txt
    """
    from cli.progress import progress
    from recording.mot_tracking import TrackingOptions
    from recording.mot_tracking import track_mot as run_tracker
    from shared.errors import MtmcError
    from vision.tracking.tracker import TrackerSettings

    try:
        settings = TrackerSettings(
            high_score=high_score,
            low_score=low_score,
            new_track_score=max(high_score, 0.5) if new_track_score is None else new_track_score,
            match_iou=match_iou,
            low_match_iou=low_match_iou,
            search_per_s=search_per_second,
            max_lost_seconds=max_lost_seconds,
            min_hits=min_hits,
            match_classes=match_classes,
        )
    except ValueError as error:
        raise MtmcError(f"these tracker options do not fit together: {error}") from None
    with progress("tracking") as told:
        done = run_tracker(detections, TrackingOptions(fps, stride, first_frame, frame_size(size)), settings, out, told)
    said = f"{counted(done.tracks, 'track')}, {counted(done.boxes, 'box', 'boxes')} in {counted(done.frames, 'frame')}"
    table_console().print(f"{out}: {said}", soft_wrap=True)


def frame_size(text: str | None) -> tuple[int, int] | None:
    """`1920x1080` as numbers.

    Raises:
        BadParameter: it is something else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})[x×]([1-9]\d{0,5})", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"--size {text}: write width and height as in 1920x1080")
    return int(match.group(1)), int(match.group(2))


def mot_sources(words: list[str]) -> list[MotSource]:
    """`CAMERA=TRACKS[,FEATURES.npy]` of each camera.

    Raises:
        BadParameter: a word is something else, or a camera stands there twice.
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


def register(app: typer.Typer) -> None:
    """Makes them commands of `app`."""
    app.command("import-mot")(import_mot)
    app.command("export")(export)
    app.command("track-mot")(track_mot)
