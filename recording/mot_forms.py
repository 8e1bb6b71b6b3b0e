"""The forms of text with one box per line, and how a file is recognised as one of them.

A file has one form. It is recognised by all its lines, and refused if two readings are possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from recording.errors import RecordingError
from recording.text_table import Header, TextTable

Form = Literal["mot", "mot15", "visdrone", "cityflow"]
"""`mot`: MOT16, MOT17, MOT20 and results, up to nine columns. `mot15`: 2D MOT 2015 and results of ten columns, the last
three are world coordinates. `visdrone`: VisDrone-MOT. `cityflow`: AI City Challenge, several cameras in one file."""
FORMS: tuple[Form, ...] = get_args(Form)
COLUMNS: dict[Form, str] = {
    "mot": "frame,id,left,top,width,height[,flag or confidence[,class[,visibility]]]",
    "mot15": "frame,id,left,top,width,height,confidence,x,y,z",
    "visdrone": "frame,id,left,top,width,height,score,category,truncation,occlusion",
    "cityflow": "camera_id,obj_id,frame,left,top,width,height,xworld,yworld",
}
UNKNOWN = -1.0
"""MOTChallenge's value for unknown."""
FEWEST, MOST = 6, 10
_TEN, _CITYFLOW = 10, 9
_LARGEST_CAMERA = 10**9
IGNORED_REGION, OTHERS = 0, 11
"""Categories of VisDrone: a region without annotations, and objects of no category. Objects have 1 to 10."""
_TRUNCATIONS, _OCCLUSIONS = (UNKNOWN, 0, 1), (UNKNOWN, 0, 1, 2)

_BOX = (
    "frame frameid frameno framenumber frameindex frameidx fn",
    "id trackid targetid objid objectid identity identityid personid tid track",
    "left bbleft bboxleft boxleft xmin minx x x1 x0 l bbx bboxx",
    "top bbtop bboxtop boxtop ymin miny y y1 y0 t bby bboxy",
    "width bbwidth bboxwidth boxwidth w bbw bboxw",
    "height bbheight bboxheight boxheight h bbh bboxh",
)
_CAMERA = "camera cameraid cam camid"
_FLAG = "flag conf confidence score consider considered notignored valid active"
_CLASS = "class classid cls category categoryid objectcategory type objecttype label"
_VISIBILITY = "visibility vis visible visibilityratio"
_WORLD = tuple(f"{axis} {axis}world world{axis}" for axis in "xyz")
_HEADERS: tuple[tuple[Form, tuple[str, ...]], ...] = (
    ("mot", (*_BOX, _FLAG, _CLASS, _VISIBILITY)),
    ("mot15", (*_BOX, _FLAG, *_WORLD)),
    ("visdrone", (*_BOX, _FLAG, _CLASS, "truncation truncated", "occlusion occluded")),
    ("cityflow", (_CAMERA, _BOX[1], _BOX[0], *_BOX[2:], *_WORLD[:2])),
)
"""The names of each column, in lower case and without other characters."""
_KNOWN = frozenset(name for _, columns in _HEADERS for names in columns for name in names.split())
_NAMES_OF_A_HEADER = 4
"""A comment with fewer names of columns is text."""

Table = npt.NDArray[np.float64]


def form_of(path: Path, table: TextTable, given: Form | None) -> Form:
    """The form of a file: `given`, or else what its header and all its numbers say.

    Raises:
        RecordingError: a line has a number of columns that the form does not have, or two forms are possible.
    """
    form, named = given, 0
    for header in table.headers:
        if names_columns(header):
            form, named = _named_form(path, header, form), len(header.names)
    for line, row in zip(table.lines, table.rows, strict=True):
        _check_count(path, line, len(row), form, named)
    if form is not None:
        return form
    ten = _of_length(table, _TEN)
    if len(ten):
        form = _form_of_ten(path, ten, table)
        _refuse_other_lengths(path, form, table)
        return form
    if table.rows and all(len(row) == _CITYFLOW for row in table.rows):
        return _form_of_nine(path, _of_length(table, _CITYFLOW), table.lines[0])
    return "mot"


