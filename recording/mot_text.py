"""Text with one box per line, `frame,id,left,top,width,height,…`, as written by trackers, detectors and annotators.

`read_mot` reads the forms of `recording.mot_forms`; it is the only reader of such text. `mot_lines` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recording.errors import RecordingError
from recording.mot_forms import IGNORED_REGION, UNKNOWN, Complaint, Form, Table, form_of, names_columns, normal_columns
from recording.rows import Ids
from recording.text_table import read_table

_LAST_FRAME = 10_000_000
"""Eleven days at 10 Hz. A larger number is a mistake, and would create that many entries."""
_LARGEST_ID = 2**53
_LARGEST_CLASS = 2**15 - 1
_NAMED_DUPLICATES = 3
_LARGEST_SHARE = 1.5
"""Of boxes in shares of the picture that reach beyond it."""
_FEWEST_CORNERS = 10
"""With fewer boxes, all may happen to be near the left upper corner of the picture."""
_STEADY = 0.25
"""Sizes change much less than sizes minus positions if objects move: less than this part of the variance."""


@dataclass(frozen=True)
class MotRows:
    """The `N` boxes of a file, in the order of its lines."""

    form: Form
    frame: Ids
    """`(N,)` int64: frame number, not below the first frame's."""
    object_id: Ids
    """`(N,)` int64, 0 or greater; -1 for all detections and for regions."""
    box_ltwh: npt.NDArray[np.float64]
    """`(N, 4)` float64: left, top, width and height, pixels."""
    confidence: npt.NDArray[np.float32]
    """`(N,)` float32; 1 if the column is missing or -1. Of ground truth it is a flag: 0 means that a box does not
    count."""
    class_id: npt.NDArray[np.int16]
    """`(N,)` int16; 0 if it is unknown."""
    has_class: npt.NDArray[np.bool_]
    """`(N,)` bool: the class is known."""
    visibility: npt.NDArray[np.float64]
    """`(N,)` float64 in [0, 1]; -1 if it is unknown."""
    is_region: npt.NDArray[np.bool_]
    """`(N,)` bool: no object, but a part of the picture in which nothing was annotated."""
    camera: Ids
    """`(N,)` int64: number of the camera; -1 in forms with a file per camera."""
    line: Ids
    """`(N,)` int64: line number, from 1."""

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> MotRows:
        """The given rows, by index or mask."""
        return MotRows(
            self.form, *(getattr(self, column.name)[rows] for column in fields(self) if column.name != "form")
        )

    @property
    def box_xyxy(self) -> npt.NDArray[np.float32]:
        """`(N, 4)` float32 xyxy, pixels."""
        corners = self.box_ltwh.copy()
        corners[:, 2:] += corners[:, :2]
        return corners.astype(np.float32)


def read_mot(path: Path, *, detections: bool = False, first_frame: int | None = 1, form: Form | None = None) -> MotRows:
    """Read a file whose lines may be in any order.

    With `detections`, ids are ignored and empty boxes are allowed; the tracker ignores them. Without `first_frame`,
    frames may count from 0 or from 1; `recording.first_frame` decides. Without `form`, the content decides.

    Raises:
        RecordingError: the file cannot be read, its form is not clear, or a line is invalid; the message names the
            line. Without `detections` also if a box is empty, or an id occurs twice in a frame.
    """
    table = read_table(path)
    found = form_of(path, table, form)
    columns, complaints = normal_columns(table, found)
    lines = np.array(table.lines, np.int64)
    is_region = (columns[:, 6] == 0) & (columns[:, 7] == IGNORED_REGION) & (found == "visdrone")
    complaints = [*_complaints(columns, is_region, with_ids=not detections, first_frame=first_frame or 0), *complaints]
    _refuse_first(path, lines, complaints)
    is_given = form is not None or any(map(names_columns, table.headers))
    _refuse_other_boxes(path, lines[~is_region], columns[~is_region, 2:6], may_be_corners=not is_given)
    has_class = columns[:, 7] != UNKNOWN
    rows = MotRows(
        form=found,
        frame=columns[:, 0].astype(np.int64),
        object_id=np.where(is_region | detections, -1, columns[:, 1]).astype(np.int64),
        box_ltwh=columns[:, 2:6],
        confidence=np.where(columns[:, 6] == UNKNOWN, 1, columns[:, 6]).astype(np.float32),
        class_id=np.where(has_class, columns[:, 7], 0).astype(np.int16),
        has_class=has_class,
        visibility=columns[:, 8],
        is_region=is_region,
        camera=columns[:, 9].astype(np.int64),
        line=lines,
    )
    if not detections:
        _refuse_duplicates(path, rows)
    return rows


def _complaints(
    columns: Table, is_region: npt.NDArray[np.bool_], *, with_ids: bool, first_frame: int
) -> Iterator[Complaint]:
    """What is wrong in all forms, in the order in which it is reported of one line."""
    frames, ids, classes = columns[:, 0], columns[:, 1], columns[:, 7]
    yield np.logical_not(np.isfinite(columns[:, :7]).all(axis=1)), lambda _: "a number is not finite"
    yield (
        (frames != np.floor(frames)) | (frames < first_frame) | (frames > _LAST_FRAME),
        lambda row: (
            f"frame {frames[row]:.15g} is not a whole number from {first_frame} to {_LAST_FRAME:,}"
            + ("; if frames count from 0, say so with --first-frame 0" if frames[row] == 0 else "")
        ),
    )
    if with_ids:
        yield (
            ((ids != np.floor(ids)) | (ids < 0) | (ids > _LARGEST_ID)) & ~is_region,
            lambda row: f"id {ids[row]:.17g} is not a whole number of 0 or more",
        )
        yield (
            (columns[:, 4] <= 0) | (columns[:, 5] <= 0),
            lambda row: f"the box is {columns[row, 4]:.15g} wide and {columns[row, 5]:.15g} high; both must be above 0",
        )
    yield (
        (classes != UNKNOWN) & ~((classes >= 0) & (classes <= _LARGEST_CLASS) & (classes == np.floor(classes))),
        lambda row: f"class {classes[row]:.15g} is not a whole number from 0 to {_LARGEST_CLASS}",
    )


