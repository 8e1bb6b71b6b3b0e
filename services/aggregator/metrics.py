"""The metrics of an aggregator."""

from __future__ import annotations

import math
import time
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from association.outcome import EventKind
from services.aggregator.publication import CycleRecord
from shared.operator_commands import Outcome

_CLOCK_WAS_SET_S = 600.0
_GID_BUCKETS_S = (0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 10.0)
_CYCLE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class AggregatorMetrics:
    """Counts what one aggregator did, committed cycles only; the gauges are 0 while it is a standby."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str) -> Counter:
            return Counter(f"mtmc_aggregator_{name}", what, registry=registry)

        def gauge(name: str, what: str) -> Gauge:
            return Gauge(f"mtmc_aggregator_{name}", what, registry=registry)

        self._owner = gauge("owner", "1 while this aggregator owns the role, 0 while it is a standby")
        self._cycles = counter("cycles", "Cycles committed")
        self.cycle_seconds = Histogram(
            "mtmc_aggregator_cycle_seconds",
            "Duration of a cycle, from its entries to its commit",
            buckets=_CYCLE_BUCKETS_S,
            registry=registry,
        )
        self._tick_to_gid = Histogram(
            "mtmc_aggregator_tick_to_gid_seconds",
            "From the begin of a tick until the global ids of its tracks are published; live mode only",
            buckets=_GID_BUCKETS_S,
            registry=registry,
        )
        self._entries = counter("entries", "Track entries used")
        self._late = counter("late_entries", "Track entries that arrived more than max_late_ticks late")
        self._dead = counter("dead_letters", "Track entries that could not be decoded")
        self._gaps = counter("gaps", "Gaps found in the entries of a camera")
        self._events = Counter("mtmc_aggregator_events", "Identity events published", ["kind"], registry=registry)
        for kind in get_args(EventKind):
            self._events.labels(kind)
        self._commands = Counter(
            "mtmc_aggregator_commands", "Operators' commands answered", ["outcome"], registry=registry
        )
        for outcome in get_args(Outcome):
            self._commands.labels(outcome)
        self._lag = gauge("lag_ticks", "Current tick minus tick of the last cycle")
        self._identities = gauge("identities", "Identities in view, or that can still return")
        self._live_tracks = gauge("live_tracks", "Tracks that have not ended")
        self._checkpoints = counter("checkpoints", "Checkpoints saved")
        self._checkpoint_at: float | None = None
        age = gauge("checkpoint_age_seconds", "Time since the last checkpoint was saved; NaN before the first one")
        age.set_function(self._checkpoint_age_s)
        self._replayed = counter("replayed_cycles", "Cycles replayed to recover the state of the last owner")

    def owns(self) -> None:
        """Records that this aggregator owns the role."""
        self._owner.set(1)

    def stands_by(self) -> None:
        """Records that this aggregator is a standby."""
        self._checkpoint_at = None
        for gauge in (self._owner, self._lag, self._identities, self._live_tracks):
            gauge.set(0)

    def committed(self, cycle: CycleRecord, *, lag_ticks: int, identities: int, live_tracks: int) -> None:
        """Records a committed cycle; the other arguments are the state after it."""
        self._cycles.inc()
        self._entries.inc(cycle.entries)
        self._late.inc(cycle.late)
        self._dead.inc(len(cycle.dead_letters))
        self._gaps.inc(len(cycle.gaps))
        for event in cycle.result.events:
            self._events.labels(event.kind).inc()
        for answer in cycle.answers:
            self._commands.labels(answer.outcome).inc()
        self._lag.set(lag_ticks)
        self._identities.set(identities)
        self._live_tracks.set(live_tracks)

    def published_gids(self, seconds: float) -> None:
        """Records how long after the begin of its tick a cycle was committed; ignored if Redis's clock was set."""
        if 0 <= seconds < _CLOCK_WAS_SET_S:
            self._tick_to_gid.observe(seconds)

    def replayed(self, cycles: int) -> None:
        """Records the number of replayed cycles."""
        self._replayed.inc(cycles)

    def saved_checkpoint(self) -> None:
        """Records that a checkpoint was saved."""
        self._checkpoints.inc()
        self._checkpoint_at = time.monotonic()

    def _checkpoint_age_s(self) -> float:
        at = self._checkpoint_at
        return math.nan if at is None else time.monotonic() - at
