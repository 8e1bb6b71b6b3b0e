"""Errors of recordings."""

from __future__ import annotations

from pathlib import Path

from shared.errors import MtmcError


class RecordingError(MtmcError):
    """A file or folder that cannot be read or written; the message names the path and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")
