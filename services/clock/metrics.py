"""The figures of a clock."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.gate import Advanced


class ClockMetrics:
    """What one clock did; the gauges are 0 while it stands by."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._owner = Gauge("mtmc_clock_owner", "1 while this clock ticks, 0 while it stands by", registry=registry)
        self._ticks = Counter("mtmc_clock_ticks", "Ticks published", registry=registry)
        self._skew = Gauge("mtmc_clock_skew_ticks", "Fastest minus slowest live camera", registry=registry)
        self._stalled = Gauge("mtmc_clock_stalled_cameras", "Cameras that are stalled now", registry=registry)
        self._stalls = Counter("mtmc_clock_stalls", "Times that a camera stalled", ["camera"], registry=registry)

    def owns(self) -> None:
        """This clock ticks from now on."""
        self._owner.set(1)

    def stands_by(self) -> None:
        """Another clock ticks, or none."""
        for gauge in (self._owner, self._skew, self._stalled):
            gauge.set(0)

    def advanced(self, step: Advanced) -> None:
        """A step of this clock was carried out."""
        self._ticks.inc(step.is_new)
        self._skew.set(step.skew_ticks)
        self._stalled.set(step.stalled_now)
        for camera in step.stalled:
            self._stalls.labels(camera).inc()
