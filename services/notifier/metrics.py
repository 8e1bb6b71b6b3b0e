"""The metrics of a notifier."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class NotifierMetrics:
    """Counts for each receiver: `mqtt`, or the name of a webhook."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str) -> Counter:
            return Counter(f"mtmc_notifier_{name}", what, ["receiver"], registry=registry)

        self.owner = Gauge(
            "mtmc_notifier_owner", "1 while this notifier sends, 0 while it is a standby", registry=registry
        )
        self.sent = counter("sent", "Events that a receiver has taken")
        self.failures = counter("failures", "Attempts that failed, each of which is repeated")
        self.refused = counter("refused", "Events that a receiver does not take, and that were left out")
        self.lost = counter("lost", "Events that were deleted before they could be sent")