def names_columns(header: Header) -> bool:
    """Whether a line without numbers names the columns; a comment may also say something else."""
    return not header.is_comment or sum(_plain(name) in _KNOWN for name in header.names) >= _NAMES_OF_A_HEADER


def _check_count(path: Path, line: int, count: int, form: Form | None, named: int) -> None:
    exact = {"visdrone": _TEN, "cityflow": _CITYFLOW}.get(form or "")
    if count < FEWEST:
        raise RecordingError(
            path, f"line {line}: {count} columns; at least frame,id,left,top,width,height are required"
        )
    if exact is not None and count != exact:
        assert form is not None
        raise RecordingError(path, f"line {line}: {count} columns; the format {form} has {exact}: {COLUMNS[form]}")
    if named and count > named:
        raise RecordingError(path, f"line {line}: {count} columns, but the header names {named}")
    if count > MOST:
        raise RecordingError(
            path,
            f"line {line}: {count} columns; no known format has more than {MOST}. The formats are "
            + "; ".join(f"{name}: {columns}" for name, columns in COLUMNS.items()),
        )


def _refuse_other_lengths(path: Path, form: Form, table: TextTable) -> None:
    """Refuse a file in which only some lines have the eighth column of `form`."""
    for line, row in zip(table.lines, table.rows, strict=True):
        if form != "mot" and len(row) in (8, 9):
            raise RecordingError(
                path,
                f"line {line}: {len(row)} columns, but other lines have {_TEN} and read as {form} ({COLUMNS[form]}); "
                "write all lines in one format, or say which one they have with --format",
            )


def _of_length(table: TextTable, columns: int) -> Table:
    return np.array([row for row in table.rows if len(row) == columns], np.float64).reshape(-1, columns)