def _refuse_first(path: Path, lines: Ids, complaints: Iterable[Complaint]) -> None:
    """Raise RecordingError for the first line that has a complaint."""
    first: tuple[int, str] | None = None
    for wrong, reason in complaints:
        if wrong.any() and (first is None or int(wrong.argmax()) < first[0]):
            row = int(wrong.argmax())
            first = row, reason(row)
    if first is not None:
        raise RecordingError(path, f"line {lines[first[0]]}: {first[1]}")


def _refuse_other_boxes(path: Path, lines: Ids, boxes: Table, *, may_be_corners: bool) -> None:
    """Refuse boxes, `(n, 4)` as written, that are hardly left, top, width and height in pixels."""
    if not len(boxes):
        return
    is_small = boxes[:, 2:].max() <= 1 and np.abs(boxes[:, :2]).max() <= _LARGEST_SHARE
    if is_small and (boxes != np.floor(boxes)).any():
        raise RecordingError(
            path,
            f"line {lines[0]}: no box of the file is larger than a pixel; if they are in shares of the picture, "
            "multiply them by its width and height",
        )
    if may_be_corners and len(boxes) >= _FEWEST_CORNERS and _may_be_corners(boxes):
        raise RecordingError(
            path,
            f"line {lines[0]}: in all lines, width and height are larger than left and top, so they may be right and "
            "bottom. If so, subtract left and top from them; if not, give the format with --format",
        )


def _may_be_corners(boxes: Table) -> bool:
    """Whether `(n, 4)` boxes may have right and bottom in place of width and height."""
    sizes, differences = boxes[:, 2:], boxes[:, 2:] - boxes[:, :2]
    return bool((differences > 0).all() and sizes.var(axis=0).sum() >= _STEADY * differences.var(axis=0).sum())


def _refuse_duplicates(path: Path, rows: MotRows) -> None:
    objects = np.flatnonzero(~rows.is_region)
    order = objects[np.lexsort([key[objects] for key in (rows.line, rows.object_id, rows.frame, rows.camera)])]
    same = np.logical_and.reduce([np.diff(key[order]) == 0 for key in (rows.object_id, rows.frame, rows.camera)])
    seconds = np.sort(order[1:][same])
    if not len(seconds):
        return
    first_of = dict(zip(order[1:].tolist(), order[:-1].tolist(), strict=True))
    named = [
        f"id {rows.object_id[row]} occurs twice in frame {rows.frame[row]}, in lines {rows.line[first_of[row]]} and "
        f"{rows.line[row]}"
        for row in seconds[:_NAMED_DUPLICATES].tolist()
    ]
    more = len(seconds) - len(named)
    raise RecordingError(path, "; ".join(named) + (f"; and {more} more" if more else ""))


def read_features(path: Path, rows: int) -> npt.NDArray[np.float16]:
    """Read embeddings from a `.npy` file and scale them to unit norm.

    Returns:
        `(rows, D)` float16, unit norm; a zero row stays zero and means no embedding.

    Raises:
        RecordingError: the file is not a float array of `rows` rows, or a number is not finite.
    """
    try:
        features = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise RecordingError(path, "there is no such file; check the path") from None
    except (OSError, ValueError, EOFError) as error:
        raise RecordingError(path, f"is not a .npy file ({error})") from None
    if not isinstance(features, np.ndarray) or features.ndim != 2 or not np.issubdtype(features.dtype, np.floating):
        shape = getattr(features, "shape", None)
        raise RecordingError(path, f"expected floats of shape (rows, D), got {getattr(features, 'dtype', '?')} {shape}")
    if len(features) != rows:
        raise RecordingError(path, f"{len(features)} rows, but the text has {rows} boxes; one row per box is required")
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise RecordingError(path, f"{len(bad)} rows have numbers that are not finite, the first is row {bad[0] + 1}")
    wide = features.astype(np.float32)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(norms > 0, norms, 1)).astype(np.float16)


def mot_lines(
    frame: Ids, object_id: Ids, box_xyxy: npt.NDArray[np.float32], confidence: npt.NDArray[np.float32]
) -> Iterator[str]:
    """Format boxes as MOTChallenge results, `frame,id,left,top,width,height,conf,-1,-1,-1`, in the order given.

    `frame` and `object_id` are `(N,)` int64, `box_xyxy` is `(N, 4)` float32 in pixels, `confidence` `(N,)` float32.
    """
    corners = box_xyxy.astype(np.float64)
    for one in zip(
        frame.tolist(), object_id.tolist(), corners[:, :2].tolist(), (corners[:, 2:] - corners[:, :2]).tolist(),
        confidence.tolist(), strict=True,
    ):  # fmt: skip
        number, identity, (left, top), (width, height), score = one
        box = ",".join(map(plain, (left, top, width, height)))
        yield f"{number},{identity},{box},{score:.4g},-1,-1,-1"


def plain(pixels: float) -> str:
    """Format with at most three decimals, the precision of float32 in a large frame."""
    text = f"{pixels:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write a text file atomically; returns the number of lines.

    Raises:
        RecordingError: the file cannot be written.
    """
    draft = path.with_name(path.name + ".new")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
        draft.replace(path)
    except OSError as error:
        raise RecordingError(path, f"cannot be written ({error.strerror})") from None
    return count
