"""Runs the real aggregator over a recording, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recording.reading import Recording
from shared.layout import Layout


@dataclass(frozen=True)
class AggregatorRun:
    """What came of it."""

    recording: Recording
    """The tracks of the recording with the gids of this run; `published_ms` is -1: there was no wall clock."""
    cycle_seconds: npt.NDArray[np.float64]
    """`(C,)`: how long each cycle took."""


def run_aggregator(
    recording: Recording,
    *,
    association: Mapping[str, Any] | None = None,
    layout: Layout | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> AggregatorRun:
    """Feeds every entry through the aggregator, as fast as possible, over a Redis of its own; the same every time.

    `association` overrides settings of the site's section of that name; `layout` replaces the recording's. `told` is
    called with the ticks done and their total.

    Raises:
        MtmcError: a setting is not allowed, or no Redis can be started.
    """
    raise NotImplementedError
