"""Checks this machine: CPU, memory, disk, limits, GPU."""

from __future__ import annotations

import os
import platform
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from launcher.state_folder import StateFolder
from shared.errors import MtmcError
from site_checks.finding import Finding, error, ok, warning
from vision.inference import gpus

AREA = "machine"
DISK = "disk"
_LOW_MEMORY_BYTES = 2 * 2**30
"""A worker with two models needs about half of it, Redis with a day of identities another quarter."""
_LOW_DISK_BYTES = 2**30
_FEW_FILES = 1024
"""A streamer holds one connection per viewer, a worker one file per camera."""


def examine_machine(cores: int, memory_bytes: int | None = None) -> Iterator[Finding]:
    """Checks CPU, memory, open files and GPU. `memory_bytes` is the available memory; None asks the system."""
    available = available_memory_bytes() if memory_bytes is None else memory_bytes
    memory = "" if available is None else f", {available / 2**30:.1f} GiB of memory available"
    yield ok(AREA, f"Python {platform.python_version()}, {cores} cores{memory}")
    if available is not None and available < _LOW_MEMORY_BYTES:
        yield warning(
            AREA,
            f"only {available / 2**30:.1f} GiB of memory available",
            "close other programs, or run the camera workers on another host",
        )
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < _FEW_FILES:
        yield warning(AREA, f"a process can open only {files} files", f"raise the limit: ulimit -n {4 * _FEW_FILES}")
    yield from _gpu()


def examine_disk(state: StateFolder) -> Iterator[Finding]:
    """Checks that the state folder of `mtmc up` is writable and has free space. Creates nothing."""
    folder = next(path for path in (state.path, *state.path.parents) if path.exists())
    try:
        state.check_room(folder)
    except MtmcError as problem:
        yield error(DISK, str(problem))
        return
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free for the state folder {state.path}"
    if free < _LOW_DISK_BYTES:
        yield warning(DISK, found, "free some disk space, or give another folder with --state")
    else:
        yield ok(DISK, found)


def _gpu() -> Iterator[Finding]:
    """What there is; `examine_models` warns if networks of the site should use it and do not."""
    found = gpus.look()
    if found.hidden:
        yield ok(AREA, "CUDA_VISIBLE_DEVICES hides every GPU; models run on the CPU")
    elif not found.present:
        yield ok(AREA, "no NVIDIA GPU; models run on the CPU")
    elif found.trouble is not None:
        yield ok(AREA, f"an NVIDIA GPU cannot be used: {found.trouble.reason}")
    else:
        named = ", ".join(f"{gpu.name} ({gpu.uuid})" for gpu in found.usable)
        newest = f"; its driver supports CUDA {found.cuda[0]}.{found.cuda[1]}" if found.cuda else ""
        yield ok(AREA, f"NVIDIA GPU: {named}{newest}")


def available_memory_bytes() -> int | None:
    """Memory available to programs, in bytes; None if the system does not report it."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
