"""Reads what the aggregator has learned of the cameras of a site: the key `layout:learned`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low
from typing import Any

LARGEST_OFFSET_S = 1.0
"""Pictures that are later than this are corrected by this much only."""


@dataclass(frozen=True)
class Overlap:
    """What is known of two views that may overlap."""

    cameras: tuple[str, str]
    source: str
    """`layout`, `calibration`, `learned` or `unknown`."""
    probability: float | None
    """That they overlap; None if the layout or a calibration says it."""
    tracks: int
    found: int
    is_mapped: bool


@dataclass(frozen=True)
class Step:
    """How long objects take from one camera to another."""

    source: str
    target: str
    handovers: int
    seconds: tuple[float, float, float]
    """10 %, 50 % and 90 % quantile."""


@dataclass(frozen=True)
class Offset:
    """How late the pictures of a camera are, seconds."""

    camera: str
    seconds: float
    deviation: float
    corrected: float


@dataclass(frozen=True)
class LearnedOfSite:
    """What the aggregator has learned of the cameras."""

    tick: int
    overlaps: tuple[Overlap, ...]
    steps: tuple[Step, ...]
    time_offsets: tuple[Offset, ...]


def learned_of(text: bytes | None) -> LearnedOfSite | None:
    """What `layout:learned` says; None if nothing is known, or if it cannot be read."""
    try:
        content = json.loads(text or b"null")
        return LearnedOfSite(
            _count(content["tick"]),
            tuple(_overlap(one) for one in content["overlaps"]),
            tuple(_step(one) for one in content["steps"]),
            tuple(
                Offset(str(one["camera"]), *(_finite(one[name]) for name in ("seconds", "deviation", "corrected")))
                for one in content.get("time_offsets", ())
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def late_cameras(learned: LearnedOfSite) -> dict[str, float]:
    """Camera → how late its pictures are, seconds; below 0: how early. Those that are not certain yet are left out.

    The offsets are relative to the mean of the cameras that see the same objects, which a late camera shifts. Here they
    are relative to the middle camera; of two in the middle, to the earlier one.
    """
    group = {one.camera: {one.camera} for one in learned.time_offsets}
    for one, other in (pair.cameras for pair in learned.overlaps if pair.is_mapped):
        if one in group and other in group and group[one] is not group[other]:
            group[one] |= group[other]
            group |= dict.fromkeys(group[other], group[one])
    found: dict[str, float] = {}
    for offset in learned.time_offsets:
        middle_s = median_low(one.seconds for one in learned.time_offsets if one.camera in group[offset.camera])
        if abs(offset.seconds - middle_s) > 3 * offset.deviation:
            found[offset.camera] = offset.seconds - middle_s
    return found


def _overlap(one: Mapping[str, Any]) -> Overlap:
    first, second = one["cameras"]
    probability = None if one["probability"] is None else _finite(one["probability"])
    counts = _count(one["tracks"]), _count(one["found"])
    return Overlap((str(first), str(second)), str(one["source"]), probability, *counts, bool(one["is_mapped"]))


def _step(one: Mapping[str, Any]) -> Step:
    low, middle, high = (_finite(seconds) for seconds in one["seconds"])
    return Step(str(one["from"]), str(one["to"]), _count(one["handovers"]), (low, middle, high))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _count(value: Any) -> int:
    number = int(value)
    if abs(number) >= 2**63:
        raise ValueError
    return number
