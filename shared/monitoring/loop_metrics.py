"""The metrics that every service has: those of its loop."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from shared.monitoring.health import Health
from shared.version import mtmc_version

_STEP_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class LoopMetrics:
    """Counts over the whole life of a process, across restarts of its service with a new site."""

    def __init__(self, service: str, site: str, health: Health) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        info = Gauge(
            "mtmc_service_info", "Always 1; the labels identify the process", ["service", "site", "version"],
            registry=registry,
        )  # fmt: skip
        info.labels(service, site, mtmc_version()).set(1)
        ready = Gauge("mtmc_service_ready", "1 if the service is ready, like /readyz", registry=registry)
        ready.set_function(lambda: float(health.not_ready() is None))
        age = Gauge("mtmc_service_step_age_seconds", "How long ago the loop finished a step", registry=registry)
        age.set_function(health.seconds_since_step)
        self.step_seconds = Histogram(
            "mtmc_service_step_seconds",
            "Duration of a step of the loop, including waiting for work",
            buckets=_STEP_BUCKETS_S,
            registry=registry,
        )
        self.redis_failures = Counter(
            "mtmc_service_redis_failures",
            "Steps that failed because Redis did not answer (unreachable) or refused writes (refused)",
            ["reason"],
            registry=registry,
        )
        for reason in ("unreachable", "refused"):
            self.redis_failures.labels(reason)
        self.redis_reconnects = Counter(
            "mtmc_service_redis_reconnects",
            "Times that the connection to Redis was lost and restored",
            registry=registry,
        )
        self.leases_lost = Counter(
            "mtmc_service_leases_lost", "Times that another process took over the service's role", registry=registry
        )
        self.site_reloads = Counter(
            "mtmc_service_site_reloads",
            "Times that the service restarted because the site was published again",
            registry=registry,
        )
