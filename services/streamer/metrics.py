"""The metrics of a streamer, and those of the site, read from Redis."""

from __future__ import annotations

import contextlib
import math
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis.exceptions import RedisError

from shared.site_state.problems import PROBLEM_CODES
from shared.site_state.states import STATES, SiteState
from shared.watching import Watching

PICTURE_AGES_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)
SKIP_REASONS = ("slow_viewer", "malformed")


class StreamerMetrics:
    """The counters of one streamer."""

    def __init__(self, watching: Watching, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.frames_fetched = Counter(
            "mtmc_streamer_frames_fetched", "Pictures read from Redis", ["camera"], registry=self.registry
        )
        self.picture_age = Histogram(
            "mtmc_streamer_picture_age_seconds",
            "From the site time of a picture until its worker published it (live mode)",
            ["camera"],
            buckets=PICTURE_AGES_S,
            registry=self.registry,
        )
        self.frames_sent = Counter(
            "mtmc_streamer_frames_sent", "Pictures sent, counted for each viewer", ["camera"], registry=self.registry
        )
        self.frames_skipped = Counter(
            "mtmc_streamer_frames_skipped",
            "Pictures not sent: the viewer was too slow (slow_viewer), or the entry is malformed (malformed)",
            ["camera", "reason"],
            registry=self.registry,
        )
        self.placeholders_sent = Counter(
            "mtmc_streamer_placeholders_sent",
            "Placeholders sent instead of a picture",
            ["camera"],
            registry=self.registry,
        )
        self.viewers_refused = Counter(
            "mtmc_streamer_viewers_refused", "Viewers refused because too many were connected", registry=self.registry
        )
        self.viewers_cut_off = Counter(
            "mtmc_streamer_viewers_cut_off",
            "Connections closed because the viewer stopped reading",
            registry=self.registry,
        )
        self.wall_viewers = Gauge("mtmc_streamer_wall_viewers", "Open live pages", registry=self.registry)
        self.registry.register(_ViewersCollector(watching))

    def forget(self, camera: str) -> None:
        """Drops the series of a camera that was removed from the site."""
        for metric in (self.frames_fetched, self.frames_sent, self.placeholders_sent, self.picture_age):
            with contextlib.suppress(KeyError):  # if it never counted anything
                metric.remove(camera)
        for reason in SKIP_REASONS:
            with contextlib.suppress(KeyError):
                self.frames_skipped.remove(camera, reason)


class _ViewersCollector:
    def __init__(self, watching: Watching) -> None:
        self._watching = watching

    def collect(self) -> Iterator[Metric]:
        viewers = GaugeMetricFamily("mtmc_streamer_viewers", "Open streams of one camera", labels=["camera"])
        for camera, count in sorted(self._watching.opened().items()):
            viewers.add_metric([camera], count)
        yield viewers


class SiteCollector:
    """The site's metrics, read at each scrape."""

    def __init__(self, read: Callable[[], SiteState]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The present values; only `mtmc_redis_up` while Redis is unreachable."""
        try:
            state = self._read()
        except RedisError:
            yield GaugeMetricFamily("mtmc_redis_up", "Whether Redis answers", value=0)
            yield _problems({"redis_silent": 1})
            return
        yield GaugeMetricFamily("mtmc_redis_up", "Whether Redis answers", value=1)
        yield GaugeMetricFamily("mtmc_site_tick", "Current tick", value=state.tick)
        yield GaugeMetricFamily("mtmc_site_gate", "Highest tick that a camera may start", value=state.gate or 0)
        yield GaugeMetricFamily("mtmc_site_skew_ticks", "Fastest minus slowest camera", value=state.skew_ticks or 0)
        yield CounterMetricFamily(
            "mtmc_site_skipped_ticks", "Ticks that cameras skipped to keep up", value=state.skipped_ticks
        )
        yield GaugeMetricFamily("mtmc_site_live_identities", "Global ids in view", value=state.live_identities)
        yield from _health_metrics(state)
        yield from _camera_metrics(state)


def _problems(counts: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily("mtmc_site_problems", "Problems of the site as a whole", labels=["code"])
    for code in PROBLEM_CODES:
        family.add_metric([code], counts.get(code, 0))
    return family


def _health_metrics(state: SiteState) -> Iterator[Metric]:
    health = state.health
    yield _problems(Counts(problem.code for problem in state.problems))
    for name, text, value in (
        ("mtmc_site_tick_age_seconds", "How long ago the current tick was published", health.tick_age_s),
        ("mtmc_site_cycle_lag_ticks", "Ticks handled by all cameras since the last cycle", health.cycle_lag_ticks),
        ("mtmc_site_boxes", "Boxes that are shown now", health.boxes.shown),
        ("mtmc_site_boxes_without_gid", "Of these, boxes without a global id", health.boxes.without_gid),
    ):
        yield GaugeMetricFamily(name, text, value=math.nan if value is None else value)
    labels = ["service", "role"]
    ready = GaugeMetricFamily("mtmc_site_service_ready", "1 if it was ready at its last heartbeat", labels=labels)
    age = GaugeMetricFamily("mtmc_site_service_heartbeat_age_seconds", "Age of its last heartbeat", labels=labels)
    for service in health.services:
        ready.add_metric([service.id, service.role], service.ready)
        age.add_metric([service.id, service.role], service.heartbeat_age_seconds)
    yield from (ready, age)


def _camera_metrics(state: SiteState) -> Iterator[Metric]:
    states = GaugeMetricFamily("mtmc_camera_state", "1 for the state that a camera is in", labels=["camera", "state"])
    lag = GaugeMetricFamily("mtmc_camera_lag_ticks", "Current tick minus last handled tick", labels=["camera"])
    age = GaugeMetricFamily("mtmc_camera_picture_age_seconds", "Age of the newest picture", labels=["camera"])
    tracks = GaugeMetricFamily(
        "mtmc_camera_live_tracks", "Tracks in the last picture; 0 once that is stale", labels=["camera"]
    )
    fps = GaugeMetricFamily("mtmc_camera_fps", "Ticks handled per second, as measured by the worker", labels=["camera"])
    for camera in state.cameras:
        for name in STATES:
            states.add_metric([camera.name, name], float(camera.state == name))
        for family, value in (
            (lag, camera.lag_ticks),
            (age, camera.picture_age_s),
            (tracks, camera.live_tracks),
            (fps, camera.fps),
        ):
            if value is not None:
                family.add_metric([camera.name], value)
    yield from (states, lag, age, tracks, fps)
