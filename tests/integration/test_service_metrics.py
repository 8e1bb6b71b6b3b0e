"""What each service counts, for real events, and that the documentation lists every metric."""

from __future__ import annotations

import os
import re
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.aggregator.service import Aggregator
from services.camera_worker.claims import Claims
from services.clock.service import Clock
from services.notifier.service import Notifier
from services.streamer.redis_check import RedisCheck
from shared.camera_settings import remove_cameras
from shared.errors import LeaseLost
from shared.leases import Leases
from shared.monitoring.monitor import Monitor
from shared.process import Connected
from shared.redis_connection import Client, connect, server_time_ns
from shared.site import PublishedSite, publish_site
from tests.conftest import RedisProcess
from tests.integration.streamer_site import publish, serving, wait_until
from tests.integration.test_aggregator import Feeder, aggregator_of, scene, site_of
from tests.integration.worker_parts import WorkerSite, running
from tests.stopwatch import Stopwatch
from tests.unit.association.scenes import Stay, entries

ROOT = Path(__file__).resolve().parents[2]


def value(monitor: Monitor, name: str, **labels: str) -> float | None:
    return monitor.registry.get_sample_value(name, labels)


# -- clock -----------------------------------------------------------------------------------------------------


def live_site(client: Client, stall_seconds: float = 0.3) -> PublishedSite:
    """A site whose clock makes three steps per tick, because it checks for stalled cameras more often than it ticks."""
    site = site_of(client, "yard", mode="live")
    clock = site.config.clock.model_copy(update={"target_fps": 5.0, "stall_seconds": stall_seconds})
    return PublishedSite(1, site.config.model_copy(update={"clock": clock}), site.layout, {})


def begin_at(client: Client, site: PublishedSite, tick: int) -> None:
    """Makes the ticks continue from `tick`."""
    client.set(site.keys.tick, tick)
    client.xadd(site.keys.ticks, {"tick": tick, "time_ns": server_time_ns(client), "gate": tick + 1})


