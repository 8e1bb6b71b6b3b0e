"""Which camera can follow which, in seconds of driving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_OVERLAPS = (("crossing-southwest", "crossing-northwest", "crossing-northeast", "crossing-southeast"),)
_DRIVES = (
    (_OVERLAPS[0], "roundabout", 3.0, 60.0),
    (_OVERLAPS[0], "north-street", 2.0, 60.0),
    (("roundabout",), "north-street", 10.0, 120.0),
)


def layout_settings(cameras: Sequence[str]) -> dict[str, Any]:
    """Returns the section `layout` of a site file with some of the cameras."""
    groups = [[name for name in group if name in cameras] for group in _OVERLAPS]
    transitions = [
        {"from": source, "to": target, "min_seconds": low, "max_seconds": high}
        for sources, target, low, high in _DRIVES
        for source in sources
        if source in cameras and target in cameras
    ]
    return {"overlaps": [group for group in groups if len(group) > 1], "transitions": transitions}
