"""Site time over a simulated network: the delays of every round trip are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from shared import site_time as site_time_module
from shared.site_time import MEASURE_EVERY_S, SiteTime

MS = 1_000_000
DELAY = st.integers(0, 200 * MS)
UNUSED: Any = None


class Network:
    """A Redis server behind a network; only round trips take time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.local_ns = 5_000 * MS
        self.ahead_ns = 1_790_000_000_000 * MS
        """How far the server's clock is ahead of the local monotonic one."""
        self.delays_ns: list[tuple[int, int]] = []
        """Delays there and back of the next round trips."""
        self.asked = 0
        self.is_away = False
        clock = SimpleNamespace(
            monotonic_ns=lambda: self.local_ns,
            monotonic=lambda: self.local_ns / 1e9,
            time_ns=lambda: self.local_ns,
        )
        monkeypatch.setattr(site_time_module, "time", clock)
        monkeypatch.setattr(site_time_module, "server_time_ns", self.server_time_ns)

    def server_time_ns(self, _: Any) -> int:
        if self.is_away:
            raise RedisConnectionError("away")
        self.asked += 1
        there_ns, back_ns = self.delays_ns.pop(0) if self.delays_ns else (0, 0)
        self.local_ns += there_ns
        answer = self.local_ns + self.ahead_ns
        self.local_ns += back_ns
        return answer

    def pass_s(self, seconds: float) -> float:
        """Lets time pass; returns the local monotonic time after it, seconds."""
        self.local_ns += round(seconds * 1e9)
        return self.local_ns / 1e9

    def error_ns(self, site_time: SiteTime) -> int:
        return site_time.now_ns() - (self.local_ns + self.ahead_ns)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


def test_the_shortest_round_trip_decides(network: Network) -> None:
    network.delays_ns = [(80 * MS, 2 * MS), (2 * MS, 90 * MS), (MS, MS), (40 * MS, 0), (0, 100 * MS)]
    assert network.error_ns(SiteTime(UNUSED)) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(delays_ns=st.lists(st.tuples(DELAY, DELAY), min_size=5, max_size=5))
def test_the_error_of_site_time_is_at_most_half_of_the_shortest_round_trip(
    network: Network, delays_ns: list[tuple[int, int]]
) -> None:
    network.delays_ns = list(delays_ns)
    error_ns = network.error_ns(SiteTime(UNUSED))
    assert network.delays_ns == []
    assert abs(error_ns) <= min(there + back for there, back in delays_ns) / 2 + 1


def test_it_is_measured_again_periodically(network: Network) -> None:
    site_time = SiteTime(UNUSED)
    for _ in range(3):
        network.ahead_ns += 50 * MS  # the clocks drift apart
        asked = network.asked
        site_time.measure_if_due(network.pass_s(MEASURE_EVERY_S - 0.1))
        assert network.asked == asked
        assert network.error_ns(site_time) == -50 * MS
        site_time.measure_if_due(network.pass_s(0.1))
        assert network.error_ns(site_time) == 0


def test_a_failed_measurement_is_retried(network: Network) -> None:
    site_time = SiteTime(UNUSED)
    network.ahead_ns += 50 * MS
    network.is_away = True
    with pytest.raises(RedisConnectionError):
        site_time.measure_if_due(network.pass_s(MEASURE_EVERY_S))
    network.is_away = False
    site_time.measure_if_due(network.pass_s(0.1))
    assert network.error_ns(site_time) == 0
