"""Source addresses: which kind they are, how to display them safely, and whether this host can open them."""

from __future__ import annotations

import os
import re
import sys
from enum import StrEnum
from pathlib import Path

from shared.camera_source import address_problem
from shared.errors import redact

_DEVICE = re.compile(r"(?:device:)?(?P<index>\d+)")
_SCHEME = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)


class SourceKind(StrEnum):
    FILE = "file"
    STREAM = "stream"
    DEVICE = "device"


def kind_of(source: str) -> SourceKind:
    """The kind of `source`.

    Raises:
        ValueError: no kind of source can read it; the message contains no credentials.
    """
    if problem := address_problem(source):
        raise ValueError(problem)
    if "://" in source:
        return SourceKind.STREAM
    if source.startswith("/dev/") or _DEVICE.fullmatch(source):
        return SourceKind.DEVICE
    return SourceKind.FILE


def is_local(source: str) -> bool:
    """Whether the source is a file or device, which only the hosts that have it can open."""
    return kind_of(source) is not SourceKind.STREAM


def device_of(source: str) -> int | str:
    """Index (`device:2`, `2`) or path (`/dev/video2`) of a local device.

    Raises:
        ValueError: `source` is not a local device.
    """
    if match := _DEVICE.fullmatch(source):
        return int(match["index"])
    if source.startswith("/dev/"):
        return source
    raise ValueError(f"{display_name(source)} is not a local device")


def display_name(source: str) -> str:
    """`source` in a form safe to display: a URL keeps only scheme, host and port.

    Cameras accept passwords in every other part of a URL.
    """
    match = _SCHEME.fullmatch(source)
    if match is None:
        return redact(source)
    authority, separator, after = re.sub(r"[/?#]", " ", match["rest"], count=1).partition(" ")
    if separator and "@" in after:  # an unescaped / or ? in the password: where the host begins is ambiguous
        return f"{match['scheme']}://***"
    return f"{match['scheme']}://{authority.rpartition('@')[2]}"


def local_problem(source: str) -> str | None:
    """Why this host cannot open a local source; None if no problem is found. Fast: decodes nothing.

    A worker that gets a reason releases the camera, so that another host can try.
    """
    kind = kind_of(source)
    if kind is SourceKind.DEVICE and sys.platform.startswith("linux"):
        device = device_of(source)
        path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
        if not path.exists():
            return f"there is no device {path} on this host; attach the camera or label the host that has it"
        if not os.access(path, os.R_OK | os.W_OK):
            return f"no permission to open {path}; add this user to the group that owns the device (usually video)"
    if kind is SourceKind.FILE:
        return file_problem(Path(source))
    return None


def file_problem(path: Path) -> str | None:
    """Why `path` cannot be a readable video file; None if no problem is found."""
    try:
        if not path.exists():
            return f"there is no file {path} on this host; correct the path or mount the folder"
        if path.is_dir():
            return f"{path} is a folder; give the path of a video file"
        if not path.is_file():
            return f"{path} is not a regular file; give the path of a video file"
        if not os.access(path, os.R_OK):
            return f"no permission to read {path}; change its permissions"
        if path.stat().st_size == 0:
            return f"{path} is empty (0 bytes); copy it again"
    except (OSError, ValueError) as error:  # no permission for a parent folder, a stale mount, a NUL in the name
        return f"cannot check {path!s}: {error}"
    return None
