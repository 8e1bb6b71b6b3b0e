from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from services.camera_worker.claims import Claims, Wanted
from shared.camera_config import CameraConfig
from shared.camera_settings import add_camera, remove_cameras
from shared.config import ClockConfig
from shared.errors import LeaseLost
from shared.gate import Gate
from shared.keys import Keys
from shared.leases import Lease
from shared.redis_connection import Client
from shared.site_state.states import WORKER_GONE_MS
from tests.stopwatch import Stopwatch

KEYS = Keys("yard")
TTL_S = 1.0


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Worker:
    """A worker that uses `Claims` like the camera worker, without the cameras."""

    def __init__(self, client: Client, *, labels: tuple[str, ...] = (), capacity: int = 64) -> None:
        self.claims = Claims(
            client, KEYS, labels=frozenset(labels), capacity=capacity, ttl_seconds=TTL_S, rebalance=True
        )
        self.gate = Gate(client, KEYS, ClockConfig())
        self.leases: dict[str, Lease] = {}
        self.paused: list[str] = []
        self.wanted: Wanted | None = None

    def act(self) -> set[str]:
        for name in self.claims.renew(self.leases):
            del self.leases[name]
        self.claims.heartbeat({"cameras": " ".join(self.leases)})
        self.wanted = self.claims.look(self.leases)
        for name in self.wanted.paused:
            self.paused.append(name)
            self.give_up(name, "paused")
        for name in self.wanted.releases:
            self.give_up(name, "released")
        for name, camera in self.wanted.claims.items():
            if (lease := self.claims.claim(camera, None)) is not None:
                self.leases[name] = lease
                self.claims.write_facts(name, lease, {"owner": self.claims.worker, "state": "live"})
        return set(self.leases)

    def give_up(self, name: str, state: str) -> None:
        lease = self.leases.pop(name)
        with contextlib.suppress(LeaseLost):
            self.gate.retire(name, lease, state)
            lease.release()


def configure(client: Client, *cameras: dict[str, Any] | str) -> None:
    client.delete(KEYS.cameras)
    for camera in cameras:
        settings = {"source": "x.mp4", **({"name": camera} if isinstance(camera, str) else camera)}
        config = CameraConfig.model_validate(settings)
        client.hset(KEYS.cameras, config.name, config.model_dump_json(by_alias=True))


@pytest.fixture
def pair(redis_client: Client) -> tuple[Worker, Worker]:
    """Two workers that see each other's heartbeats."""
    configure(redis_client, *(f"c{i}" for i in range(7)))
    one, other = Worker(redis_client), Worker(redis_client)
    one.claims.heartbeat({})
    other.claims.heartbeat({})
    return one, other


def test_two_workers_share_the_cameras_evenly(pair: tuple[Worker, Worker]) -> None:
    one, other = pair
    wait_for(lambda: len(one.act()) + len(other.act()) == 7)
    assert sorted([len(one.leases), len(other.leases)]) == [3, 4]
    assert not set(one.leases) & set(other.leases)


def test_a_worker_that_comes_later_gets_its_share(redis_client: Client) -> None:
    configure(redis_client, *(f"c{i}" for i in range(7)))
    one, other = Worker(redis_client), Worker(redis_client)
    assert len(one.act()) == 7
    wait_for(lambda: (one.act(), len(other.act()))[1] >= 3)
    for _ in range(5):
        held = one.act(), other.act()
        assert sorted(map(len, held)) == [3, 4]
        assert held[0] | held[1] == {f"c{i}" for i in range(7)}


@pytest.mark.alone
def test_the_cameras_of_a_dead_worker_are_claimed_within_seconds(pair: tuple[Worker, Worker]) -> None:
    one, other = pair
    wait_for(lambda: len(one.act()) + len(other.act()) == 7)
    kept = set(other.leases)
    watch = Stopwatch()
    wait_for(lambda: len(other.act()) == 7)
    assert kept <= set(other.leases)
    assert watch.within(WORKER_GONE_MS / 1000 + TTL_S * 1.5 + 0.5), watch.seconds
    assert set(one.claims.renew(dict(one.leases))) <= set(one.leases)
    for name, lease in one.leases.items():
        with pytest.raises(LeaseLost):
            one.claims.write_facts(name, lease, {"state": "live"})


def test_an_owner_that_only_lost_its_connection_keeps_its_cameras(redis_client: Client) -> None:
    configure(redis_client, "north")
    one, other = Worker(redis_client), Worker(redis_client)
    assert (one.act(), other.act()) == ({"north"}, set())
    redis_client.delete(one.leases["north"].key)
    assert other.act() == set(), "the owner is given the time to come back"
    one.leases["north"].renew()
    for _ in range(3):
        assert (one.act(), other.act()) == ({"north"}, set())


