"""Which scenes are for what: no seed serves two purposes, and none is one that a user would type."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["training", "validation", "test"]

SCENES: Mapping[Split, range] = MappingProxyType(
    {
        "training": range(1_000_000, 1_000_056),
        "validation": range(2_000_000, 2_000_006),
        "test": range(3_000_000, 3_000_008),
    }
)
SCENE_SECONDS = 90.0
FPS = 5.0
PICTURE_EVERY_TICKS = 15
"""Pictures are kept 3 s apart: neighbours in time teach little that is new."""
