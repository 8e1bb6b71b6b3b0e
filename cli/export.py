"""`mtmc export`: a recording's boxes and ids in the formats of other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import counted, table_console
from cli.progress import progress_bar
from shared.errors import MtmcError


class ExportFormat(StrEnum):
    """A format, as named on the command line."""

    MOT = "mot"
    CITYFLOW = "cityflow"
    CSV = "csv"


class NumberedBy(StrEnum):
    """Which ids objects get, as named on the command line."""

    GID = "gid"
    TRACK = "track"


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The recording.", show_default=False)],
    style: Annotated[ExportFormat, typer.Option("--format", help="See docs/recordings.md.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="mot: a folder, with a file for each camera; else a file.")],
    ids: Annotated[
        NumberedBy, typer.Option(help="mot: number objects by global id, or by each camera's tracks.")
    ] = NumberedBy.GID,
) -> None:
    """Write a recording's boxes with the global ids that were published at their ticks.

    mot       frame,id,left,top,width,height,conf,-1,-1,-1
    cityflow  camera_id obj_id frame_id xmin ymin width height -1 -1
    csv       all there is, with a header

    Example:  mtmc export run1 --format mot -o run1-text
    """
    from recording.export import export_recording
    from recording.reading import Recording

    if ids is NumberedBy.TRACK and style is not ExportFormat.MOT:
        raise typer.BadParameter("--ids track is for --format mot; csv has both ids anyhow")
    recording = Recording.open(folder)
    if ids is NumberedBy.GID and style is not ExportFormat.CSV and not len(recording.assignments()):
        raise MtmcError(
            f"{folder} has no global ids; give it some first: mtmc replay {folder} -o {folder.name}-ids"
            + (" (or export its tracks: --ids track)" if style is ExportFormat.MOT else "")
        )
    with progress_bar("exporting") as progress:
        done = export_recording(recording, style.value, out, ids=ids.value, progress=progress)
    console = table_console()
    counts = f"{counted(done.boxes, 'box', 'boxes')} in {counted(len(done.files), 'file')}"
    console.print(f"{out}: {counts}", soft_wrap=True)
    if done.without_gid:
        kept = "have none in the table" if style is ExportFormat.CSV else "were left out"
        console.print(f"note: {done.without_gid} boxes had no gid at their tick; they {kept}", soft_wrap=True)
