"""Faults of Redis and of the network to it, in a running site: live tracks keep their ids and their gids.

The site is the same for all faults. Its services connect through a proxy, and the tests directly.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.camera_worker import preparation
from shared.errors import RedisUnusable
from shared.lenient_values import whole
from shared.messages import TrackEntry
from shared.redis_connection import Client, connect
from tests.command_line import CommandLine, command_line
from tests.conftest import RedisProcess
from tests.free_ports import free_port
from tests.integration.worker_parts import StillSource
from tests.running_hall import CAMERAS, KEYS, RunningHall
from tests.small_disk import full, small_disk
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]
OBJECTS = ((8, 16, 8, 20), (24, 16, 8, 20))
"""In every picture of both cameras."""
FAULT_S = 3.0
WAIT_S = 60.0
ANOTHER_WORD = "4f1c0b7e"
HARM = {b"appeared", b"handover", b"merged", b"split", b"left"}
"""Events of identities. None of them happens while four objects stay where they are."""
Logs = Sequence[MutableMapping[str, Any]]
Track = tuple[str, int]


@dataclass
class FaultySite:
    """A running site, its Redis and the network in between."""

    hall: RunningHall
    redis: RedisProcess
    network: TcpProxy
    client: Client
    disk: Path | None
    """The small file system that Redis writes to; None: none could be mounted."""
    cameras: Sequence[str] = CAMERAS

    def gids(self) -> dict[Track, int]:
        """Track in the newest entry of its camera → gid, 0 if it has none."""
        found: dict[Track, int] = {}
        for camera in self.cameras:
            newest = self.client.xrevrange(KEYS.tracks(camera), count=1)
            gids = self.client.hgetall(KEYS.gids(camera))
            tracks = TrackEntry.decode(newest[0][1]).batch.track_ids.tolist() if newest else []
            found |= {(camera, track): int(gids.get(str(track).encode(), 0)) for track in tracks}
        return found

    def problems(self) -> list[str]:
        """The codes of the problems that the page shows."""
        return [one["code"] for one in json.loads(self.hall.pages.get("/api/v1/site")[2])["problems"]]

    def all_have_gids(self) -> bool:
        """Whether every object of every camera has a track with a gid."""
        gids = self.gids()
        return len(gids) == len(self.cameras) * len(OBJECTS) and all(gids.values())

    def entries(self, camera: str, after: str) -> list[TrackEntry]:
        """The entries of a camera after the id `after`."""
        return [TrackEntry.decode(fields) for _, fields in self.client.xrange(KEYS.tracks(camera), f"({after}", "+")]

    def newest(self, key: str) -> str:
        """The id of the newest entry of a stream."""
        found = self.client.xrevrange(key, count=1)
        return found[0][0].decode() if found else "0-0"

    @contextlib.contextmanager
    def unharmed(self, fault: str) -> Iterator[Logs]:
        """Provokes a fault inside the `with` block: afterwards the site goes on, and all live tracks are the same."""
        wait_for(self.all_have_gids, "every object has a track with a gid")
        before = self.gids()
        assert len(set(before.values())) == len(before), "two objects share a gid"
        read_from = {camera: self.newest(KEYS.tracks(camera)) for camera in self.cameras}
        events_from, ticks_from = self.newest(KEYS.events), self.newest(KEYS.ticks)
        with capture_logs() as logs:
            yield logs
            self.hall.wait_until_healthy(fault)
            tick = whole(self.client.get(KEYS.tick)) or 0
            # A track that was missed for too long ends later, so look at another second.
            wait_for(lambda: (whole(self.client.get(KEYS.tick)) or 0) > tick + 20, f"ticks after {fault}")
            self.hall.wait_until_healthy(fault)
        assert not self.hall.errors, self.hall.errors[0]
        assert not self.hall.ended_threads()
        assert not [entry for entry in logs if entry.get("exc_info") or "Redis's clock" in entry["event"]], logs
        ticks = [int(fields[b"tick"]) for _, fields in self.client.xrange(KEYS.ticks, f"({ticks_from}", "+")]
        assert ticks == sorted(ticks)
        seen = {camera: self.entries(camera, read_from[camera]) for camera in self.cameras}
        tracks = {
            (camera, int(track)) for camera in self.cameras for one in seen[camera] for track in one.batch.track_ids
        }
        assert tracks <= before.keys(), f"{fault} made new tracks: {tracks - before.keys()}; {logs}"
        assert not [one.batch.ended for camera in self.cameras for one in seen[camera] if len(one.batch.ended)]
        assert self.gids() == before, logs
        events = [fields for _, fields in self.client.xrange(KEYS.events, f"({events_from}", "+")]
        assert not [fields for fields in events if fields[b"kind"] in HARM], (events, logs)

    def wait_until_all_say(self, words: str, besides: str = "") -> None:
        """Waits until every service, except `besides`, is not ready, with `words` in the reason."""
        monitors = [(role, monitor) for role, monitor in self.hall.monitors.items() if role != besides]
        wait_for(
            lambda: all(words in (monitor.health.not_ready() or "") for _, monitor in monitors),
            lambda: f"{words!r} in {[(role, monitor.health.not_ready()) for role, monitor in monitors]}",
        )


def wait_for(condition: Callable[[], object], what: str | Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what if isinstance(what, str) else what()}"
        time.sleep(0.02)


@contextlib.contextmanager
def faulty_site(folder: Path, source: type[StillSource], disk: Path | None = None, **hall: Any) -> Iterator[FaultySite]:
    """A running site whose cameras show `source`; Redis keeps its files on `disk`. `hall`: see `RunningHall`."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(preparation, "open_source", lambda *_, **__: source())
        try:
            redis = RedisProcess((disk or folder) / "redis")
        except RedisUnusable as error:
            pytest.skip(str(error))
        redis.start()
        stack.callback(redis.stop)
        network = TcpProxy(redis.server.port)
        stack.callback(network.close)
        client = connect(redis.url)
        stack.callback(client.close)
        running = RunningHall(client, f"redis://127.0.0.1:{network.port}/0", folder, **hall)
        stack.callback(running.stop)
        running.wait_until_healthy("the start")
        yield FaultySite(running, redis, network, client, disk, hall.get("cameras", CAMERAS))


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySite]:
    folder = tmp_path_factory.mktemp("hall")
    with small_disk(folder / "disk") as disk, faulty_site(folder, StillSource, disk, objects=OBJECTS) as found:
        yield found


