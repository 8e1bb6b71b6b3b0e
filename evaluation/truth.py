"""Ground truth: the true boxes of each camera, with ids that are global across cameras, and which of them count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recording.camera_texts import read_camera_texts
from recording.errors import RecordingError
from recording.mot_forms import COLUMNS, OTHERS, UNKNOWN, Form
from recording.mot_text import MotRows
from shared.errors import MtmcError


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


def _nothing() -> IgnoredRegions:
    return IgnoredRegions(np.zeros(0, np.int64), np.zeros((0, 4)))


@dataclass(frozen=True)
class IgnoredRegions:
    """Parts of the pictures of one camera in which nothing was annotated, sorted by frame.

    A published box that shows no true object, and lies in a region with more than half of its area, is left out.
    """

    frames: npt.NDArray[np.int64]
    """`(m,)` int64: frame numbers of the source, from 1."""
    boxes_xyxy: npt.NDArray[np.float64]
    """`(m, 4)` float64, pixels of the source frame."""

    def at(self, frame: int) -> npt.NDArray[np.float64]:
        """The regions in the given frame, `(k, 4)` float64 xyxy."""
        first, last = np.searchsorted(self.frames, (frame, frame + 1))
        return self.boxes_xyxy[first:last]


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
    regions: IgnoredRegions = field(default_factory=_nothing)

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


def ignore_note(_: str) -> None:
    """For callers that tell nobody."""


def read_truth(
    folder: Path,
    cameras: Sequence[str],
    rules: TruthRules = OUR_RULES,
    *,
    form: Form | None = None,
    first_frame: int | None = None,
    note: Callable[[str], None] = ignore_note,
) -> dict[str, CameraTruth]:
    """Read the ground truth of all cameras from `folder`.

    The file of a camera is `{camera}.txt`, `{camera}/gt.txt` or `{camera}/gt/gt.txt`. Instead of a folder, it may be
    one file of the AI City Challenge with all cameras, or the file of the only camera. Without `form` and
    `first_frame`, the files decide; `note` gets what was decided.

    Raises:
        TruthError: the file of a camera is missing or invalid, or it is not clear how to read it.
    """
    paths = _paths(folder, cameras)
    try:
        texts = read_camera_texts(paths, form=form, first_frame=first_frame)
    except RecordingError as error:
        raise _truth_error(error) from None
    if folder.is_file() and len(cameras) > 1 and any(rows.form != "cityflow" for rows in texts.rows.values()):
        raise TruthError(
            f"{folder}: is a file, but not one with all cameras ({COLUMNS['cityflow']}); give a folder with one file "
            "per camera"
        )
    truth = {camera: _judged_rows(paths[camera], rows, texts.first_frame, rules) for camera, rows in texts.rows.items()}
    if texts.first_frame_found:
        note(f"{folder}: frames count from 0, as a file has a frame 0")
    for form_found in sorted({rows.form for rows in texts.rows.values() if len(rows)} - {"mot"}):
        if form is None:
            note(f"{folder}: read as {form_found} ({COLUMNS[form_found]})")
    if any(len(own) for own in truth.values()) and not any(own.counted.any() for own in truth.values()):
        camera = next(camera for camera, own in truth.items() if len(own))
        raise TruthError(
            f"{paths[camera]}: no box counts, here or in another camera ({_why_ignored(texts.rows[camera], rules)}); "
            "is the text in another format? --format says which one"
        )
    for camera, own in truth.items():
        if len(own) and not own.counted.any():
            note(f"{paths[camera]}: no box counts ({_why_ignored(texts.rows[camera], rules)})")
    return truth


def _paths(folder: Path, cameras: Sequence[str]) -> dict[str, Path]:
    """The file of each camera."""
    if folder.is_file():
        return dict.fromkeys(cameras, folder)
    if not folder.is_dir():
        raise TruthError(f"{folder}: no such folder; ground truth is a folder with one file per camera, {{camera}}.txt")
    found = {camera: _paths_of(folder, camera) for camera in cameras}
    missing = [camera for camera, paths in found.items() if not paths]
    if missing:
        raise TruthError(
            f"{folder}: no ground truth for {', '.join(missing)}; expected {missing[0]}.txt or {missing[0]}/gt.txt"
        )
    for camera, paths in found.items():
        if len(paths) > 1:
            names = " and ".join(str(path.relative_to(folder)) for path in paths)
            raise TruthError(f"{folder}: camera {camera} has two files, {names}; keep the one that is meant")
    return {camera: paths[0] for camera, paths in found.items()}


def _paths_of(folder: Path, camera: str) -> list[Path]:
    candidates = (folder / f"{camera}.txt", folder / camera / "gt.txt", folder / camera / "gt" / "gt.txt")
    return [path for path in candidates if path.is_file()]


def read_camera_truth(path: Path, rules: TruthRules = OUR_RULES, *, form: Form | None = None) -> CameraTruth:
    """Read the file of one camera, in one of the forms of `recording.mot_forms`.

    Raises:
        TruthError: a line is invalid, or an id occurs twice in a frame; the message names the line.
    """
    try:
        texts = read_camera_texts({path.stem: path}, form=form)
    except RecordingError as error:
        raise _truth_error(error) from None
    return _judged_rows(path, texts.rows[path.stem], texts.first_frame, rules)


def _truth_error(error: RecordingError) -> TruthError:
    if error.reason.startswith("line "):
        return TruthError(f"{error.path}, {error.reason}")
    return TruthError(str(error))


def _judged_rows(path: Path, rows: MotRows, first_frame: int, rules: TruthRules) -> CameraTruth:
    wrong = np.flatnonzero(~np.isin(rows.confidence, (0, 1)))
    if len(wrong):
        raise TruthError(
            f"{path}, line {rows.line[wrong[0]]}: flag {rows.confidence[wrong[0]]:.6g} is neither 0 nor 1; in ground "
            "truth, column 7 says whether a box counts. Are these results, with a confidence?"
        )
    rows = rows.select(np.lexsort((rows.object_id, rows.frame)))
    frames = rows.frame + (1 - first_frame)
    corners = np.concatenate([rows.box_ltwh[:, :2], rows.box_ltwh[:, :2] + rows.box_ltwh[:, 2:]], axis=1)
    objects = ~rows.is_region
    counted, ignored = _judged(rows.select(objects), rules)
    return CameraTruth(
        frames[objects],
        rows.object_id[objects],
        corners[objects],
        counted,
        ignored,
        IgnoredRegions(frames[rows.is_region], corners[rows.is_region]),
    )


def _judged(rows: MotRows, rules: TruthRules) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which rows are counted, and which are ignored: two arrays, `(n,)` bool."""
    counted = ~np.logical_or.reduce(list(_exclusions(rows, rules).values()))
    if rules.counted_classes is not None:
        counted &= np.isin(rows.class_id, list(rules.counted_classes)) | ~rows.has_class
    if rules.ignored_classes is None:
        return counted, ~counted
    return counted, ~counted & rows.has_class & np.isin(rows.class_id, list(rules.ignored_classes))


def _exclusions(rows: MotRows, rules: TruthRules) -> dict[str, npt.NDArray[np.bool_]]:
    """Reason → the rows, `(n,)` bool, that do not count for it."""
    return {
        "flag 0": rows.confidence == 0,
        f"lower than {rules.min_height_px:g} pixels": rows.box_ltwh[:, 3] < rules.min_height_px,
        f"visibility below {rules.min_visibility:g}": (
            (rows.visibility < rules.min_visibility) & (rows.visibility != UNKNOWN)
        ),
        "category 11": (rows.class_id == OTHERS) & (rows.form == "visdrone"),
    }


def _why_ignored(rows: MotRows, rules: TruthRules) -> str:
    counts = {reason: int(of.sum()) for reason, of in _exclusions(rows.select(~rows.is_region), rules).items()}
    return ", ".join(f"{reason}: {count}" for reason, count in counts.items() if count) or "other classes"


def identities_of(truth: Mapping[str, CameraTruth]) -> npt.NDArray[np.int64]:
    """All identities of all cameras: `(k,)` int64, sorted, unique."""
    parts = [camera.identities for camera in truth.values()]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
