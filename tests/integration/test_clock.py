from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.clock import redis_clock
from services.clock.service import LEASE_SECONDS, Clock
from shared.config import SiteConfig
from shared.errors import LeaseLost
from shared.gate import CompletedCamera, Gate
from shared.leases import Leases
from shared.messages import TrackBatch
from shared.redis_connection import RETRYABLE, Client, connect, server_time_ns
from shared.service import run
from shared.site import PublishedSite, publish_site, read_site
from tests.stopwatch import Stopwatch

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """
import sys
from services.clock.service import Clock
from shared.redis_connection import connect
from shared.service import run, stop_on_signals
from shared.site import read_site

client = connect(sys.argv[1])
run(Clock(client, read_site(client, "yard")), stop_on_signals())
"""


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def published(client: Client, cameras: tuple[str, ...] = ("north",), **clock: Any) -> PublishedSite:
    config = SiteConfig.model_validate(
        {
            "site": "yard",
            "clock": clock,
            "detector": {"model": "detector.onnx"},
            "embedder": {"model": "embedder.onnx"},
            "cameras": [{"name": name, "source": f"{name}.mp4"} for name in cameras],
        }
    )
    publish_site(client, config)
    site = read_site(client, "yard")
    assert site is not None
    return site


def ticks_of(client: Client, site: PublishedSite) -> list[tuple[int, int]]:
    """Tick and time in ns of every entry."""
    entries = client.xrange(site.keys.ticks)
    return [(int(fields[b"tick"]), int(fields[b"time_ns"])) for _, fields in entries]


def has_reached(client: Client, site: PublishedSite, tick: int) -> bool:
    return int(client.get(site.keys.tick)) == tick


def step_until(clock: Clock, client: Client, site: PublishedSite, count: int, seconds: float = 60.0) -> None:
    """Steps until this many ticks were published."""
    deadline = time.monotonic() + seconds
    while len(ticks_of(client, site)) < count:
        assert time.monotonic() < deadline, "the clock does not tick"
        clock.step()


def assert_time_goes_on(ticks: list[tuple[int, int]]) -> None:
    numbers = [tick for tick, _ in ticks]
    assert numbers == sorted(set(numbers)), "a tick was published twice, or they went back"
    times = [time_ns for _, time_ns in ticks]
    assert times == sorted(set(times)), "site time stood still or went back"