def refusals(logs: Logs) -> list[str]:
    """Why Redis refused writes, according to the services."""
    return [str(entry["reason"]) for entry in logs if entry["event"].startswith("Redis refuses writes")]


def test_redis_is_killed_and_comes_back_with_its_log(site: FaultySite) -> None:
    with site.unharmed("the restart"):
        site.redis.restart()


def test_all_clients_are_paused(site: FaultySite) -> None:
    with site.unharmed("the pause"):
        site.client.client_pause(round(FAULT_S * 1000), all=True)
        time.sleep(FAULT_S)


def test_redis_hangs(site: FaultySite) -> None:
    with site.unharmed("the hang"):
        os.kill(site.redis.pid, signal.SIGSTOP)
        time.sleep(FAULT_S)
        os.kill(site.redis.pid, signal.SIGCONT)


def test_the_memory_of_redis_is_full(site: FaultySite) -> None:
    with site.unharmed("full memory") as logs:
        site.client.config_set("maxmemory", site.client.info("memory")["used_memory"])
        try:
            wait_for(lambda: refusals(logs), "a service reports it")
            wait_for(lambda: site.problems() == ["redis_refuses"], "the page names the cause, and only the cause")
            time.sleep(FAULT_S)
        finally:
            site.client.config_set("maxmemory", 0)
    assert all("its memory is full; raise its maxmemory" in reason for reason in refusals(logs))


def test_the_disk_of_redis_is_full(site: FaultySite, mtmc: CommandLine) -> None:
    if site.disk is None:
        pytest.skip("a file system can only be mounted by root")
    with site.unharmed("a full disk") as logs:
        with full(site.disk):
            wait_for(lambda: refusals(logs), "a service reports it")
            wait_for(lambda: site.problems() == ["redis_refuses"], "the page names the cause, and only the cause")
            status = mtmc("status", "--site", "hall", "--redis", site.redis.url)
            time.sleep(FAULT_S)
        wait_for(lambda: site.client.info("persistence")["aof_last_write_status"] == "ok", "Redis writes again")
    assert status.returncode == 0, status
    assert "Redis refuses writes, so the site waits: it cannot write to its disk: free" in status.stdout
    assert all("it cannot write to its disk; free disk space there" in reason for reason in refusals(logs))


def test_the_primary_becomes_a_read_only_replica(site: FaultySite) -> None:
    with site.unharmed("the time as a replica"):
        try:
            site.client.replicaof("127.0.0.1", free_port())
            site.wait_until_all_say("it is a replica", besides="streamer")  # it only reads
            time.sleep(FAULT_S)
        finally:
            site.client.replicaof("NO", "ONE")


def test_the_password_is_changed_and_changed_back(site: FaultySite) -> None:
    with site.unharmed("another password") as logs:
        try:
            site.client.config_set("requirepass", ANOTHER_WORD)
            site.client.client_kill_filter(_type="normal", skipme=True)
            site.wait_until_all_say("Authentication required")
            time.sleep(FAULT_S)
        finally:
            site.client.config_set("requirepass", "")
    assert "Redis refuses the password; set it back, or restart with the new one" in [entry["event"] for entry in logs]
    assert ANOTHER_WORD not in str(logs)


def test_everything_takes_100_ms_in_each_direction(site: FaultySite) -> None:
    with site.unharmed("latency"):
        tick = whole(site.client.get(KEYS.tick)) or 0
        site.network.latency_s = 0.1
        time.sleep(5.0)
        site.network.latency_s = 0.0
        assert (whole(site.client.get(KEYS.tick)) or 0) > tick + 5, "the site did not go on"


def test_all_connections_are_cut_several_times(site: FaultySite) -> None:
    with site.unharmed("the cuts"):
        for _ in range(5):
            wait_for(site.network.cut, "a connection")
            time.sleep(0.3)


@pytest.mark.parametrize("seconds", [1.0, 4.0, 7.0])
def test_nothing_arrives_for_a_while(site: FaultySite, seconds: float) -> None:
    """Shorter than a lease, longer than one, and longer than a service waits for an answer."""
    with site.unharmed(f"a black hole of {seconds} s"), site.network.black_hole():
        time.sleep(seconds)


def test_no_gid_was_ever_given_twice(site: FaultySite) -> None:
    appeared = [int(fields[b"gid"]) for _, fields in site.client.xrange(KEYS.events) if fields[b"kind"] == b"appeared"]
    assert sorted(appeared) == sorted(site.gids().values())
