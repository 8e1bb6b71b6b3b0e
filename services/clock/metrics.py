"""The metrics of a clock."""

from __future__ import annotations

from collections.abc import Set

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.gate import Advanced


class ClockMetrics:
    """Counts what one clock did; the gauges are 0 while it is a standby."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._owner = Gauge(
            "mtmc_clock_owner", "1 while this clock owns the role, 0 while it is a standby", registry=registry
        )
        self._ticks = Counter("mtmc_clock_ticks", "Ticks published", registry=registry)
        self._skew = Gauge("mtmc_clock_skew_ticks", "Fastest minus slowest participating camera", registry=registry)
        self._stalled = Gauge("mtmc_clock_stalled_cameras", "Cameras that are stalled now", registry=registry)
        self._stalls = Counter("mtmc_clock_stalls", "Times that a camera stalled", ["camera"], registry=registry)
        self._have_stalled: set[str] = set()

        self.redis_clock_steps = Counter(
            "mtmc_clock_redis_clock_steps", "Times that somebody set the clock of Redis's host", registry=registry
        )

    def owns(self) -> None:
        """Records that this clock owns the role."""
        self._owner.set(1)

    def stands_by(self) -> None:
        """Records that this clock is a standby."""
        for gauge in (self._owner, self._skew, self._stalled):
            gauge.set(0)

    def advanced(self, step: Advanced) -> None:
        """Records a step of this clock."""
        self._ticks.inc(step.is_new)
        self._skew.set(step.skew_ticks)
        self._stalled.set(step.stalled_now)
        for camera in step.stalled:
            self._stalls.labels(camera).inc()
            self._have_stalled.add(camera)

    def forget_all_but(self, cameras: Set[str]) -> None:
        """Drops the series of cameras that the site no longer has."""
        for camera in self._have_stalled - cameras:
            self._stalls.remove(camera)
        self._have_stalled &= cameras
