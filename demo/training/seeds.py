"""Seeds of the scenes for each purpose: no seed serves two purposes, and users are unlikely to choose any of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["training", "more training", "validation", "test"]

SCENES: Mapping[Split, range] = MappingProxyType(
    {
        "training": range(1_000_000, 1_000_020),
        # For the embedder: the other scenes suffice for the detector, but distinguishing vehicles takes more of them.
        "more training": range(1_000_020, 1_000_038),
        "validation": range(2_000_000, 2_000_002),
        "test": range(3_000_000, 3_000_003),
    }
)
SCENE_SECONDS = 220.0
FPS = 5.0
PICTURE_EVERY_TICKS = 25
"""Pictures are 5 s apart, because consecutive pictures add little."""
