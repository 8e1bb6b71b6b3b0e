r"""One append-only file of stream entries: robust to a writer that was killed.

    file    = magic entry*
    magic   = b"mtmc-entries 1\n"
    entry   = length u32 LE · crc32 u32 LE · body
    body    = msgpack [id: str, {field: bin}]

`id` and fields are those of the Redis stream the entry came from. A file that ends within an entry was being written
when its writer died: that last entry is dropped. Anything else that does not fit is damage, and an error.
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
"""Bytes of an entry; a length beyond it can only be damage."""

EntryFields = Mapping[bytes, bytes]
LoggedEntry = tuple[str, EntryFields]
"""Id in the stream (`ms-number`) and fields."""


def packed(entry_id: str, fields: EntryFields) -> bytes:
    """One entry as it stands in the file."""
    body = msgpack.packb([entry_id, {name.decode(): bytes(value) for name, value in fields.items()}])
    return _HEAD.pack(len(body), zlib.crc32(body)) + bytes(body)


class EntryLogWriter:
    """Appends entries; what was flushed survives the death of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        self.size_bytes = self._file.write(MAGIC)
        self._file.flush()

    def append(self, entry_id: str, fields: EntryFields) -> None:
        """Appends one entry.

        Raises:
            RecordingError: the disk is full, or gone.
        """
        with self._written():
            self.size_bytes += self._file.write(packed(entry_id, fields))

    def flush(self) -> None:
        """Hands everything to the operating system.

        Raises:
            RecordingError: the disk is full, or gone.
        """
        with self._written():
            self._file.flush()

    def close(self) -> None:
        """Nothing can be appended any more.

        Raises:
            RecordingError: the disk is full, or gone; the file is closed all the same.
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
    """The entries of a file in their order; one that was torn off at the end is left out.

    Raises:
        RecordingError: names the file and what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if magic != MAGIC:
                if MAGIC.startswith(magic):
                    return  # Its writer died before the first entry.
                raise RecordingError(path, "this is no file of entries of version 1")
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
                        return  # The end of a file that was being written when the machine went down.
                    raise RecordingError(path, f"the entry at byte {at} is damaged (its checksum does not fit)")
                yield _unpacked(path, at, body)
                at += _HEAD.size + length
    except OSError as error:
        raise RecordingError(path, f"cannot be read ({error.strerror})") from None


def _unpacked(path: Path, at: int, body: bytes) -> LoggedEntry:
    try:
        entry_id, fields = msgpack.unpackb(body)
        return str(entry_id), {name.encode(): bytes(value) for name, value in fields.items()}
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise RecordingError(path, f"the entry at byte {at} is no entry ({error})") from None
