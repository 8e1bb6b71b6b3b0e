"""Exports the boxes of a recording and their published gids to other formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from recording.mot_text import mot_lines, plain, write_lines
from recording.reading import Recording
from recording.rows import TrackRows
from shared.progress import ReportProgress, ignore_progress

Format = Literal["mot", "cityflow", "csv"]
Numbering = Literal["gid", "track"]
CSV_HEADER = "camera,tick,frame,time_ns,track_id,gid,left,top,width,height,score,class"


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    files: tuple[Path, ...]
    boxes: int
    without_gid: int
    """Number of boxes without a gid at their tick; the formats `mot` and `cityflow` omit them."""


def export_recording(
    recording: Recording,
    style: Format,
    out: Path,
    *,
    ids: Numbering = "gid",
    progress: ReportProgress = ignore_progress,
) -> Exported:
    """Write a folder `out` with one file `{camera}.txt` per camera (`mot`), or the file `out` (`cityflow`, `csv`).

    Args:
        recording: the recording.
        style: the format.
        out: the folder or file.
        ids: object ids of `mot`: gids, or the track ids of each camera.
        progress: counts cameras.

    Raises:
        RecordingError: the recording is damaged, or a file cannot be written.
    """
    parts: list[_Part] = []
    for done, camera in enumerate(recording.cameras, start=1):
        rows = recording.tracks(camera)
        gids = rows.track_id if ids == "track" else recording.gids_as_published(camera, rows)
        parts.append(_Part(camera, rows, recording.frame_of(rows.tick), gids))
        progress(done, len(recording.cameras))
    without = sum(int((part.gids == 0).sum()) for part in parts) if ids == "gid" else 0
    if style == "mot":
        files = tuple(out / f"{part.camera}.txt" for part in parts)
        boxes = sum(write_lines(path, _mot(part, ids)) for path, part in zip(files, parts, strict=True))
        return Exported(files, boxes, without)
    lines = _csv(parts) if style == "csv" else _cityflow(parts)
    return Exported((out,), write_lines(out, lines) - (style == "csv"), without)


@dataclass(frozen=True)
class _Part:
    """The boxes of one camera."""

    camera: str
    rows: TrackRows
    frames: npt.NDArray[np.int64]
    gids: npt.NDArray[np.int64]


def _mot(part: _Part, ids: Numbering) -> Iterator[str]:
    keep = part.gids > 0 if ids == "gid" else np.ones(len(part.gids), bool)
    order = np.flatnonzero(keep)
    order = order[np.lexsort((part.gids[order], part.frames[order]))]
    return mot_lines(part.frames[order], part.gids[order], part.rows.box_xyxy[order], part.rows.score[order])


def _cityflow(parts: list[_Part]) -> Iterator[str]:
    """AI City Challenge, track 1: `camera_id obj_id frame_id xmin ymin width height xworld yworld`."""
    numbers = camera_numbers([part.camera for part in parts])
    for part, number in zip(parts, numbers, strict=True):
        for row in np.flatnonzero(part.gids > 0).tolist():
            box = " ".join(map(plain, _ltwh(part.rows.box_xyxy[row])))
            yield f"{number} {part.gids[row]} {part.frames[row]} {box} -1 -1"


def _csv(parts: list[_Part]) -> Iterator[str]:
    yield CSV_HEADER
    for part in parts:
        rows = part.rows
        for row in range(len(rows)):
            box = ",".join(map(plain, _ltwh(rows.box_xyxy[row])))
            gid = part.gids[row] or ""
            yield (
                f"{part.camera},{rows.tick[row]},{part.frames[row]},{rows.time_ns[row]},{rows.track_id[row]},{gid},"
                f"{box},{rows.score[row]:.4g},{rows.class_id[row]}"
            )


def camera_numbers(cameras: list[str]) -> list[int]:
    """The number at the end of each name (`c041`: 41), or 1, 2, 3 … if two are equal or a name has none."""
    found = [re.search(r"(\d+)$", camera) for camera in cameras]
    numbers = [int(match.group(1)) for match in found if match]
    return numbers if len(set(numbers)) == len(cameras) else list(range(1, len(cameras) + 1))


def _ltwh(box_xyxy: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box_xyxy.astype(float).tolist()
    return left, top, right - left, bottom - top
