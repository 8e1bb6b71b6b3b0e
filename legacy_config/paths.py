"""Finds the files that a configuration of `run_live_mtmc.py` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CONFIGURATIONS = "config"
"""The folder of configurations in a checkout of `run_live_mtmc.py`; their paths are relative to its parent."""


@dataclass(frozen=True)
class Roots:
    """The folders that relative paths may start from, the likeliest first."""

    folders: tuple[Path, ...]
    given: bool
    """Whether the folder was given explicitly."""

    @classmethod
    def of(cls, file: Path, given: Path | None) -> Roots:
        """`given`, else the folder of `file` and the parent of the `config` folder that contains `file`."""
        if given is not None:
            return cls((given.expanduser().absolute(),), given=True)
        folder = file.absolute().parent
        around = [inner.parent for inner in (folder, *folder.parents) if inner.name == _CONFIGURATIONS]
        return cls((folder, *around[:1]), given=False)

    def places(self, written: str) -> Iterator[Path]:
        """Every path that `written` may refer to."""
        path = Path(written).expanduser()
        for folder in self.folders[:1] if path.is_absolute() else self.folders:
            yield Path(os.path.normpath(folder / path))

    def find(self, *written: str) -> Path | None:
        """The first path that is an existing file; None if there is none."""
        return next((place for text in written for place in self.places(text) if place.is_file()), None)

    def missing(self, written: str) -> str:
        """The message for a missing file, with what to do."""
        looked_at = " or ".join(str(place) for place in self.places(written))
        if Path(written).expanduser().is_absolute():
            return f"there is no file at {looked_at}"
        advice = "correct the path or --root" if self.given else "give the folder that paths start from with --root"
        return f"there is no file at {looked_at}; {advice}"
