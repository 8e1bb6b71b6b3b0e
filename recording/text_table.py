"""Reads lines of numbers, as trackers, annotation tools and spreadsheets write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recording.errors import RecordingError
from shared.text_file import read_text

_COMMENTS = ("#", "%", "//")
_KITTI_CLASS = {15: 0, 16: 0, 17: 2, 18: 2}
"""Columns of KITTI's labels, of detection and tracking, each without and with a score → that of the class's name."""
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Header:
    """A line without numbers before the first row; if it is a comment, it may be anything."""

    line: int
    names: tuple[str, ...]
    is_comment: bool


@dataclass(frozen=True)
class TextTable:
    """The numbers of a file; lines may differ in length."""

    rows: list[list[float]]
    lines: list[int]
    """Line number of each row, from 1."""
    headers: list[Header]


def read_table(path: Path) -> TextTable:
    """Read a file whose columns are separated by commas, semicolons, tabs or spaces.

    Blank lines and comments are skipped. Empty columns at the end of a line are left out.

    Raises:
        RecordingError: the file cannot be read; or a line has two kinds of separators, an empty column, or a word that
            is no number. The message names the line.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise RecordingError(path, "there is no such file; check the path") from None
    except UnicodeDecodeError as error:
        raise RecordingError(path, f"cannot be read as text ({error}); save it as UTF-8") from None
    except OSError as error:
        raise RecordingError(path, f"cannot be read ({error.strerror})") from None
    headers: list[Header] = []
    rows: list[list[float]] = []
    lines: list[int] = []
    for number, written in enumerate(text.split("\n"), start=1):
        line = written.replace(_BYTE_ORDER_MARK, "").strip()  # Files that were joined have marks in between.
        is_comment = line.startswith(_COMMENTS)
        words = _words(line.lstrip("#%/ \t") if is_comment else line)
        if not rows and len(words) == 1 and not is_comment:
            raise RecordingError(
                path,
                f"line {number}: '{words[0][:40]}' is a single column; separate the columns by commas, semicolons, "
                "tabs or spaces",
            )
        if not rows and words and not any(map(_is_number, words)):
            headers.append(Header(number, tuple(words), is_comment))
            continue
        if not words or is_comment:
            continue
        try:
            rows.append(_numbers(words))
        except ValueError as error:
            raise RecordingError(path, f"line {number}: {error}") from None
        lines.append(number)
    return TextTable(rows, lines, headers)


def _words(line: str) -> list[str]:
    """The columns of a line, without empty ones at its end."""
    separator = next((one for one in (";", ",", "\t") if one in line), None)
    words = [_unquoted(word.strip()) for word in line.split(separator)]
    while words and not words[-1]:
        words.pop()
    return words


def _unquoted(word: str) -> str:
    """Spreadsheets may put every value into quotation marks."""
    return word[1:-1].strip() if len(word) > 1 and word[0] == word[-1] == '"' else word


def _numbers(words: list[str]) -> list[float]:
    """The numbers of a line. Raises ValueError if a word is no number, or it is not clear what separates them."""
    for column, word in enumerate(words, start=1):
        if not word:
            raise ValueError(f"column {column} is empty; write -1 where a value is unknown")
        if "," in word or len(word.split()) > 1:
            raise ValueError(
                f"'{word}' in column {column}: the line has more than one kind of separator; separate all columns by "
                "commas, semicolons, tabs or spaces, and write decimals with a point"
            )
    try:
        return list(map(_number, words))
    except ValueError as error:
        expected = "expected frame,id,left,top,width,height,conf,…"
        name = _KITTI_CLASS.get(len(words))
        if name is not None and not _is_number(words[name]):
            expected = f"labels of KITTI are not read; {expected}"
        raise ValueError(f"{error}; {expected}") from None


def _number(word: str) -> float:
    if "_" in word:
        raise ValueError(f"could not convert string to float: '{word}'")
    return float(word)


def _is_number(word: str) -> bool:
    try:
        _number(word)
    except ValueError:
        return False
    return True
