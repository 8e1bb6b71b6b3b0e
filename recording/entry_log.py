r"""An append-only file of stream entries that survives a killed writer.

    file    = magic entry*
    magic   = b"mtmc-entries 1\n"
    entry   = length u32 LE · crc32 u32 LE · body
    body    = msgpack [id: str, {field: bin}]

`id` and fields are those of the entry in its Redis stream. If a file ends in the middle of an entry, its writer was
killed while writing; that last entry is dropped. Any other inconsistency is damage and raises an error.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import msgpack

from recording.errors import RecordingError

MAGIC = b"mtmc-entries 1\n"
SUFFIX = ".entries"
_HEAD = struct.Struct("<II")
_LONGEST = 256 * 1024 * 1024
"""Maximum size of an entry in bytes; a greater length means the file is damaged."""

EntryFields = Mapping[bytes, bytes]
LoggedEntry = tuple[str, EntryFields]
"""Stream entry id (`ms-number`) and fields."""


def packed(entry_id: str, fields: EntryFields) -> bytes:
    """Encode one entry for the file."""
    body = msgpack.packb([entry_id, {name.decode(): bytes(value) for name, value in fields.items()}])
    return _HEAD.pack(len(body), zlib.crc32(body)) + bytes(body)


class EntryLogWriter:
    """Appends entries to a new file. Flushed entries survive if the process is killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self.size_bytes = self._file.write(MAGIC)
        self._file.flush()

    def append(self, entry_id: str, fields: EntryFields) -> None:
        """Append one entry.

        Raises:
            RecordingError: the file cannot be written, for example because the disk is full.
        """
        with self._written():
            self.size_bytes += self._file.write(packed(entry_id, fields))

    def flush(self) -> None:
        """Flush all entries to the operating system.

        Raises:
            RecordingError: the file cannot be written, for example because the disk is full.
        """
        with self._written():
            self._file.flush()

    def close(self) -> None:
        """Flush and close the file.

        Raises:
            RecordingError: the last entries cannot be written; the file is closed anyway.
        """
        with self._written():
            self._file.close()

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordingError(self._path, f"cannot be written ({error.strerror})") from None

    def __enter__(self) -> EntryLogWriter:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def read_entries(path: Path) -> Iterator[LoggedEntry]:
    """The entries of a file in order; an incomplete last entry is dropped.

    Raises:
        RecordingError: the file cannot be read or is damaged.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if magic != MAGIC:
                if MAGIC.startswith(magic):
                    return  # Its writer was killed before the first entry.
                raise RecordingError(path, "is not an entry file of version 1")
            at = len(MAGIC)
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, checksum = _HEAD.unpack(head)
                if length > _LONGEST:
                    raise RecordingError(path, f"the entry at byte {at} is damaged (its length is {length})")
                body = file.read(length)
                if len(body) < length:
                    return
                if zlib.crc32(body) != checksum:
                    if not file.read(1):
                        return  # The last entry: it was being written when the machine went down.
                    raise RecordingError(path, f"the entry at byte {at} is damaged (wrong checksum)")
                yield _unpacked(path, at, body)
                at += _HEAD.size + length
    except OSError as error:
        raise RecordingError(path, f"cannot be read ({error.strerror})") from None


def _unpacked(path: Path, at: int, body: bytes) -> LoggedEntry:
    try:
        entry_id, fields = msgpack.unpackb(body)
        return str(entry_id), {name.encode(): bytes(value) for name, value in fields.items()}
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise RecordingError(path, f"the entry at byte {at} cannot be decoded ({error})") from None
