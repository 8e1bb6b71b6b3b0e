"""Which scenes are for what: no seed serves two purposes, and none is one that a user would type."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["training", "more training", "validation", "test"]

SCENES: Mapping[Split, range] = MappingProxyType(
    {
        "training": range(1_000_000, 1_000_020),
        # For the embedder: the detector knows vehicles after the others, but to tell them apart takes many vehicles.
        "more training": range(1_000_020, 1_000_038),
        "validation": range(2_000_000, 2_000_002),
        "test": range(3_000_000, 3_000_003),
    }
)
SCENE_SECONDS = 220.0
FPS = 5.0
PICTURE_EVERY_TICKS = 25
"""Pictures are kept 5 s apart: neighbours in time teach little that is new."""