def test_released_cameras_are_claimed_at_once(pair: tuple[Worker, Worker]) -> None:
    one, other = pair
    wait_for(lambda: len(one.act()) + len(other.act()) == 7)
    for name in list(one.leases):
        one.give_up(name, "released")
    one.claims.resign()
    assert len(other.act()) == 7


def test_a_resigned_worker_leaves_nothing_behind(redis_client: Client) -> None:
    configure(redis_client, "north")
    worker = Worker(redis_client)
    worker.act()
    assert redis_client.zrange(KEYS.workers, 0, -1) == [worker.claims.worker.encode()]
    assert redis_client.hget(KEYS.worker(worker.claims.worker), "cameras") == b""
    worker.claims.resign()
    assert not redis_client.exists(KEYS.workers, KEYS.worker(worker.claims.worker))


def test_a_paused_or_removed_camera_is_released_and_claimed_again_later(redis_client: Client) -> None:
    configure(redis_client, "north", "south")
    worker = Worker(redis_client)
    assert worker.act() == {"north", "south"}
    configure(redis_client, {"name": "north", "paused": True})
    assert worker.act() == set()
    assert worker.paused == ["north", "south"]
    configure(redis_client, "north", "south")
    assert worker.act() == {"north", "south"}


def test_a_camera_that_is_removed_while_it_is_claimed_is_released(redis_client: Client) -> None:
    configure(redis_client, "a", "b")
    worker = Worker(redis_client)
    wanted = worker.claims.look({})
    assert remove_cameras(redis_client, KEYS, ["a"], 60) == []
    assert worker.claims.claim(wanted.claims["a"], None) is None
    assert not redis_client.exists(KEYS.lease("camera:a"))
    assert worker.claims.claim(wanted.claims["b"], None) is not None


def test_the_owner_of_a_removed_camera_can_write_nothing_and_does_not_get_its_lease_back(
    redis_client: Client,
) -> None:
    configure(redis_client, "a", "b")
    worker = Worker(redis_client)
    assert worker.act() == {"a", "b"}
    lease = worker.leases["a"]
    worker.gate.join("a", lease)
    redis_client.hset(KEYS.camera("a"), "seq", 4)
    assert remove_cameras(redis_client, KEYS, ["a"], 60) == []
    assert not redis_client.exists(KEYS.seen, KEYS.marked_at)
    assert 0 < redis_client.ttl(KEYS.camera("a")) <= 60
    with pytest.raises(LeaseLost):
        worker.claims.write_facts("a", lease, {"state": "live"})
    assert worker.act() == {"b"}
    assert not redis_client.exists(KEYS.lease("camera:a"))
    assert add_camera(redis_client, KEYS, CameraConfig(name="a", source="rtsp://nowhere"))
    assert worker.act() == {"a", "b"}
    assert redis_client.ttl(KEYS.camera("a")) == -1


def test_changed_settings_are_seen(redis_client: Client) -> None:
    configure(redis_client, "north")
    worker = Worker(redis_client)
    worker.act()
    configure(redis_client, {"name": "north", "loop": True})
    worker.act()
    assert worker.wanted is not None
    assert worker.wanted.cameras["north"].loop


def test_labels_and_capacity_are_respected(redis_client: Client) -> None:
    configure(redis_client, {"name": "hall", "labels": ["gpu"]}, "a", "b", "c")
    plain, small = Worker(redis_client), Worker(redis_client, labels=("gpu",), capacity=1)
    plain.claims.heartbeat({})
    small.claims.heartbeat({})
    wait_for(lambda: len(plain.act()) + len(small.act()) == 4)
    assert plain.leases.keys() == {"a", "b", "c"}
    assert small.leases.keys() == {"hall"}


def test_two_workers_that_claim_the_same_camera_make_one_owner(redis_client: Client) -> None:
    configure(redis_client, "north")
    one, other = Worker(redis_client), Worker(redis_client)
    camera = CameraConfig(name="north", source="x.mp4")
    assert one.claims.claim(camera, None) is not None
    assert other.claims.claim(camera, None) is None


def test_a_lost_camera_is_returned(redis_client: Client) -> None:
    configure(redis_client, "north", "south")
    worker = Worker(redis_client)
    worker.act()
    redis_client.set(worker.leases["south"].key, "9:somebody-else", px=60_000)
    time_is_due = worker.leases["south"]
    time_is_due.note_renewed(time.monotonic() - TTL_S)
    assert worker.claims.renew(worker.leases) == ["south"]
