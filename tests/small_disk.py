"""A small file system that a test may fill."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

DISK_MIB = 64


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A small file system at `folder`; None where only another user may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


@contextlib.contextmanager
def full(disk: Path, *growing: Path) -> Iterator[None]:
    """Fills the file system, and the last pages of the files `growing`; frees it at the end of the block."""
    ballast = disk / "ballast"
    try:
        _fill(ballast, 2**16)
        for path in growing:
            _fill(path, 1)
        assert shutil.disk_usage(disk).free == 0
        yield
    finally:
        ballast.unlink()


def _fill(path: Path, size: int) -> None:
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(b" " * size)
