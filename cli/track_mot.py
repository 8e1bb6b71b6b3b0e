"""`mtmc track-mot`: runs the tracker over detections of any detector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import counted, table_console
from cli.mot_options import FirstFrame, FormatOption, Fps, FrameSize, Stride, form_of, frame_size
from cli.progress import progress_bar
from shared.errors import MtmcError


def track_mot(
    detections: Annotated[
        Path, typer.Argument(metavar="DET.txt", help="Detections in MOTChallenge text.", show_default=False)
    ],
    fps: Fps,
    out: Annotated[Path, typer.Option("--out", "--output", "-o", help="File to write.")],
    stride: Stride = 1,
    first_frame: FirstFrame = None,
    text_format: FormatOption = None,
    size: FrameSize = None,
    high_score: Annotated[float, typer.Option(help="Minimum score of detections that are matched first.")] = 0.5,
    low_score: Annotated[float, typer.Option(help="Minimum score of detections that can continue a track.")] = 0.1,
    new_track_score: Annotated[
        float | None,
        typer.Option(
            help="Minimum score of detections that start a track.", show_default="0.5 or --high-score, the higher one"
        ),
    ] = None,
    match_iou: Annotated[
        float | None,
        typer.Option(
            help="Minimum IoU to match a high-score detection; default: 0.33, or down to 0.2 below 10 pictures per "
            "second, while the camera moves, and for hidden objects"
        ),
    ] = None,
    low_match_iou: Annotated[float, typer.Option(help="Minimum IoU to match a low-score detection.")] = 0.5,
    search_per_second: Annotated[
        float, typer.Option(help="Search radius for the second detection of a track, in box sizes per second.")
    ] = 2.0,
    max_lost_seconds: Annotated[float, typer.Option(help="A track ends this long after its last detection.")] = 2.5,
    min_hits: Annotated[int, typer.Option(help="Detections needed to confirm a track.")] = 2,
    match_classes: Annotated[
        bool, typer.Option("--match-classes", help="Match only detections of the track's class.")
    ] = False,
) -> None:
    """Run the mtmc tracker over detections in MOTChallenge text.

    Each line is frame,-1,left,top,width,height,conf. The output keeps the
    frame numbers. The defaults are those of a site file.

    Example:  mtmc track-mot det.txt --fps 30 --stride 3 -o tracks.txt
    """
    from recording import mot_tracking
    from vision.tracking.settings import TrackerSettings

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
        raise MtmcError(f"invalid tracker options: {error}") from None
    options = mot_tracking.TrackingOptions(fps, stride, first_frame, frame_size(size), form_of(text_format))
    with progress_bar("tracking") as progress:
        done = mot_tracking.track_mot(detections, options, settings, out, progress)
    counts = [counted(done.tracks, "track"), counted(done.boxes, "box", "boxes")]
    table_console().print(f"{out}: {', '.join(counts)} in {counted(done.frames, 'frame')}", soft_wrap=True)
