"""What a source's text names, how it may be shown, and whether it can be opened on this host."""

from __future__ import annotations

import os
import re
import sys
from enum import StrEnum
from pathlib import Path

from shared.config import address_problem
from shared.errors import redact

_DEVICE = re.compile(r"(?:device:)?(?P<index>\d+)")
_SCHEME = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)


class SourceKind(StrEnum):
    FILE = "file"
    STREAM = "stream"
    DEVICE = "device"


def kind_of(source: str) -> SourceKind:
    """What `source` names. Raises ValueError, without credentials, for what no source here can read."""
    if problem := address_problem(source):
        raise ValueError(problem)
    if "://" in source:
        return SourceKind.STREAM
    if source.startswith("/dev/") or _DEVICE.fullmatch(source):
        return SourceKind.DEVICE
    return SourceKind.FILE


def is_local(source: str) -> bool:
    """Whether only hosts that have this very file or device can open the source."""
    return kind_of(source) is not SourceKind.STREAM


def device_of(source: str) -> int | str:
    """Index (`device:2`, `2`) or path (`/dev/video2`) of a local device. Raises ValueError for anything else."""
    if match := _DEVICE.fullmatch(source):
        return int(match["index"])
    if source.startswith("/dev/"):
        return source
    raise ValueError(f"{display_name(source)} is not a local device")


def display_name(source: str) -> str:
    """`source` as it may be shown: of a URL only scheme, host and port, as cameras take passwords anywhere else."""
    match = _SCHEME.fullmatch(source)
    if match is None:
        return redact(source)
    authority, separator, after = re.sub(r"[/?#]", " ", match["rest"], count=1).partition(" ")
    if separator and "@" in after:  # an unescaped / or ? in the password: nobody can tell where the host begins
        return f"{match['scheme']}://***"
    return f"{match['scheme']}://{authority.rpartition('@')[2]}"


def local_problem(source: str) -> str | None:
    """Why a local source cannot be opened on this host, at once and without decoding; None if it seems fine.

    A worker that gets an answer here gives the camera back, for another host to try.
    """
    kind = kind_of(source)
    if kind is SourceKind.DEVICE and sys.platform.startswith("linux"):
        device = device_of(source)
        path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
        if not path.exists():
            return f"there is no device {path} on this host; attach the camera or label the host that has it"
        if not os.access(path, os.R_OK | os.W_OK):
            return f"this user may not open {path}; add it to the group that owns the device (usually video)"
    if kind is SourceKind.FILE:
        return file_problem(Path(source))
    return None


def file_problem(path: Path) -> str | None:
    """Why `path` cannot be a video file that can be read here; None if nothing speaks against it."""
    try:
        if not path.exists():
            return f"there is no file {path} on this host; correct the path or mount the folder"
        if path.is_dir():
            return f"{path} is a folder; name a video file in it"
        if not path.is_file():
            return f"{path} is not a regular file; name a video file"
        if not os.access(path, os.R_OK):
            return f"this user may not read {path}; change its permissions"
        if path.stat().st_size == 0:
            return f"{path} is empty (0 bytes); copy it again"
    except (OSError, ValueError) as error:  # a folder that may not be entered, a stale mount, a name with a NUL
        return f"{path!s} cannot be examined: {error}"
    return None
