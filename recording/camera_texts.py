"""Reads the text of several cameras together: one file for each, or one file with the boxes of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recording.errors import RecordingError
from recording.export import camera_numbers
from recording.mot_forms import Form
from recording.mot_text import MotRows, read_mot
from recording.rows import Ids


@dataclass(frozen=True)
class CameraTexts:
    """The boxes of each camera."""

    rows: dict[str, MotRows]
    positions: dict[str, Ids]
    """`(N,)` int64 each: positions of these boxes among all boxes of their file."""
    totals: dict[str, int]
    """Number of boxes in the file of each camera."""
    first_frame: int
    """Number of the first frame in all files, 0 or 1."""
    first_frame_found: bool
    """The first frame is 0 because a file has a frame 0, not because it was given."""


def read_camera_texts(
    paths: Mapping[str, Path], *, form: Form | None = None, first_frame: int | None = None
) -> CameraTexts:
    """Read the file of each camera; a file with several cameras may be named for each of them.

    Without `form` and `first_frame`, the files decide: frames count from 0 if one of the files has a frame 0.

    Raises:
        RecordingError: a file is invalid, or it is not clear how to read it; the message names the line.
    """
    files = {path: read_mot(path, form=form, first_frame=first_frame) for path in dict.fromkeys(paths.values())}
    _refuse_two_forms(files)
    cameras = list(paths)
    positions = {camera: _positions(path, files[path], camera, cameras, paths) for camera, path in paths.items()}
    rows = {camera: files[path].select(positions[camera].astype(np.intp)) for camera, path in paths.items()}
    found = _first_frame(paths, rows) if first_frame is None else first_frame
    totals = {camera: len(files[path]) for camera, path in paths.items()}
    return CameraTexts(rows, positions, totals, found, first_frame is None and found == 0)


def _refuse_two_forms(files: Mapping[Path, MotRows]) -> None:
    """Refuse files of ten columns of which some seem to have world coordinates, and some VisDrone's categories."""
    of_form = {rows.form: path for path, rows in files.items()}
    if {"mot15", "visdrone"} <= set(of_form):
        path = of_form["visdrone"]
        raise RecordingError(
            path,
            f"line {files[path].line[0]}: the last three columns read as VisDrone's category, truncation and "
            f"occlusion, but as world coordinates in {of_form['mot15']}. Say which they are with --format visdrone or "
            "--format mot15",
        )


def _positions(path: Path, rows: MotRows, camera: str, cameras: list[str], paths: Mapping[str, Path]) -> Ids:
    """Positions of the boxes of `camera` in its file."""
    everything = np.arange(len(rows))
    if rows.form != "cityflow" or not len(rows):
        return everything
    numbers = dict(zip(cameras, camera_numbers(cameras), strict=True))
    by_name = camera.endswith(str(numbers[camera]))
    found = np.unique(rows.camera).tolist()
    is_shared = list(paths.values()).count(path) > 1
    if len(found) == 1 and not is_shared:
        other = next((name for name, number in numbers.items() if number == found[0] and name != camera), None)
        if by_name and other is not None and found[0] != numbers[camera]:
            raise RecordingError(
                path,
                f"line {rows.line[0]}: camera_id {found[0]} is the number of camera {other}, but the file is the one "
                f"of camera {camera}; exchange the files, or correct the camera_id",
            )
        return everything
    if not by_name and not set(found) <= set(numbers.values()):
        unknown = next(number for number in found if number not in numbers.values())
        raise RecordingError(
            path,
            f"line {rows.line[rows.camera == unknown][0]}: camera_id {unknown} belongs to no camera: the names "
            f"{', '.join(cameras)} do not end with numbers of their own, and so count as 1 to {len(cameras)}. Name the "
            "cameras by number, as in c041, or split the file into one for each camera",
        )
    if numbers[camera] not in found:
        raise RecordingError(
            path,
            f"has no box of camera {camera} (camera_id {numbers[camera]}); it has camera_id "
            f"{', '.join(map(str, found[:20]))}. If the camera saw nothing, give each camera a file of its own",
        )
    return np.flatnonzero(rows.camera == numbers[camera])


def _first_frame(paths: Mapping[str, Path], rows: Mapping[str, MotRows]) -> int:
    """The number of the first frame, 0 or 1, which all files have in common."""
    first = {camera: int(own.frame.argmin()) for camera, own in rows.items() if len(own)}
    from_zero = next((camera for camera, row in first.items() if rows[camera].frame[row] == 0), None)
    if from_zero is None:
        return 1
    from_one = next((camera for camera, row in first.items() if rows[camera].frame[row] == 1), None)
    if from_one is not None:
        zero, one = first[from_zero], first[from_one]
        of_camera = "" if paths[from_one] != paths[from_zero] else f" of camera {from_one}"
        raise RecordingError(
            paths[from_one],
            f"line {rows[from_one].line[one]}: the frames{of_camera} begin at 1, but at 0 in {paths[from_zero]}, line "
            f"{rows[from_zero].line[zero]}. If all files count from 0, say so with --first-frame 0; else correct one "
            "of them",
        )
    return 0
