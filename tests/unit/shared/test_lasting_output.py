from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest
from rich.console import Console

from shared.lasting_output import lasting

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no device on which every write fails")
def test_a_full_disk_is_no_error() -> None:
    with FULL.open("wb", buffering=0) as raw:
        stream = io.TextIOWrapper(raw, write_through=True)
        with pytest.raises(OSError, match="No space left"):
            Console(file=stream).print("a line")
        Console(file=lasting(stream)).print("a line")
        print("another", file=lasting(stream), flush=True)


def test_what_fits_is_written() -> None:
    stream = io.StringIO()
    print("a line", file=lasting(stream), flush=True)
    assert stream.getvalue() == "a line\n"


def test_another_failure_is_an_error() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "nobody reads it")

    with pytest.raises(BrokenPipeError):
        lasting(Broken()).write("a line")
