"""The health and the metrics of one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from shared.monitoring.health import Health
from shared.monitoring.loop_metrics import LoopMetrics


class Monitor:
    """The health and the metrics of one process."""

    def __init__(self, service: str = "service", site: str = "") -> None:
        self.health = Health()
        self.loop = LoopMetrics(service, site, self.health)
        self.registry = CollectorRegistry()
        """The registry of the service's own metrics."""

    def start_over(self) -> None:
        """Replaces the service's own metrics when it restarts; Prometheus copes with counters that start again."""
        self.forget_service_metrics()
        self.loop.site_reloads.inc()  # Count the reload only once the new metrics are in place.

    def forget_service_metrics(self) -> None:
        """Begins an empty registry for the service's own metrics."""
        self.registry = CollectorRegistry()

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.loop.registry) + generate_latest(self.registry)
