"""The folder with real data."""

from __future__ import annotations

import os
from pathlib import Path


def shared_folder() -> Path | None:
    """`$MTMC_SHARED`, or else `../shared`; None if it has no data."""
    folder = Path(os.environ.get("MTMC_SHARED") or Path(__file__).resolve().parents[2] / "shared").resolve()
    return folder if (folder / "data").is_dir() else None
