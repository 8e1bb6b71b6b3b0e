from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.camera_worker.handover import Outcome, ReleaseWhen
from services.camera_worker.loop import TickLoop
from shared import stream_cap
from shared.errands import Errands
from shared.errors import InferenceFailed
from shared.gate import Gate
from shared.leases import Leases
from shared.redis_connection import Client, server_time_ns
from tests.integration.worker_parts import StillSource, WorkerSite, running, wait_for
from tests.stopwatch import Stopwatch
from vision.video.source import SourceState


@pytest.fixture
def site(redis_client: Client, tmp_path: Path) -> WorkerSite:
    return WorkerSite(redis_client, tmp_path, "ab")


@pytest.fixture
def ticking(site: WorkerSite) -> Iterator[None]:
    with site.ticking():
        yield


def step_until(loop: TickLoop, condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "stepped in vain"
        loop.step()


@pytest.mark.usefixtures("ticking")
def test_a_camera_from_the_roster_takes_part_and_sends_every_tick(site: WorkerSite) -> None:
    loop = site.loop()
    site.handover.give(site.camera("a", StillSource()))
    step_until(loop, lambda: len(site.entries("a")) >= 5)
    entries = site.entries("a")
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    # At once: a mark that comes late counts for the tick before the current one.
    with site.client.pipeline(transaction=True) as pipe:
        pipe.zscore(site.keys.seen, "a")
        pipe.get(site.keys.tick)
        seen, tick = pipe.execute()
    assert entries[-1].tick <= seen <= int(tick)
    assert entries[-1].batch.width == 64


@pytest.mark.usefixtures("ticking")
def test_an_existing_gid_of_the_camera_is_loaded_and_a_malformed_one_is_skipped(site: WorkerSite) -> None:
    site.client.hset(site.keys.gids("a"), mapping={"7": 3, "8": "nonsense", "nonsense": 4})
    loop, camera = site.loop(), site.camera("a", StillSource())
    site.handover.give(camera)
    step_until(loop, lambda: camera.handled > 0)
    assert camera.gids == {7: 3}


@pytest.mark.usefixtures("ticking")
def test_a_paused_camera_sends_one_more_tick_that_ends_its_tracks(site: WorkerSite) -> None:
    loop, camera = site.loop(), site.camera("a", StillSource())
    site.handover.give(camera)
    step_until(loop, lambda: site.entries("a"))
    site.handover.request_release(camera, ReleaseWhen.AFTER_NEXT_TICK)
    before = len(site.entries("a"))
    step_until(loop, lambda: not loop.cameras)
    assert len(site.entries("a")) == before + 1
    assert site.handover.returned() == [(camera, Outcome.RELEASED)]


@pytest.mark.usefixtures("ticking")
def test_a_camera_for_another_worker_is_released_at_once(site: WorkerSite) -> None:
    loop, camera, stays = site.loop(), site.camera("a", StillSource()), site.camera("b", StillSource())
    site.handover.give(camera)
    site.handover.give(stays)
    step_until(loop, lambda: set(loop.cameras) == {"a", "b"})
    site.handover.request_release(camera, ReleaseWhen.NOW)
    loop.step()
    assert set(loop.cameras) == {"b"}
    assert site.handover.returned() == [(camera, Outcome.RELEASED)]


@pytest.mark.usefixtures("ticking")
def test_a_camera_with_another_owner_is_given_back_and_the_others_continue(site: WorkerSite) -> None:
    loop, lost, stays = site.loop(), site.camera("a", StillSource()), site.camera("b", StillSource())
    site.handover.give(lost)
    site.handover.give(stays)
    step_until(loop, lambda: set(loop.cameras) == {"a", "b"})
    site.client.delete(lost.lease.key)
    assert Leases(site.client, site.keys).acquire("camera:a", 30) is not None
    step_until(loop, lambda: set(loop.cameras) == {"b"})
    assert site.handover.returned() == [(lost, Outcome.LEASE_LOST)]
    before = len(site.entries("b"))
    step_until(loop, lambda: len(site.entries("b")) > before)


@pytest.mark.parametrize("overloaded", [False, True])
@pytest.mark.usefixtures("ticking")
def test_what_other_threads_leave_to_the_loop_is_done_even_if_it_is_never_idle(
    site: WorkerSite, monkeypatch: pytest.MonkeyPatch, overloaded: bool
) -> None:
    loop, camera, do_one = site.loop(), site.camera("a", StillSource()), Errands.do_one
    if overloaded:  # It never gets to what it does when it is idle.
        monkeypatch.setattr(Errands, "do_one", lambda self, waited_s=0.0: waited_s > 0 and do_one(self, waited_s))
    site.handover.give(camera)
    step_until(loop, lambda: site.entries("a"))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(loop._errands.ask, threading.current_thread, 30.0)
        step_until(loop, asked.done)
    assert asked.result() is threading.current_thread()


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.usefixtures("ticking")
def test_a_tick_that_failed_to_send_is_sent_again_and_not_computed_again(
    site: WorkerSite, monkeypatch: pytest.MonkeyPatch, carried_out: bool
) -> None:
    """It contains the ends of tracks, which a second computation of the tick would not include."""
    loop, camera = site.loop(), site.camera("a", StillSource())
    camera._ended = [41, 42]  # two tracks that end at the next tick
    site.handover.give(camera)
    complete, cut_off = Gate.complete_tick, []

    def cut(gate: Gate, tick: int, cameras: Any, cursor: str) -> Any:
        if cameras and not cut_off:
            cut_off.append(tick)
            if carried_out:
                complete(gate, tick, cameras, cursor)
            raise RedisConnectionError("the connection was lost")
        return complete(gate, tick, cameras, cursor)

    monkeypatch.setattr(Gate, "complete_tick", cut)
    with pytest.raises(RedisConnectionError):
        step_until(loop, lambda: False)
    step_until(loop, lambda: len(site.entries("a")) >= 3)
    first = site.entries("a")[0]
    assert (first.tick, first.batch.ended.tolist()) == (cut_off[0], [41, 42])
    ticks = [entry.tick for entry in site.entries("a")]
    assert ticks == sorted(set(ticks)), "no tick was appended twice"


@pytest.mark.usefixtures("ticking")
def test_an_ended_file_is_given_back_after_its_last_tick(site: WorkerSite) -> None:
    loop, source = site.loop(), StillSource()
    camera = site.camera("a", source)
    site.handover.give(camera)
    step_until(loop, lambda: site.entries("a"))
    source.state = SourceState.ENDED
    before = len(site.entries("a"))
    step_until(loop, lambda: not loop.cameras)
    assert len(site.entries("a")) == before + 1
    assert site.handover.returned() == [(camera, Outcome.ENDED)]


def test_an_idle_loop_keeps_its_leases(site: WorkerSite) -> None:
    """Without a clock, so that only the loop itself renews them."""
    loop, camera = site.loop(), site.camera("a", StillSource())
    site.handover.give(camera)
    until = time.monotonic() + 3 * site.config.worker.lease_seconds
    while time.monotonic() < until:
        watch = Stopwatch()
        loop.step()
        # Only a machine that was held up for nearly the length of a lease lets it expire.
        assert site.owned("a") or watch.seconds > 0.5
    assert loop.cameras == {"a": camera}


@pytest.mark.usefixtures("ticking")
def test_a_stream_is_capped_in_bytes(site: WorkerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_cap, "STREAM_BYTES", 2_000)
    loop, camera = site.loop(), site.camera("a", StillSource())
    site.handover.give(camera)
    step_until(loop, lambda: camera.handled > 0)
    asked: list[int] = []
    complete = Gate.complete_tick

    def noted(gate: Gate, tick: int, cameras: Any, cursor: str) -> Any:
        asked.extend(one.longest for one in cameras)
        return complete(gate, tick, cameras, cursor)

    monkeypatch.setattr(Gate, "complete_tick", noted)
    step_until(loop, lambda: len(asked) >= 3)
    assert max(asked) < 20, "fourteen of these entries are 2,000 bytes; replay_seconds alone would keep 1,200"


@pytest.mark.parametrize("goodbye", list(ReleaseWhen))
@pytest.mark.usefixtures("ticking")
def test_a_camera_that_is_requested_back_before_the_loop_has_seen_it_is_given_back(
    site: WorkerSite, goodbye: ReleaseWhen
) -> None:
    loop, camera = site.loop(), site.camera("a", StillSource())
    site.handover.give(camera)
    site.handover.request_release(camera, goodbye)
    loop.step()
    assert site.handover.returned() == [(camera, Outcome.RELEASED)]
    assert loop.cameras == {}


def publish_tick(site: WorkerSite, tick: int, time_ns: int) -> None:
    """As the clock does."""
    site.client.set(site.keys.tick, tick)
    site.client.xadd(site.keys.ticks, {"tick": tick, "time_ns": time_ns, "gate": tick + 1})


def test_when_redis_clock_is_set_entries_have_its_new_time_and_the_camera_goes_on(site: WorkerSite) -> None:
    loop, step_ns, tick_ns = site.loop(), 3600 * 10**9, 10**9 // 20
    publish_tick(site, 1, began_ns := server_time_ns(site.client))
    camera = site.camera("a", StillSource())
    site.handover.give(camera)
    for tick in range(2, 12):
        publish_tick(site, tick, began_ns + tick * tick_ns + (step_ns if tick > 6 else 0))
        step_until(loop, lambda tick=tick: camera.handled >= tick)
    times = [entry.time_ns for entry in site.entries("a")]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len([gap for gap in gaps if gap > step_ns // 2]) == 1, "the entries follow Redis's clock"
    assert abs(site.site_time.now_ns() - began_ns) < step_ns // 2, "the worker's own time is steady"
    assert site.site_time.shift_ns == step_ns


def test_the_highest_gid_of_the_site_is_reported(site: WorkerSite) -> None:
    with running(site) as worker:
        wait_for(lambda: site.owned("a") and site.entries("a"))
        site.client.xadd(site.keys.assignments, {"tick": 1, "camera": "elsewhere", "track_id": 5, "gid": 41})
        wait_for(lambda: worker.loop.highest_gid == 41)
        (name,) = site.client.zrange(site.keys.workers, 0, -1)
        wait_for(lambda: site.client.hget(site.keys.worker(name.decode()), "highest_gid") == b"41")


def test_a_clock_that_counts_anew_is_followed(site: WorkerSite) -> None:
    loop, camera = site.loop(), site.camera("a", StillSource())
    publish_tick(site, 5000, server_time_ns(site.client))
    site.handover.give(camera)
    step_until(loop, lambda: camera.handled >= 4999)
    site.client.flushdb()
    publish_tick(site, 1, server_time_ns(site.client))
    step_until(loop, lambda: camera.handled <= 1)
    for tick in (2, 3):
        publish_tick(site, tick, server_time_ns(site.client))
        step_until(loop, lambda tick=tick: any(entry.tick == tick for entry in site.entries("a")))


def test_a_camera_whose_pictures_fail_is_down_with_the_reason(
    site: WorkerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = site.models.detector(site.config_of("a"))
    detect = type(detector).detect

    def failing(*_: Any) -> Any:
        raise InferenceFailed("out of memory")

    monkeypatch.setattr(type(detector), "detect", failing)
    with running(site):
        wait_for(lambda: site.state("a").get("error") == "out of memory")
        assert site.state("a")["state"] == "down"
        monkeypatch.setattr(type(detector), "detect", detect)
        wait_for(lambda: site.state("a")["state"] == "live")
        assert site.state("a")["error"] == ""
