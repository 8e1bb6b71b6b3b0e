"""MOTChallenge text: one box per line, `frame,id,left,top,width,height,conf,…`, as written by trackers and detectors.

The first six columns are required. In lines with 8 or 9 columns the eighth is the class (as in `gt.txt`); in lines with
10 it is a world coordinate (as in results) and is ignored. Columns are separated by commas or spaces.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recording.errors import RecordingError
from recording.rows import Ids

_FEWEST_COLUMNS = 6
_COLUMNS_WITH_CLASS = (8, 9)
_LAST_FRAME = 10_000_000
"""Eleven days at 10 Hz. A larger number is a mistake, and would create that many entries."""
_LARGEST_ID = 2**53
_LARGEST_CLASS = 2**15 - 1
_NAMED_DUPLICATES = 3


@dataclass(frozen=True)
class MotRows:
    """The `N` boxes of a file, in the order of its lines."""

    frame: Ids
    """`(N,)` int64: frame number, not below the first frame's."""
    object_id: Ids
    """`(N,)` int64, 0 or greater; -1 for all detections."""
    box_ltwh: npt.NDArray[np.float64]
    """`(N, 4)` float64: left, top, width and height, pixels."""
    confidence: npt.NDArray[np.float32]
    """`(N,)` float32; 1 if the column is missing or -1."""
    class_id: npt.NDArray[np.int16]
    """`(N,)` int16; 0 if the column is missing or -1."""
    line: Ids
    """`(N,)` int64: line number, from 1."""

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> MotRows:
        """The given rows, by index or mask."""
        return MotRows(*(column[rows] for column in vars(self).values()))

    @property
    def box_xyxy(self) -> npt.NDArray[np.float32]:
        """`(N, 4)` float32 xyxy, pixels."""
        corners = self.box_ltwh.copy()
        corners[:, 2:] += corners[:, :2]
        return corners.astype(np.float32)


def read_mot(path: Path, *, detections: bool = False, first_frame: int = 1) -> MotRows:
    """Read a file whose lines may be in any order.

    With `detections`, ids are ignored and empty boxes are allowed; the tracker ignores them.

    Raises:
        RecordingError: the file cannot be read, or a line is invalid; the message names the line. Without `detections`
            also if a box is empty, or an id occurs twice in a frame.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecordingError(path, "there is no such file; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(path, f"cannot be read as text ({error})") from None
    parsed = list(_parsed(path, text.splitlines(), with_ids=not detections, first_frame=first_frame))
    table = np.array(parsed, np.float64).reshape(-1, 9)
    rows = MotRows(
        table[:, 0].astype(np.int64),
        table[:, 1].astype(np.int64),
        table[:, 2:6],
        table[:, 6].astype(np.float32),
        table[:, 7].astype(np.int16),
        table[:, 8].astype(np.int64),
    )
    if not detections:
        _refuse_duplicates(path, rows)
    return rows


def _parsed(path: Path, lines: Iterable[str], *, with_ids: bool, first_frame: int) -> Iterator[tuple[float, ...]]:
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        if not words:
            continue

        def wrong(reason: str, number: int = number) -> RecordingError:
            return RecordingError(path, f"line {number}: {reason}")

        if len(words) < _FEWEST_COLUMNS:
            raise wrong(f"{len(words)} columns; at least frame,id,left,top,width,height are required")
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            raise wrong(f"{error}; expected frame,id,left,top,width,height,conf,…") from None
        if not all(map(math.isfinite, values[:7])):
            raise wrong("a number is not finite")
        frame, object_id, left, top, width, height = values[:6]
        if frame != int(frame) or not first_frame <= frame <= _LAST_FRAME:
            raise wrong(f"frame {words[0]} is not a whole number from {first_frame} to {_LAST_FRAME:,}")
        if with_ids:
            if object_id != int(object_id) or not 0 <= object_id <= _LARGEST_ID:
                raise wrong(f"id {words[1]} is not a whole number of 0 or more")
            if width <= 0 or height <= 0:
                raise wrong(f"the box is {words[4]} wide and {words[5]} high; both must be above 0")
        confidence = values[6] if len(values) > 6 and values[6] != -1 else 1.0
        class_id = values[7] if len(values) in _COLUMNS_WITH_CLASS and values[7] != -1 else 0
        if not 0 <= class_id <= _LARGEST_CLASS or class_id != int(class_id):
            raise wrong(f"class {words[7]} is not a whole number from 0 to {_LARGEST_CLASS}")
        yield frame, object_id if with_ids else -1, left, top, width, height, confidence, class_id, number


def _refuse_duplicates(path: Path, rows: MotRows) -> None:
    order = np.lexsort((rows.line, rows.object_id, rows.frame))
    same = (np.diff(rows.frame[order]) == 0) & (np.diff(rows.object_id[order]) == 0)
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
