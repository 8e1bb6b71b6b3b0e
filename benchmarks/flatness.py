"""Whether quantities that were sampled over time stayed flat. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SHARE = 0.2
"""The median of the first and of the last fifth are compared, so that single peaks do not count."""
_LEAST_SAMPLES = 10


@dataclass(frozen=True)
class Bound:
    """By how much a quantity may grow: by an amount or a share of its start, whichever is more."""

    amount: float
    share: float

    def allowed(self, start: float) -> float:
        """The growth that is allowed from `start`."""
        return max(self.amount, self.share * start)


@dataclass(frozen=True)
class Growth:
    """How a quantity changed between the first and the last fifth of its samples."""

    name: str
    start: float
    end: float
    """Medians; NaN if there are too few samples."""
    per_hour: float
    """Slope of a line through all samples."""
    allowed: float

    @property
    def is_flat(self) -> bool:
        """Whether it grew by no more than is allowed. It may shrink. False if there are too few samples."""
        return self.end - self.start <= self.allowed


def growth(name: str, samples: Sequence[tuple[float, float]], after_s: float, bound: Bound) -> Growth:
    """Judges `(seconds, value)` samples in the order of time, without those before `after_s`."""
    kept = np.array([sample for sample in samples if sample[0] >= after_s], np.float64).reshape(-1, 2)
    if len(kept) < _LEAST_SAMPLES:
        return Growth(name, math.nan, math.nan, math.nan, bound.allowed(0.0))
    count = max(1, round(len(kept) * _SHARE))
    start, end = (float(np.median(part[:, 1])) for part in (kept[:count], kept[-count:]))
    slope = float(np.polyfit(kept[:, 0] - kept[0, 0], kept[:, 1], 1)[0])
    return Growth(name, start, end, slope * 3600, bound.allowed(start))


def table(found: Sequence[Growth]) -> str:
    """One line for each quantity."""
    width = max((len(growth.name) for growth in found), default=0)
    lines = [f"  {'':{width}}  {'start':>9} {'end':>9} {'growth':>8} {'allowed':>8} {'per hour':>9}"]
    lines += [
        f"  {each.name:{width}}  {each.start:9.1f} {each.end:9.1f} {each.end - each.start:+8.1f} "
        f"{each.allowed:8.1f} {each.per_hour:+9.1f}{_verdict(each)}"
        for each in found
    ]
    return "\n".join(lines)


def _verdict(each: Growth) -> str:
    if math.isnan(each.start):
        return "  TOO FEW SAMPLES"
    return "" if each.is_flat else "  GROWS"