@contextmanager
def running(service: Clock) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(service, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def clock_process(client: Client, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A clock in its own process, once it has connected."""
    # Not their number: at any moment a connection of an earlier test may end.
    before = {one["id"] for one in client.client_list()}
    process = subprocess.Popen([sys.executable, "-c", SOURCE, url], cwd=ROOT)
    try:
        wait_for(lambda: not {one["id"] for one in client.client_list()} <= before)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.alone
def test_a_standby_takes_over_from_a_killed_clock_within_a_lease_and_a_second(
    redis_client: Client, redis_url: str
) -> None:
    site = published(redis_client, target_fps=20)
    with clock_process(redis_client, redis_url) as first:
        wait_for(lambda: len(ticks_of(redis_client, site)) >= 3)
        owner = redis_client.get(site.keys.lease("clock"))
        with clock_process(redis_client, redis_url):
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            before, watch = int(redis_client.get(site.keys.tick)), Stopwatch()
            wait_for(lambda: int(redis_client.get(site.keys.tick)) > before + 2)
            assert watch.within(LEASE_SECONDS + 1), watch.seconds
    assert redis_client.get(site.keys.lease("clock")) != owner
    ticks = ticks_of(redis_client, site)
    assert_time_goes_on(ticks)
    # Ticks continue by time: those that were not published are skipped, not published later.
    (first_tick, first_ns), (last_tick, last_ns) = ticks[0], ticks[-1]
    assert last_ns - first_ns == pytest.approx((last_tick - first_tick) * 1e9 / 20, abs=2000)
    assert any(after - before > 20 for (before, _), (after, _) in itertools.pairwise(ticks))


def test_a_clock_that_stops_cleanly_is_replaced_at_once(redis_client: Client) -> None:
    site = published(redis_client, target_fps=50)
    first, second = Clock(redis_client, site), Clock(redis_client, site)
    first.step()
    second.step()
    epoch = int(redis_client.hget(site.keys.epochs, "clock"))
    first.close()
    second.step()
    assert int(redis_client.hget(site.keys.epochs, "clock")) > epoch + 1, "it waited for the lease to expire"
    before = len(ticks_of(redis_client, site))
    step_until(second, redis_client, site, before + 1)


def test_the_rate_is_right_and_each_tick_is_on_time(redis_client: Client, redis_url: str) -> None:
    site = published(redis_client, target_fps=40)
    with running(Clock(connect(redis_url), site)):
        wait_for(lambda: len(ticks_of(redis_client, site)) > 80)
    ticks = ticks_of(redis_client, site)
    assert_time_goes_on(ticks)
    (first, began_ns), (last, ended_ns) = ticks[0], ticks[-1]
    assert ended_ns - began_ns == pytest.approx((last - first) * 1e9 / 40, abs=2000)
    entries = redis_client.xrange(site.keys.ticks)
    late_ms = sorted(int(entry_id.split(b"-")[0]) - int(fields[b"time_ns"]) / 1e6 for entry_id, fields in entries)
    assert late_ms[0] > -1.1, "a tick was published before its time"
    # The machine may hold up a few of them, and then the clock skips some.
    assert late_ms[len(late_ms) // 2] < 1000 / 40, "ticks are late"
    assert last - first >= 80


def test_a_new_rate_continues_from_the_last_tick(redis_client: Client) -> None:
    began_ns = server_time_ns(redis_client)
    for fps in (50.0, 8.0, 30.0):
        site = published(redis_client, target_fps=fps)
        before = len(ticks_of(redis_client, site))
        clock = Clock(redis_client, site)
        step_until(clock, redis_client, site, before + 4)
        clock.close()
    ticks = ticks_of(redis_client, site)
    assert_time_goes_on(ticks)
    assert ticks[-1][0] <= 50 * (server_time_ns(redis_client) - began_ns) / 1e9 + 4
    # Of the last four, the machine may have held up some.
    entries = redis_client.xrange(site.keys.ticks)[-4:]
    late_ms = [int(entry_id.split(b"-")[0]) - int(fields[b"time_ns"]) / 1e6 for entry_id, fields in entries]
    assert min(late_ms) > -1.1
    assert min(late_ms) < 300


def test_two_clocks_never_tick_together(redis_client: Client, redis_url: str) -> None:
    site = published(redis_client, target_fps=30)
    with running(Clock(connect(redis_url), site)), running(Clock(connect(redis_url), site)):
        wait_for(lambda: len(ticks_of(redis_client, site)) > 30)
    assert_time_goes_on(ticks_of(redis_client, site))
    assert redis_client.hlen(site.keys.epochs) == 1


def test_a_clock_that_was_replaced_notices_and_becomes_a_standby(redis_client: Client) -> None:
    site = published(redis_client, target_fps=30)
    clock = Clock(redis_client, site)
    clock.step()
    redis_client.set(site.keys.lease("clock"), "9:somebody-else", px=60_000)
    with pytest.raises(LeaseLost):
        clock.step()
    tick = redis_client.get(site.keys.tick)
    for _ in range(3):
        clock.step()
    assert redis_client.get(site.keys.tick) == tick
    clock.close()
    assert redis_client.get(site.keys.lease("clock")) == b"9:somebody-else"


def test_a_connection_lost_while_taking_over_makes_no_ticks_without_an_origin(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = published(redis_client, target_fps=30)

    def gone(_: Client) -> int:
        raise RETRYABLE[0]("connection lost")

    clock = Clock(redis_client, site)
    with monkeypatch.context() as patch:
        patch.setattr(redis_clock, "server_time_ns", gone)
        with pytest.raises(RETRYABLE):
            clock.step()
    step_until(clock, redis_client, site, 1)
    assert ticks_of(redis_client, site)[0][0] < 30 * 10
    clock.close()


def test_a_low_tick_rate_neither_loses_the_lease_nor_blocks_a_step(redis_client: Client) -> None:
    site = published(redis_client, target_fps=0.05, stall_seconds=600)
    clock = Clock(redis_client, site)
    until, value, took_s = time.monotonic() + LEASE_SECONDS + 0.5, None, list[float]()
    while time.monotonic() < until or len(took_s) < 4:
        watch = Stopwatch()
        clock.step()
        took_s.append(watch.seconds)
        value = value or redis_client.get(site.keys.lease("clock"))
        # Only a machine that was held up for the length of a lease lets it expire.
        assert redis_client.get(site.keys.lease("clock")) == value or watch.seconds > LEASE_SECONDS / 2
    assert sorted(took_s)[-2] < 1.0, "all but the one in which the machine may have been held up"
    clock.close()


def test_a_hung_camera_is_reported_and_its_next_mark_brings_it_back(redis_client: Client, redis_url: str) -> None:
    site = published(redis_client, ("north", "south"), target_fps=30, stall_seconds=0.2, max_skew_ticks=1)
    gate, leases = Gate(redis_client, site.keys, site.config.clock), Leases(redis_client, site.keys)
    empty = TrackBatch().encode()
    north, south = (leases.acquire(f"camera:{name}", 60) for name in ("north", "south"))
    assert north is not None
    assert south is not None
    handled = {"north": 0, "south": 0}

    def stalled_while(*working: CompletedCamera) -> bytes:
        progress = gate.complete_tick(0, [], "0-0")
        tick = min(progress.tick, progress.gate)
        busy = [one for one in working if tick > handled[one.name]]
        if busy:
            progress = gate.complete_tick(tick, busy, "0-0")
            handled.update((one.name, max(tick, progress.tick - 1)) for one in busy)
        stalled: bytes = redis_client.hget(site.keys.skew, "stalled")
        return stalled

    of_north, of_south = (
        CompletedCamera(name, lease, 1, 0, empty, 100) for name, lease in (("north", north), ("south", south))
    )
    with running(Clock(connect(redis_url), site)):
        wait_for(lambda: ticks_of(redis_client, site))
        gate.join("north", north)
        gate.join("south", south)
        wait_for(lambda: stalled_while(of_north) == b"south")
    # While no clock runs, nothing changes between the reads.
    gate.complete_tick(1, [of_south], "0-0")
    assert redis_client.zscore(site.keys.seen, "south") == int(redis_client.get(site.keys.tick)) - 1
    with running(Clock(connect(redis_url), site)):
        wait_for(lambda: stalled_while(of_north, of_south) == b"")


def test_in_virtual_mode_the_clock_ticks_when_all_have_handled_and_never_by_time(
    redis_client: Client, redis_url: str
) -> None:
    site = published(redis_client, ("north", "south"), mode="virtual", target_fps=10, stall_seconds=0.05)
    gate, leases = Gate(redis_client, site.keys, site.config.clock), Leases(redis_client, site.keys)
    empty = TrackBatch().encode()
    with running(Clock(connect(redis_url), site)):
        owned = {}
        for name in ("north", "south"):
            lease = leases.acquire(f"camera:{name}", 60, least_epoch=0)
            assert lease is not None
            gate.join(name, lease)
            owned[name] = lease
        wait_for(lambda: redis_client.get(site.keys.tick) == b"1")
        for tick in range(1, 40):
            for name, lease in owned.items():
                assert int(redis_client.get(site.keys.tick)) == tick
                gate.complete_tick(tick, [CompletedCamera(name, lease, tick, 0, empty, 100)], "0-0")
            assert int(redis_client.get(site.keys.tick)) == tick
            redis_client.xadd(site.keys.cycles, {"tick": tick}, id=f"{tick}-0")
            gate.wake()
            wait_for(partial(has_reached, redis_client, site, tick + 1))
        for name, lease in owned.items():
            gate.retire(name, lease, "ended")
    times = dict(ticks_of(redis_client, site))
    assert [times[tick] for tick in range(1, 41)] == [tick * 100_000_000 for tick in range(1, 41)]
    assert redis_client.get(site.keys.tick) == b"40"


def test_a_slow_reply_is_no_step_of_redis_clock(redis_client: Client, redis_url: str) -> None:
    other = connect(redis_url)
    measured = redis_clock.RedisClock(other)
    steps = [measured.measure()]
    redis_client.client_pause(1500, all=True)
    steps += [measured.measure(), measured.measure()]
    other.close()
    assert steps == [0, 0, 0]
    before_us = server_time_ns(redis_client) // 1000
    expected_us = measured.expected_us()
    after_us = server_time_ns(redis_client) // 1000
    assert before_us - redis_clock.STEP_US < expected_us < after_us + redis_clock.STEP_US
