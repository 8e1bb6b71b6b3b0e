"""Reads ground truth in MOTChallenge format: one file per camera, with ids that are global across cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.errors import MtmcError

_LEAST_COLUMNS = 6
_FLAG, _CLASS, _VISIBILITY = 6, 7, 8
_UNKNOWN = -1.0
"""MOTChallenge's value for unknown; a box whose flag, class or visibility is unknown is not excluded."""


class TruthError(MtmcError):
    """Ground truth is missing or invalid; the message names the file and line."""


@dataclass(frozen=True)
class TruthRules:
    """Which true boxes count and which are ignored.

    A counted box must be found. Missing an ignored box is not an error, and neither is matching it.

    The defaults are those of this project's scores; `MOT17` has those of the MOTChallenge benchmark.
    """

    min_visibility: float = 0.4
    """Boxes with a lower visibility (last column, 0 to 1) are ignored."""
    min_height_px: float = 20.0
    """Boxes with a smaller height are ignored."""
    counted_classes: frozenset[int] | None = None
    """None: all."""
    ignored_classes: frozenset[int] | None = None
    """None: all that are not counted. Boxes of other classes need not be found, but matching them is an error."""


OUR_RULES = TruthRules()
MOT17 = TruthRules(0.0, 0.0, frozenset({1}), frozenset({2, 7, 8, 12}))
"""As in MOTChallenge, pedestrians count; people on vehicles, static people, distractors and reflections are ignored
(Milan et al., "MOT16: A Benchmark for Multi-Object Tracking", 2016, and TrackEval's `MotChallenge2DBox`)."""


@dataclass(frozen=True)
class CameraTruth:
    """The true boxes of one camera, sorted by frame and identity."""

    frames: npt.NDArray[np.int64]
    """`(n,)` int64: frame numbers of the source, from 1."""
    identities: npt.NDArray[np.int64]
    """`(n,)` int64, the same for an object in all cameras."""
    boxes_xyxy: npt.NDArray[np.float64]
    """`(n, 4)` float64, pixels of the source frame."""
    counted: npt.NDArray[np.bool_]
    """`(n,)` bool: the box must be found."""
    ignored: npt.NDArray[np.bool_]
    """`(n,)` bool: neither missing nor matching the box is an error."""

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def empty(cls) -> CameraTruth:
        """The truth of a camera without any objects."""
        none, nothing = np.zeros(0, np.int64), np.zeros(0, np.bool_)
        return cls(none, none, np.zeros((0, 4)), nothing, nothing)

    def rows_of(self, frame: int) -> slice:
        """The slice of rows with the given frame number."""
        first, last = np.searchsorted(self.frames, (frame, frame + 1))
        return slice(int(first), int(last))


def read_truth(folder: Path, cameras: Sequence[str], rules: TruthRules = OUR_RULES) -> dict[str, CameraTruth]:
    """Read the ground truth of all cameras from `folder`.

    The file of a camera is `{camera}.txt`, `{camera}/gt.txt` or `{camera}/gt/gt.txt`.

    Raises:
        TruthError: the file of a camera is missing or invalid.
    """
    if not folder.is_dir():
        raise TruthError(f"{folder}: no such folder; ground truth is a folder with one file per camera, {{camera}}.txt")
    paths = {camera: _path_of(folder, camera) for camera in cameras}
    missing = [camera for camera, path in paths.items() if path is None]
    if missing:
        raise TruthError(
            f"{folder}: no ground truth for {', '.join(missing)}; expected {missing[0]}.txt or {missing[0]}/gt.txt"
        )
    return {camera: read_camera_truth(path, rules) for camera, path in paths.items() if path is not None}


def _path_of(folder: Path, camera: str) -> Path | None:
    candidates = (folder / f"{camera}.txt", folder / camera / "gt.txt", folder / camera / "gt" / "gt.txt")
    return next((path for path in candidates if path.is_file()), None)


def read_camera_truth(path: Path, rules: TruthRules = OUR_RULES) -> CameraTruth:
    """Read lines `frame,id,left,top,width,height[,flag[,class[,visibility]]]`, separated by commas or spaces.

    Raises:
        TruthError: a line is invalid, or an id occurs twice in a frame; the message names the line.
    """
    lines, rows = _numbers(path)
    if not len(rows):
        return CameraTruth.empty()
    frames, identities = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    order = np.lexsort((identities, frames))
    twice = np.flatnonzero((np.diff(frames[order]) == 0) & (np.diff(identities[order]) == 0))
    if len(twice):
        row = order[twice[0] + 1]
        raise TruthError(f"{path}, line {lines[row]}: id {identities[row]} occurs twice in frame {frames[row]}")
    rows, frames, identities = rows[order], frames[order], identities[order]
    counted, ignored = _judged(rows, rules)
    boxes = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
    return CameraTruth(frames, identities, boxes, counted, ignored)


def _judged(rows: npt.NDArray[np.float64], rules: TruthRules) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which rows are counted, and which are ignored: two arrays, `(n,)` bool."""
    classes, visibilities = rows[:, _CLASS], rows[:, _VISIBILITY]
    counted = (rows[:, _FLAG] != 0.0) & (rows[:, 5] >= rules.min_height_px)
    counted &= (visibilities >= rules.min_visibility) | (visibilities == _UNKNOWN)
    if rules.counted_classes is not None:
        counted &= np.isin(classes, [*rules.counted_classes, _UNKNOWN])
    if rules.ignored_classes is None:
        return counted, ~counted
    return counted, ~counted & np.isin(classes, list(rules.ignored_classes))


def _numbers(path: Path) -> tuple[list[int], npt.NDArray[np.float64]]:
    """Line numbers, and the values as `(n, 9)` float64; missing columns are `_UNKNOWN`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TruthError(f"{path}: cannot be read ({error})") from None
    lines, rows = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        lines.append(number)
        rows.append(_row(path, number, words))
    return lines, np.array(rows, np.float64).reshape(-1, _VISIBILITY + 1)


def _row(path: Path, number: int, words: Sequence[str]) -> list[float]:
    where = f"{path}, line {number}"
    if len(words) < _LEAST_COLUMNS:
        raise TruthError(f"{where}: {len(words)} columns; expected frame,id,left,top,width,height,…")
    try:
        values = [float(word) for word in words[: _VISIBILITY + 1]]
    except ValueError as error:
        raise TruthError(f"{where}: {error}; expected numbers") from None
    if not np.isfinite(values).all():
        raise TruthError(f"{where}: a number is not finite")
    if values[0] != int(values[0]) or values[0] < 1:
        raise TruthError(f"{where}: frame {words[0]} is not a whole number of 1 or more")
    if values[1] != int(values[1]) or values[1] < 0:
        raise TruthError(f"{where}: id {words[1]} is not a whole number of 0 or more")
    if values[4] <= 0 or values[5] <= 0:
        raise TruthError(f"{where}: the box is {words[4]} wide and {words[5]} high; both must be above 0")
    return values + [_UNKNOWN] * (_VISIBILITY + 1 - len(values))


def identities_of(truth: Mapping[str, CameraTruth]) -> npt.NDArray[np.int64]:
    """All identities of all cameras: `(k,)` int64, sorted, unique."""
    parts = [camera.identities for camera in truth.values()]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
