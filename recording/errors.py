"""What can be wrong with the files that recordings are made of."""

from __future__ import annotations

from pathlib import Path

from shared.errors import MtmcError


class RecordingError(MtmcError):
    """A file or folder that cannot be read as what it should be; the message names it, and what is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")
