"""Faults of clock and aggregator as `mtmc status`, the metrics and the state of the site show them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.keys import Keys
from shared.leases import Leases
from shared.messages import SCHEMA, TrackBatch
from shared.redis_connection import Client
from shared.site import read_site
from shared.site_state.problems import Boxes, ProblemWatch
from shared.site_state.reading import StateReader
from shared.site_state.states import SiteState
from tests.command_line import CommandLine, command_line
from tests.integration.test_site_state import AHEAD_MS, now_ms, reader_of, run_camera
from tests.running_services import Run, services_running, write_hall_site

KEYS = Keys("hall")


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with services_running(tmp_path / "log") as start:
        yield start


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


class Watched:
    """Reads the state of the site hall as the page and `mtmc up` do: over and over, with settled problems."""

    def __init__(self, client: Client) -> None:
        published = read_site(client, "hall")
        assert published is not None
        self._reader, self._watch = StateReader(client, client, published), ProblemWatch()

    def read(self) -> SiteState:
        state = self._reader.read()
        return state.with_problems(self._watch.settled(state.problems, time.monotonic()))

    def codes(self) -> list[str]:
        return [problem.code for problem in self.read().problems]


def test_a_hanging_aggregator_and_a_hanging_clock_are_problems_until_they_go_on(
    run: Run, tmp_path: Path, redis_client: Client, redis_url: str, mtmc: CommandLine
) -> None:
    site_file = write_hall_site(tmp_path)
    processes = {role: run(role, site_file, "--redis", redis_url) for role in ("clock", "aggregator")}
    wait_for(lambda: read_site(redis_client, "hall"))
    redis_client.zadd(KEYS.workers, {"w1": now_ms(redis_client) + 3_600_000})  # so that no worker is missed
    watched = Watched(redis_client)
    wait_for(lambda: len(ready := watched.read().health.services) == 2 and all(one.ready for one in ready))
    wait_for(lambda: not watched.codes())
    for role, code in (("aggregator", "no_aggregator"), ("clock", "no_clock")):
        hung = processes[role]
        hung.send_signal(signal.SIGSTOP)
        wait_for(lambda code=code: watched.codes() == [code])
        shown = json.loads(mtmc("status", "--site", "hall", "--redis", redis_url, "--json").stdout)
        (problem,) = shown["problems"]
        assert problem["code"] == code
        assert f"the {role} on " in problem["text"]
        assert f"(pid {hung.pid}) does not answer" in problem["text"]
        assert problem["advice"].startswith(f"restart the {role} on ")
        assert shown["well"] is False
        hung.send_signal(signal.SIGCONT)
        wait_for(lambda: not watched.codes())
    shown = json.loads(mtmc("status", "--site", "hall", "--redis", redis_url, "--json").stdout)
    assert (shown["well"], shown["problems"]) == (True, [])


def test_no_camera_is_live_while_a_clock_holds_its_role_without_ticking(redis_client: Client) -> None:
    reader = reader_of(redis_client)
    assert Leases(redis_client, KEYS).acquire("clock", 600) is not None
    redis_client.set(KEYS.tick, 42)
    redis_client.xadd(KEYS.ticks, {"tick": 42, "time_ns": 0, "gate": 43}, id=f"{now_ms(redis_client) - 2500}-0")
    redis_client.xadd(KEYS.ticks, {"tick": 42, "time_ns": 0, "gate": 44})  # a worker raised the gate
    for name in "abc":
        run_camera(redis_client, name)
    state = reader.read()
    assert {(camera.state, camera.message) for camera in state.cameras} == {("stalled", "the clock publishes no ticks")}
    (stopped, _) = state.problems
    assert stopped.code == "clock_stopped"
    assert stopped.seconds is not None
    assert stopped.seconds >= 2.5


def see(client: Client, name: str, tick: int, age_ms: int, *track_ids: int) -> None:
    """Writes an entry as a worker would have `age_ms` ago."""
    n = len(track_ids)
    batch = TrackBatch(
        track_ids=np.array(track_ids, np.int64),
        boxes_xyxy=np.zeros((n, 4), np.float32),
        scores=np.ones(n, np.float32),
        class_ids=np.zeros(n, np.int16),
        qualities=np.ones(n, np.float32),
        embedding_rows=np.full(n, -1, np.int32),
        width=640,
        height=480,
    )
    fields = {"schema": SCHEMA, "seq": tick, "camera": name, "tick": tick, "time_ns": tick * 10**8, "n": n}
    client.xadd(KEYS.tracks(name), {**fields, "payload": batch.encode()}, id=f"{now_ms(client) - age_ms}-0")
    client.hset(KEYS.camera(name), "tick", tick)


def test_boxes_without_gid_are_counted_and_missing_ones_are_a_problem(redis_client: Client) -> None:
    first = 1_700_000_000_123_001  # as large as real ones
    ids = [first + i for i in range(40)]
    reader_of(redis_client)
    for lease in ("clock", "aggregator"):
        redis_client.set(KEYS.lease(lease), "1:x", px=60_000)
    redis_client.set(KEYS.tick, 42)
    redis_client.xadd(KEYS.ticks, {"tick": 42, "time_ns": 0, "gate": 43})
    redis_client.xadd(KEYS.cycles, {"tick": 42}, id="42-0")
    for name in "abc":
        run_camera(redis_client, name)
    see(redis_client, "a", 2, 4000, *ids[:4], 9)
    see(redis_client, "a", 42, -AHEAD_MS, *ids)
    see(redis_client, "b", 2, 5000, 1, 2)
    see(redis_client, "b", 42, -AHEAD_MS, 2)
    see(redis_client, "c", 42, -AHEAD_MS)
    redis_client.hset(KEYS.gids("a"), mapping={ids[0]: 1, ids[1]: 2, ids[5]: 3})

    def health() -> tuple[Boxes, list[str]]:
        published = read_site(redis_client, "hall")
        assert published is not None
        state = StateReader(redis_client, redis_client, published).read()
        return state.health.boxes, [problem.code for problem in state.problems]

    assert health() == (Boxes(shown=41, without_gid=38, due=5, overdue=3), ["gids_missing"])
    redis_client.hset(KEYS.gids("b"), mapping={2: 1})
    assert health() == (Boxes(shown=41, without_gid=37, due=5, overdue=2), [])
    redis_client.set(KEYS.gids("c"), "of no use")
    redis_client.xadd(KEYS.tracks("b"), {"n": 1, "time_ns": 0, "payload": b"\xa8track_id\xc4"})
    assert health()[0].shown == 40, "one camera that cannot be read affects only itself"
    redis_client.xadd(
        KEYS.tracks("b"), {"n": 1, "time_ns": 0, "payload": b"\xa8track_id\xc6\xff\xff\xff\xff" + bytes(100_000)}
    )
    assert health()[0].shown == 5040


def test_an_aggregator_behind_the_cameras_is_a_problem(redis_client: Client) -> None:
    reader = reader_of(redis_client)
    for lease in ("clock", "aggregator"):
        redis_client.set(KEYS.lease(lease), "1:x", px=60_000)
    redis_client.set(KEYS.tick, 100)
    redis_client.xadd(KEYS.ticks, {"tick": 100, "time_ns": 0, "gate": 101})
    for name, seen in (("a", 100), ("b", 70), ("c", 100)):
        run_camera(redis_client, name, tick=seen)
        redis_client.zadd(KEYS.seen, {name: seen})
    redis_client.xadd(KEYS.cycles, {"tick": 69}, id="69-0")
    state = reader.read()
    assert (state.health.cycle_lag_ticks, state.problems) == (1, ()), "it waits for camera b"
    redis_client.zadd(KEYS.seen, {"b": 99})
    state = reader.read()
    assert state.health.cycle_lag_ticks == 30
    assert [problem.code for problem in state.problems] == ["aggregator_behind"]
    assert {camera.warning for camera in state.cameras} == {"its tracks get their global ids late or not at all"}
    assert not any(camera.is_well for camera in state.cameras)