def test_a_clock_counts_its_ticks_and_the_stalls_of_cameras(redis_client: Client) -> None:
    site, monitor = live_site(redis_client, stall_seconds=3.0), Monitor()
    begin_at(redis_client, site, 10**6)
    clock = Clock(redis_client, site, monitor)
    assert value(monitor, "mtmc_clock_owner") == 0
    for _ in range(6):
        clock.step()
    ticks = {int(fields[b"tick"]) for _, fields in redis_client.xrange(site.keys.ticks)} - {10**6}
    assert ticks
    assert value(monitor, "mtmc_clock_ticks_total") == len(ticks)
    lease = Leases(redis_client, site.keys).acquire("camera:A", 60)
    assert lease is not None
    redis_client.zadd(site.keys.seen, {"A": 1, "B": 10**6})
    redis_client.zadd(site.keys.marked_at, {"A": 1, "B": server_time_ns(redis_client) // 10**6})
    clock.step()
    assert value(monitor, "mtmc_clock_stalls_total", camera="A") == 1
    assert value(monitor, "mtmc_clock_stalled_cameras") == 1
    assert value(monitor, "mtmc_clock_stalls_total", camera="B") is None
    redis_client.zadd(site.keys.seen, {"B": 10**6, "C": 10**6 - 7})
    now_ms = server_time_ns(redis_client) // 10**6
    redis_client.zadd(site.keys.marked_at, {"B": now_ms, "C": now_ms})
    clock.step()
    assert value(monitor, "mtmc_clock_skew_ticks") == 7
    assert int(redis_client.hget(site.keys.skew, "skew")) == 7
    assert value(monitor, "mtmc_clock_owner") == 1


def test_a_clock_drops_the_stalls_of_a_removed_camera(redis_client: Client) -> None:
    site, monitor = live_site(redis_client), Monitor()
    publish_site(redis_client, site.config)
    begin_at(redis_client, site, 10**6)
    clock = Clock(redis_client, site, monitor)
    for camera in ("A", "B"):
        redis_client.zadd(site.keys.seen, {"A": 1, "B": 1, "C": 10**6})
        redis_client.zadd(site.keys.marked_at, {"A": 1, "B": 1, "C": 1})
        while not value(monitor, "mtmc_clock_stalls_total", camera=camera):
            clock.step()
    remove_cameras(redis_client, site.keys, ["A"], 60)

    def is_gone() -> bool:
        clock.step()
        return value(monitor, "mtmc_clock_stalls_total", camera="A") is None

    wait_until(is_gone, "the series of the removed camera is gone")
    assert value(monitor, "mtmc_clock_stalls_total", camera="B")


def test_the_gauges_of_a_clock_that_lost_its_role_are_zero(redis_client: Client) -> None:
    site, monitor = live_site(redis_client, stall_seconds=60.0), Monitor()
    begin_at(redis_client, site, 10)
    clock = Clock(redis_client, site, monitor)
    clock.step()
    redis_client.zadd(site.keys.seen, {"A": 1, "B": 9})
    redis_client.zadd(site.keys.marked_at, {"A": server_time_ns(redis_client) // 10**6})
    clock.step()
    assert value(monitor, "mtmc_clock_skew_ticks") == 8
    redis_client.set(site.keys.lease("clock"), "9999999999999:other", px=60_000)
    with pytest.raises(LeaseLost):
        clock.step()
    assert (value(monitor, "mtmc_clock_owner"), value(monitor, "mtmc_clock_skew_ticks")) == (0, 0)
    assert clock.problem() is None, "a standby can do its work"


# -- aggregator ------------------------------------------------------------------------------------------------


def test_an_aggregator_counts_what_it_commits(redis_client: Client) -> None:
    site, monitor = site_of(redis_client, "counted"), Monitor()
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site, monitor)
    assert value(monitor, "mtmc_aggregator_owner") == 0
    feeder.feed(40)
    aggregator.step()
    redis_client.xadd(site.keys.tracks("B"), {"schema": 1, "nonsense": "x"})
    feeder.feed(1)
    missing, _ = redis_client.xrevrange(site.keys.tracks("C"), count=1)[0]
    redis_client.xdel(site.keys.tracks("C"), missing)
    feeder.feed(19)
    aggregator.step()
    assert value(monitor, "mtmc_aggregator_owner") == 1
    ((newest, _),) = redis_client.xrevrange(site.keys.cycles, count=1)  # of ticks 1, 2, 3, …
    assert value(monitor, "mtmc_aggregator_cycles_total") == int(newest.split(b"-")[0])
    assert value(monitor, "mtmc_aggregator_cycle_seconds_count") == 60
    assert value(monitor, "mtmc_aggregator_entries_total") == 60 * 4 - 1
    assert value(monitor, "mtmc_aggregator_dead_letters_total") == redis_client.xlen(site.keys.dead_letters) == 1
    assert value(monitor, "mtmc_aggregator_gaps_total") == 1
    events = [fields[b"kind"].decode() for _, fields in redis_client.xrange(site.keys.events)]
    for kind in ("appeared", "handover", "merged", "split", "left"):
        assert value(monitor, "mtmc_aggregator_events_total", kind=kind) == events.count(kind)
    assert events.count("appeared") > 0
    assert value(monitor, "mtmc_aggregator_identities") == len(aggregator.state.association.identities) > 0
    rows = aggregator.state.association.table.rows
    assert value(monitor, "mtmc_aggregator_live_tracks") == int((rows["used"] & ~rows["ended"]).sum()) > 0
    assert value(monitor, "mtmc_aggregator_lag_ticks") == 0
    assert aggregator._schedule._saver.wait(60)
    feeder.feed(1)
    aggregator.step()
    saved = value(monitor, "mtmc_aggregator_checkpoints_total")
    assert saved in (1, 2, 3), "every 20 ticks, but the next one only begins when the one before is complete"
    age_s = value(monitor, "mtmc_aggregator_checkpoint_age_seconds")
    assert age_s is not None
    assert 0 <= age_s < 60


def test_a_cycle_whose_commit_was_refused_is_counted_only_by_the_new_owner(redis_client: Client) -> None:
    site, monitors = site_of(redis_client, "refused"), [Monitor(), Monitor()]
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site, monitors[0])
    feeder.feed(5)
    aggregator.step()
    feeder.feed(5)
    # Another aggregator takes over between reading the entries and the commit.
    reader = aggregator.state.reader
    original = reader.take_upto

    def overtaken(tick: int) -> Any:
        redis_client.delete(site.keys.lease("aggregator"))
        redis_client.hincrby(site.keys.epochs, "aggregator", 1)
        return original(tick)

    reader.take_upto = overtaken  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        aggregator.step()
    assert value(monitors[0], "mtmc_aggregator_cycles_total") == 5
    assert value(monitors[0], "mtmc_aggregator_owner") == 0
    second = Aggregator(redis_client, site, monitors[1])
    second.step()
    assert value(monitors[1], "mtmc_aggregator_replayed_cycles_total") == 5
    assert value(monitors[1], "mtmc_aggregator_cycles_total") == 5
    assert value(monitors[1], "mtmc_aggregator_entries_total") == 20


def test_an_aggregator_behind_the_cameras_is_not_ready_until_it_has_caught_up(redis_client: Client) -> None:
    site = site_of(redis_client, "behind", cameras=("A", "B"))
    feeder, monitor = Feeder(redis_client, site, entries([Stay(1, 0, 1, 500)])), Monitor()
    aggregator = aggregator_of(redis_client, site)
    assert aggregator.problem() is None, "a standby can do its work"
    feeder.feed(450)
    aggregator = Aggregator(redis_client, site, monitor)
    aggregator.step()
    assert aggregator.problem() == "it is 250 ticks (25.0 s) behind the cameras"
    assert value(monitor, "mtmc_aggregator_lag_ticks") == 250
    aggregator.step()
    assert aggregator.problem() == "it is 50 ticks (5.0 s) behind the cameras"
    aggregator.step()
    assert aggregator.problem() is None
    assert value(monitor, "mtmc_aggregator_lag_ticks") == 0


def test_an_aggregator_that_loads_its_state_is_not_ready(redis_client: Client) -> None:
    site = site_of(redis_client, "loading")
    aggregator = Aggregator(redis_client, site)
    said = []
    original = aggregator._checkpoints.load

    def watched(*given: Any) -> Any:
        said.append(aggregator.problem())
        return original(*given)

    aggregator._checkpoints.load = watched  # type: ignore[method-assign]
    aggregator.step()
    assert said == ["it is loading the state of the last aggregator"]
    assert aggregator.problem() is None


def test_many_cycles_in_one_step_are_progress(redis_client: Client) -> None:
    site, monitor = site_of(redis_client, "long", cameras=("A",)), Monitor()
    now = [0.0]
    monitor.health._now = lambda: now[0]
    monitor.health.enter_loop(lambda: None)
    feeder, aggregator = (
        Feeder(redis_client, site, entries([Stay(1, 0, 1, 50)])),
        Aggregator(redis_client, site, monitor),
    )
    feeder.feed(30)
    seen = []
    original = aggregator.state.association.cycle

    def slow(*arguments: Any) -> Any:
        now[0] += 5
        seen.append(monitor.health.hung())
        return original(*arguments)

    aggregator.step()
    assert value(monitor, "mtmc_aggregator_cycles_total") == 30
    aggregator.state.association.cycle = slow  # type: ignore[method-assign]
    feeder.feed(10)
    aggregator.step()
    assert (len(seen), set(seen)) == (10, {None})
    assert monitor.health.hung() is None


# -- streamer --------------------------------------------------------------------------------------------------


def test_the_streamer_serves_the_same_probes_at_the_port_of_its_page(redis_client: Client, redis_url: str) -> None:
    publish(redis_url, ["north"])
    with serving(redis_url) as streamer:
        wait_until(lambda: streamer.get("/readyz")[0] == 200, "ready")
        assert streamer.get("/readyz")[2] == b"ready\n"
        monitor = streamer.streamer.parts.connected.monitor
        for exported in (streamer.get("/metrics")[2], monitor.text()):
            for name in (b"mtmc_service_ready 1.0", b"mtmc_site_tick 0.0", b"mtmc_streamer_wall_viewers 0.0"):
                assert name in exported


def test_a_streamer_without_its_redis_for_pictures_is_not_ready(
    redis_client: Client, redis_process: RedisProcess
) -> None:
    frames = connect(redis_process.url)
    check = RedisCheck({"Redis": redis_client, "the Redis for pictures": frames})
    assert check.problem() is None
    redis_process.kill()
    assert (check.problem() or "").startswith("the Redis for pictures does not answer: ")
    redis_process.start()
    assert check.problem() is None
    frames.close()


def test_a_hung_redis_for_pictures_blocks_one_probe_and_not_all(
    redis_client: Client, redis_process: RedisProcess
) -> None:
    frames = connect(redis_process.url, timeout_s=30)
    check = RedisCheck({"Redis": redis_client, "the Redis for pictures": frames})
    assert check.problem() is None
    os.kill(redis_process.pid, signal.SIGSTOP)
    try:
        held = threading.Thread(target=check.problem)
        held.start()
        wait_until(check._lock.locked, "the probe that is held up")

        def slow() -> bool:
            watch = Stopwatch()
            said = check.problem()
            assert watch.within(1.0), "it waits too"
            return re.match(r"the Redis for pictures has not answered for [1-9]", said or "") is not None

        wait_until(slow, "a probe that reports it", 20)
        assert held.is_alive()
    finally:
        os.kill(redis_process.pid, signal.SIGCONT)
    held.join()
    frames.close()


# -- camera worker ---------------------------------------------------------------------------------------------


def test_a_worker_counts_ticks_pictures_sources_and_lost_cameras(redis_client: Client, tmp_path: Path) -> None:
    site, monitor = WorkerSite(redis_client, tmp_path, "ab"), Monitor()
    with running(site, monitor) as worker:
        wait_until(lambda: {"a", "b"} <= set(worker.loop.cameras), "both cameras run")
        ticks = partial(value, monitor, "mtmc_camera_worker_ticks_handled_total", camera="a")
        wait_until(lambda: (ticks() or 0) >= 5, "ticks are counted")
        pictures = partial(value, monitor, "mtmc_camera_worker_pictures_published_total")
        wait_until(lambda: (pictures() or 0) >= 2, "pictures too")
        counted = ticks()
        assert counted is not None
        assert counted <= len(site.entries("a"))
        assert (value(monitor, "mtmc_camera_worker_tick_seconds_count") or 0) >= 5
        for name in ("pictures_dropped_total", "source_frames_dropped_total", "source_failures_total"):
            assert f"mtmc_camera_worker_{name}" in monitor.text().decode()
        wait_until(lambda: value(monitor, "mtmc_camera_worker_cameras") == 2, "cameras are counted")
        remove_cameras(site.client, site.keys, ["b"], kept_seconds=60)
        wait_until(lambda: value(monitor, "mtmc_camera_worker_cameras_lost_total") == 1, "the loss is counted")
        wait_until(lambda: value(monitor, "mtmc_camera_worker_cameras") == 1, "one camera is left")


def test_a_worker_with_a_hung_roster_is_not_ready(
    redis_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, hang = WorkerSite(redis_client, tmp_path, "a"), threading.Event()
    with running(site, Monitor()) as worker:
        wait_until(lambda: "a" in worker.loop.cameras, "the camera runs")
        assert worker.problem() is None
        monkeypatch.setattr("services.camera_worker.worker._ROSTER_LIMIT_S", 0.3)
        monkeypatch.setattr(Claims, "look", lambda *_: hang.wait(60))
        wait_until(lambda: worker.problem() is not None, "it says so")
        hang.set()


# -- the documentation -----------------------------------------------------------------------------------------


def exported(text: str) -> dict[str, str]:
    """Metric → type, as Prometheus reads them, without the client's own `process_*` and `*_created`."""
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("mtmc_") and not family.name.endswith("_created"):
            found[family.name + ("_total" if family.type == "counter" else "")] = family.type
    return found


def documented() -> dict[str, str]:
    section = (ROOT / "docs" / "operations.md").read_text().partition("### Metrics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`mtmc_.*?) \| (\w+) \|", section, re.MULTILINE)
    return {name: kind for names, kind in rows for name in re.findall(r"`(\w+)(?:\{.*?\})?`", names)}


def test_the_documentation_lists_every_metric_with_its_type(
    redis_client: Client, redis_url: str, tmp_path: Path
) -> None:
    site = site_of(redis_client, "documented")
    monitors = [Monitor(), Monitor(), Monitor()]
    Clock(redis_client, site, monitors[0])
    Aggregator(redis_client, site, monitors[1])
    Notifier(Connected(redis_client, redis_client, site, monitors[2]))
    found: dict[str, str] = {}
    workers_site, monitor = WorkerSite(redis_client, tmp_path, "a"), Monitor()
    with running(workers_site, monitor) as worker:
        wait_until(lambda: "a" in worker.loop.cameras, "the camera runs")
        monitors.append(monitor)
        for monitor in monitors:
            found |= exported(monitor.text().decode())
    publish(redis_url, ["north"])
    with serving(redis_url) as streamer:
        found |= exported(streamer.get("/metrics")[2].decode())
    assert documented() == found
