"""Standard output and standard error of processes that go on while the disk is full to which these are written."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any, TextIO, cast

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class _LastingOutput:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes `text` if there is space."""
        with _despite_a_full_disk():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what the buffer of the stream has, if there is space."""
        with _despite_a_full_disk():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lasting(stream: TextIO) -> TextIO:
    """`stream`, but a full disk is no error: what does not fit there may be lost."""
    return cast("TextIO", _LastingOutput(stream))


@contextlib.contextmanager
def _despite_a_full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
