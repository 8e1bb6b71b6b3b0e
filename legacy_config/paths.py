"""Where the files lie that a configuration of `run_live_mtmc.py` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CONFIGURATIONS = "config"
"""The ancestor's folder of configurations: its parent is what their paths are relative to."""


@dataclass(frozen=True)
class Roots:
    """The folders that a relative path may be relative to, the likeliest first."""

    folders: tuple[Path, ...]
    given: bool
    """Whether somebody named the folder."""

    @classmethod
    def of(cls, file: Path, given: Path | None) -> Roots:
        """`given`, else the folder of `file`, and the one that holds the `config` folder in which `file` lies."""
        if given is not None:
            return cls((given.expanduser().absolute(),), given=True)
        folder = file.absolute().parent
        around = [inner.parent for inner in (folder, *folder.parents) if inner.name == _CONFIGURATIONS]
        return cls((folder, *around[:1]), given=False)

    def places(self, written: str) -> Iterator[Path]:
        """Every path that `written` may mean."""
        path = Path(written).expanduser()
        for folder in self.folders[:1] if path.is_absolute() else self.folders:
            yield Path(os.path.normpath(folder / path))

    def find(self, *written: str) -> Path | None:
        """The first file that there is."""
        return next((place for text in written for place in self.places(text) if place.is_file()), None)

    def missing(self, written: str) -> str:
        """Says that there is no such file, and what to do."""
        looked_at = " or ".join(str(place) for place in self.places(written))
        if Path(written).expanduser().is_absolute():
            return f"there is no file at {looked_at}"
        advice = "paths are relative to that folder" if self.given else "--root names the folder that paths start from"
        return f"there is no file at {looked_at}; {advice}"