def _named_form(path: Path, header: Header, given: Form | None) -> Form | None:
    """The form that a header names; None if it has only columns that several forms begin with."""
    names = [_plain(name) for name in header.names]
    if len(names) >= FEWEST:
        fitting = [
            form
            for form, columns in _HEADERS
            if len(names) <= len(columns)
            and all(name in known.split() for name, known in zip(names, columns, strict=False))
        ]
        if given in fitting:
            return given
        if given is None and fitting:
            return fitting[0] if len(fitting) == 1 else None
    wanted = [f"{form}: {COLUMNS[form]}" for form in (FORMS if given is None else (given,))]
    raise RecordingError(
        path,
        f"line {header.line}: the header {','.join(header.names)} has no known order of columns. Put them into the "
        f"order of one of these formats, or remove the header if they have it: {'; '.join(wanted)}",
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _form_of_nine(path: Path, rows: Table, line: int) -> Form:
    """MOT17's flag, class and visibility, or the box's height and world coordinates of AI City."""
    flags, classes, visibilities = rows[:, 6], rows[:, 7], rows[:, 8]
    has_classes = _is_whole(classes, UNKNOWN)
    in_range = _is_share(flags) & _is_share(visibilities) & has_classes
    if in_range.all():
        return "mot"
    numbers = _is_whole(rows[:, 0], 0) & _is_whole(rows[:, 1], 0) & _is_whole(rows[:, 2], 0)
    if not (numbers & (rows[:, 5] > 0) & (flags > 1)).all():
        return "mot"  # With a value that is wrong there; the reader says in which line.
    looks_like_results = (_is_share(visibilities) & has_classes).all()
    if looks_like_results and len(np.unique(rows[:, :2], axis=0)) == len(rows):
        raise RecordingError(
            path,
            f"line {line}: nine columns that can be read in two ways: column 7 ({flags[0]:.15g}) is a confidence (mot) "
            f"or a height (cityflow). Say which with --format: {_choice('mot', 'cityflow')}",
        )
    return "cityflow"


def _form_of_ten(path: Path, rows: Table, table: TextTable) -> Form:
    """VisDrone's category, truncation and occlusion, or MOTChallenge's world coordinates."""
    scores, categories, ninth, tenth = rows[:, 6], rows[:, 7], rows[:, 8], rows[:, 9]
    is_category = _is_whole(categories, 0) & (categories <= OTHERS) & ((categories != IGNORED_REGION) | (scores == 0))
    if (is_category & np.isin(ninth, (0, 1)) & np.isin(tenth, _OCCLUSIONS[1:])).all():
        return "visdrone"
    if ((ninth == UNKNOWN) & (tenth == UNKNOWN) & _is_whole(categories, UNKNOWN)).all():
        return "mot"  # Results with a class, as VisDrone's and those of many trackers; without one, all forms agree.
    if not (_is_share(ninth) & _is_whole(categories, UNKNOWN)).all() or not rows[:, 7:9].any():
        return "mot15"
    line = next(line for line, row in zip(table.lines, table.rows, strict=True) if len(row) == _TEN)
    raise RecordingError(
        path,
        f"line {line}: ten columns that can be read in two ways: column 9 ({ninth[0]:.15g}) is a visibility (mot, with "
        f"one more column) or a world coordinate (mot15). Say which with --format: {_choice('mot', 'mot15')}",
    )


def _choice(*forms: Form) -> str:
    return "; ".join(f"{form} is {COLUMNS[form]}" for form in forms)


def _is_share(values: Table) -> npt.NDArray[np.bool_]:
    return ((values >= 0) & (values <= 1)) | (values == UNKNOWN)


def _is_whole(values: Table, least: float) -> npt.NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return (values >= least) & (values == np.floor(values))


Complaint = tuple[npt.NDArray[np.bool_], Callable[[int], str]]
"""Which rows are wrong, and the reason for a row."""


def normal_columns(table: TextTable, form: Form) -> tuple[Table, list[Complaint]]:
    """All rows in the order frame, id, left, top, width, height, confidence, class, visibility, camera: `(n, 10)`.

    What is missing is `UNKNOWN`. The complaints name values that the form does not have.
    """
    rows = np.full((len(table.rows), MOST), UNKNOWN)
    for row, values in zip(rows, table.rows, strict=True):
        row[: len(values)] = values
    written = rows.copy()
    if form == "cityflow":
        rows[:, :6] = written[:, [2, 1, 3, 4, 5, 6]]
        rows[:, 6:9] = UNKNOWN
        rows[:, 9] = written[:, 0]
        is_number = _is_whole(rows[:, 9], 0) & (rows[:, 9] <= _LARGEST_CAMERA)
        return rows, [(~is_number, lambda row: f"camera_id {rows[row, 9]:.15g} is not a whole number of 0 or more")]
    rows[:, 9] = UNKNOWN
    if form == "mot15":
        rows[:, 7:9] = UNKNOWN
    if form == "visdrone":
        rows[:, 8] = UNKNOWN
        return rows, [
            (written[:, 7] > OTHERS, lambda row: f"category {written[row, 7]:.15g} is not one of VisDrone, 0 to 11"),
            (
                ~np.isin(written[:, 8], _TRUNCATIONS),
                lambda row: f"truncation {written[row, 8]:.15g} is not one of VisDrone, 0 or 1",
            ),
            (
                ~np.isin(written[:, 9], _OCCLUSIONS),
                lambda row: f"occlusion {written[row, 9]:.15g} is not one of VisDrone, 0 to 2",
            ),
        ]
    return rows, [
        (
            ~_is_share(rows[:, 8]),
            lambda row: (
                f"visibility {rows[row, 8]:.15g} is not between 0 and 1; if the columns have another meaning, say "
                "which with --format"
            ),
        )
    ]
