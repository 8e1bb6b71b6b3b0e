"""The further files of an ONNX model: weights that its exporter stored beside the .onnx ("external data").

Only the skeleton of the .onnx is read, field by field, in the wire format of protocol buffers
(https://protobuf.dev/programming-guides/encoding). Weights are skipped. The numbers of the fields are those of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from shared.errors import ModelError

_Kind: TypeAlias = Literal["model", "graph", "node", "function", "training", "attribute", "sparse", "tensor"]
_HOLDS: Mapping[_Kind, Mapping[int, _Kind]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Kind of message → field → kind of the message in it; only those that lead to tensors."""
_DIMS, _DATA_TYPE, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 13, 14
_EXTERNAL = 1
_KEY, _VALUE = 1, 2
_ANY_EXTERNAL = b"location"
"""The key of an entry that every external tensor has."""
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_BITS = {
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
}
"""`TensorProto.DataType` → bits of one number."""


@dataclass(frozen=True)
class ExternalPart:
    """One of the further files of a model."""

    location: str
    """Path as the .onnx names it, relative to its folder."""
    path: Path
    """Of the file on this machine."""


@dataclass(frozen=True)
class _Reference:
    """The values of one tensor in another file."""

    tensor: str
    location: str
    offset: str
    length: str
    """Empty: `size_bytes`."""
    size_bytes: int
    """By dimensions and type; 0: unknown."""

    def end(self) -> int | None:
        """Number of bytes that the file must have; None: offset or length is not a number."""
        numbers = (self.offset or "0", self.length or str(self.size_bytes))
        if not all(text.isascii() and text.isdecimal() and len(text) < 20 for text in numbers):
            return None
        return sum(map(int, numbers))


def external_parts(path: Path) -> tuple[ExternalPart, ...]:
    """The further files of the ONNX model in `path`, sorted by location; none if there is no ONNX model in `path`.

    Raises:
        ModelError: a part is missing, is shorter than the model says, lies outside of the model's folder, or cannot be
            read; or the file itself cannot be read.
    """
    parts: dict[str, ExternalPart] = {}
    needed: dict[str, int] = {}
    for reference in _references(path):
        location, end = reference.location, reference.end()
        if location not in parts:
            parts[location] = ExternalPart(location, _file_of(path, reference))
        if end is None:
            raise ModelError(
                f"{path}: the offset or the length of its tensor {reference.tensor} in the file {location} is not a "
                "number; export the model again"
            )
        needed[location] = max(end, needed.get(location, 0))
    for location, part in parts.items():
        _require_whole(path, part, needed[location])
    return tuple(parts[location] for location in sorted(parts))


def _file_of(path: Path, reference: _Reference) -> Path:
    """The file with the values of a tensor; raises ModelError if it lies outside of the folder of the model."""
    part = path.parent / reference.location
    try:
        resolved = part.resolve()
        # A model may also be a link to a folder that has its parts, too.
        folders = (path.parent.resolve(), path.resolve().parent)
        escapes = Path(reference.location).is_absolute() or not any(map(resolved.is_relative_to, folders))
    except (OSError, ValueError, RuntimeError):  # a NUL in the name, or a circle of links
        escapes = True
    if escapes or not reference.location:
        raise ModelError(
            f"{path}: its tensor {reference.tensor} is in the file {reference.location!r}, outside of the model's "
            "folder, which is not allowed; copy all files of the model into one folder, or export it into one file"
        )
    return part


def _require_whole(path: Path, part: ExternalPart, needed_bytes: int) -> None:
    name = f"{path}: the file {part.path} with its weights"
    try:
        found_bytes = part.path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(f"{name} is missing; copy it there, or export the model into one file") from None
    except OSError as error:
        raise ModelError(f"{name} cannot be read ({error.strerror}); check its permissions") from None
    if not part.path.is_file():
        raise ModelError(f"{name} is not a file; copy it there, or export the model into one file")
    if found_bytes < needed_bytes:
        raise ModelError(
            f"{name} is cut off: it has {found_bytes:,} bytes, and the model needs {needed_bytes:,}; copy it again"
        )


def _references(path: Path) -> list[_Reference]:
    """All tensors whose values are in other files; none if there is no ONNX model in `path`."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(_ANY_EXTERNAL) < 0:
                return []
            return list(_external_tensors(content))
    except (FileNotFoundError, IsADirectoryError, ValueError):  # also an empty file; others report all of these
        return []
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _external_tensors(content: mmap.mmap) -> Iterator[_Reference]:
    """Raises ValueError for a content that is not in the wire format."""
    pending: list[tuple[_Kind, int, int]] = [("model", 0, len(content))]
    while pending:
        kind, start, end = pending.pop()
        if kind == "tensor":
            reference = _reference(content, start, end)
            if reference is not None:
                yield reference
            continue
        holds = _HOLDS[kind]
        found = [
            (holds[number], at, stop)
            for number, wire, at, stop in _fields(content, start, end)
            if wire == _LENGTH and number in holds
        ]
        pending += reversed(found)


def _reference(content: mmap.mmap, start: int, end: int) -> _Reference | None:
    """Where the values of a tensor are, if they are in another file."""
    name, location, data_type = "", 0, 0
    dims: list[int] = []
    entries: dict[str, str] = {}
    for number, wire, at, stop in _fields(content, start, end):
        if number == _DIMS and wire == _LENGTH:
            while at < stop:
                side, at = _varint(content, at, stop)
                dims.append(side)
        elif wire == _VARINT and number in (_DIMS, _DATA_TYPE, _DATA_LOCATION):
            value, _ = _varint(content, at, stop)
            if number == _DIMS:
                dims.append(value)
            elif number == _DATA_TYPE:
                data_type = value
            else:
                location = value
        elif wire == _LENGTH and number == _NAME:
            name = _text(content, at, stop)
        elif wire == _LENGTH and number == _EXTERNAL_DATA:
            texts = {
                field: _text(content, *span) for field, kind, *span in _fields(content, at, stop) if kind == _LENGTH
            }
            entries[texts.get(_KEY, "")] = texts.get(_VALUE, "")
    if location != _EXTERNAL:
        return None
    size_bytes = (math.prod(dims) * _BITS.get(data_type, 0) + 7) // 8
    return _Reference(
        name, entries.get("location", ""), entries.get("offset", ""), entries.get("length", ""), size_bytes
    )


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and the bounds of the value of each field between `start` and `end`."""
    at = start
    while at < end:
        tag, at = _varint(content, at, end)
        wire = tag & 7
        if wire == _LENGTH:
            length, at = _varint(content, at, end)
            stop = at + length
        elif wire == _VARINT:
            _, stop = _varint(content, at, end)
        elif wire in (_FIXED64, _FIXED32):
            stop = at + (8 if wire == _FIXED64 else 4)
        else:
            raise ValueError(f"wire type {wire}")
        if stop > end:
            raise ValueError("a field is longer than its message")
        yield tag >> 3, wire, at, stop
        at = stop


def _varint(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A number, and where the next one begins."""
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number without an end")


def _text(content: mmap.mmap, start: int, end: int) -> str:
    return content[start:end].decode("utf-8", "backslashreplace")
