"""Cache folders for files that can be downloaded or built again: weights, models, TensorRT engines."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal


def user_cache(kind: Literal["engines", "models", "weights"], environment: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/mtmc/KIND`, else `~/.cache/mtmc/KIND`.

    Raises:
        RuntimeError: the user has no home directory.
    """
    return Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mtmc" / kind


def engine_cache(environment: Mapping[str, str]) -> Path | None:
    """The folder of cached TensorRT engines: `$MTMC_ENGINE_CACHE`, else a folder in the user's cache.

    None for a user without a home directory: the engines are then built at every start.
    """
    with contextlib.suppress(RuntimeError):
        named = environment.get("MTMC_ENGINE_CACHE")
        return Path(named).expanduser() if named else user_cache("engines", environment)
    return None
