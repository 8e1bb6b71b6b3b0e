"""`mtmc export`: writes a recording's boxes and ids in the formats of other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import counted, table_console
from cli.progress import progress_bar
from shared.errors import MtmcError


class ExportFormat(StrEnum):
    """Values of `--format`."""

    MOT = "mot"
    CITYFLOW = "cityflow"
    CSV = "csv"


class NumberedBy(StrEnum):
    """Values of `--ids`."""

    GID = "gid"
    TRACK = "track"


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The recording.", show_default=False)],
    style: Annotated[
        ExportFormat, typer.Option("--format", help="Output format; see docs/recordings.md.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "--output", "-o", help="mot: folder for one file per camera; otherwise a file.")
    ],
    ids: Annotated[NumberedBy, typer.Option(help="mot: use global ids, or each camera's track ids.")] = NumberedBy.GID,
) -> None:
    """Export a recording's boxes with the global ids published at each tick.

    mot       frame,id,left,top,width,height,conf,-1,-1,-1
    cityflow  camera_id obj_id frame_id xmin ymin width height -1 -1
    csv       all fields, with a header

    Example:  mtmc export run1 --format mot -o run1-text
    """
    from recording.export import export_recording
    from recording.reading import Recording

    if ids is NumberedBy.TRACK and style is not ExportFormat.MOT:
        raise typer.BadParameter("--ids track works only with --format mot; csv contains both ids")
    recording = Recording.open(folder)
    if ids is NumberedBy.GID and style is not ExportFormat.CSV and not len(recording.assignments()):
        raise MtmcError(
            f"{folder} has no global ids; create them first: mtmc replay {folder} -o {folder.name}-ids"
            + (" (or export the track ids: --ids track)" if style is ExportFormat.MOT else "")
        )
    with progress_bar("exporting") as progress:
        done = export_recording(recording, style.value, out, ids=ids.value, progress=progress)
    console = table_console()
    counts = f"{counted(done.boxes, 'box', 'boxes')} in {counted(len(done.files), 'file')}"
    console.print(f"{out}: {counts}", soft_wrap=True)
    if done.without_gid:
        kept = "their gid column is empty" if style is ExportFormat.CSV else "they were left out"
        console.print(f"note: {done.without_gid} boxes had no gid at their tick; {kept}", soft_wrap=True)
