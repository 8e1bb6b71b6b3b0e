from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.camera_settings import queue_removal
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import REPLAY_SECONDS, Lease, Leases, UnusableKeys
from shared.redis_connection import Client, WritesRefused, connect, server_time_ns
from shared.replication import Replicas

KEYS = Keys("yard")
ROLE = "camera:north"
ROOT = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def acquired(client: Client, ttl_seconds: float = 30.0) -> Lease:
    lease = Leases(client, KEYS).acquire(ROLE, ttl_seconds)
    assert lease is not None
    return lease


def expire(client: Client) -> None:
    """Makes a lease expire, as Redis would."""
    assert client.delete(KEYS.lease(ROLE)) == 1


def accepted(client: Client, lease: Lease) -> bool:
    try:
        lease.commit([["INCR", "written"]], ["written"])
    except LeaseLost:
        return False
    return True


def test_a_role_has_one_owner_whose_writes_are_accepted(redis_client: Client) -> None:
    first = acquired(redis_client)
    assert Leases(redis_client, KEYS).acquire(ROLE, 30) is None
    assert accepted(redis_client, first)
    first.release()
    second = acquired(redis_client)
    assert (accepted(redis_client, first), accepted(redis_client, second)) == (False, True)
    assert redis_client.get("written") == b"2"


def test_roles_are_owned_independently(redis_client: Client) -> None:
    acquired(redis_client)
    assert Leases(redis_client, KEYS).acquire("camera:south", 30) is not None


def test_a_lease_expires(redis_client: Client) -> None:
    lease = acquired(redis_client, 0.1)
    assert redis_client.pttl(lease.key) <= 100
    wait_for(lambda: not redis_client.exists(lease.key))
    wait_for(lease.expired)
    other = acquired(redis_client)
    assert (accepted(redis_client, lease), accepted(redis_client, other)) == (False, True)


def test_an_owner_notices_that_its_lease_is_due_and_expired_before_redis_does(redis_client: Client) -> None:
    lease = acquired(redis_client, 30.0)
    assert not lease.due()
    for seconds, is_due, has_expired in ((5.0, False, False), (10.1, True, False), (30.1, True, True)):
        lease.note_renewed(time.monotonic() - seconds)
        assert (lease.due(), lease.expired()) == (is_due, has_expired)
    lease.renew_if_due()
    assert not lease.due()
    assert not lease.expired()


def test_the_time_of_a_lease_begins_when_it_is_asked_for(redis_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Replicas.run

    def slow(replicas: Replicas, *given: Any) -> Any:
        answer = run(replicas, *given)
        time.sleep(0.2)
        return answer

    monkeypatch.setattr(Replicas, "run", slow)
    assert acquired(redis_client, 0.6).due(), "Redis has counted since it answered"


def test_an_expired_lease_is_taken_back_if_no_one_owned_the_role_since(redis_client: Client) -> None:
    lease = acquired(redis_client)
    expire(redis_client)
    lease.renew()
    assert accepted(redis_client, lease)


@pytest.mark.parametrize("released", [False, True], ids=["still owned", "free again"])
def test_an_expired_lease_is_lost_once_another_process_owned_the_role(redis_client: Client, released: bool) -> None:
    old = acquired(redis_client)
    expire(redis_client)
    new = acquired(redis_client)
    if released:
        new.release()
    with pytest.raises(LeaseLost) as caught:
        old.renew()
    assert caught.value.role == ROLE
    assert not accepted(redis_client, old)
    assert accepted(redis_client, new) is not released


def test_a_late_release_does_not_affect_the_next_owner(redis_client: Client) -> None:
    old = acquired(redis_client)
    expire(redis_client)
    new = acquired(redis_client)
    old.release()
    assert accepted(redis_client, new)


def test_epochs_increase_and_are_at_least_redis_time(redis_client: Client) -> None:
    epochs = []
    for _ in range(50):
        before_ms = server_time_ns(redis_client) // 1_000_000
        lease = acquired(redis_client)
        epochs.append(lease.epoch)
        assert lease.epoch >= before_ms
        lease.release()
    assert epochs == sorted(set(epochs)), "an epoch came twice"


def test_nothing_is_kept_of_a_removed_camera_and_its_owner_gets_nothing_back(redis_client: Client) -> None:
    future = server_time_ns(redis_client) // 1_000_000 + 3_600_000
    redis_client.hset(KEYS.epochs, ROLE, future)
    owner = acquired(redis_client)
    other = Leases(redis_client, KEYS).acquire("camera:south", 30)
    assert other is not None
    for _ in range(2):
        with redis_client.pipeline(transaction=True) as pipe:
            queue_removal(pipe, KEYS, ["north"], 60)
            pipe.execute()
        assert set(redis_client.hkeys(KEYS.epochs)) == {b"camera:south", b"removed"}
        assert (accepted(redis_client, owner), accepted(redis_client, other)) == (False, True)
        following = acquired(redis_client)
        assert following.epoch > owner.epoch, "its tracks would get the ids of earlier ones"
        assert accepted(redis_client, following)
        owner = following


def test_epochs_increase_even_if_redis_has_lost_them(redis_client: Client) -> None:
    lease = acquired(redis_client)
    before = server_time_ns(redis_client) // 1_000_000
    wait_for(lambda: server_time_ns(redis_client) // 1_000_000 > before)
    redis_client.flushall()
    assert acquired(redis_client).epoch > lease.epoch


def test_epochs_increase_when_redis_time_goes_back(redis_client: Client) -> None:
    future = server_time_ns(redis_client) // 1_000_000 + 3_600_000
    redis_client.hset(KEYS.epochs, ROLE, future)
    assert acquired(redis_client).epoch == future + 1


def test_an_owner_keeps_its_lease_when_redis_loses_everything(redis_client: Client) -> None:
    lease = acquired(redis_client)
    redis_client.flushall()
    lease.renew()
    assert accepted(redis_client, lease)
    assert Leases(redis_client, KEYS).acquire(ROLE, 30) is None


def test_of_two_owners_after_lost_writes_only_one_is_accepted(redis_client: Client) -> None:
    old = acquired(redis_client)
    epochs = redis_client.hgetall(KEYS.epochs)
    expire(redis_client)
    new = acquired(redis_client)
    # Redis comes back without its last writes: the second claim never happened.
    redis_client.delete(KEYS.lease(ROLE))
    redis_client.hset(KEYS.epochs, mapping=epochs)
    old.renew()
    with pytest.raises(LeaseLost):
        new.renew()
    assert (accepted(redis_client, old), accepted(redis_client, new)) == (True, False)


def test_a_fixed_epoch_makes_a_run_repeatable(redis_client: Client) -> None:
    leases = Leases(redis_client, KEYS)
    lease = leases.acquire(ROLE, 30, least_epoch=700)
    assert lease is not None
    assert lease.epoch == 700
    lease.release()
    again = leases.acquire(ROLE, 30, least_epoch=700)
    assert again is not None
    assert again.epoch == 702


def test_a_commit_of_a_lost_lease_writes_nothing_at_all(redis_client: Client) -> None:
    lease = acquired(redis_client)
    commands: list[list[str | bytes | int]] = [["SET", f"key{i}", i] for i in range(50)]
    expire(redis_client)
    other = acquired(redis_client)
    with pytest.raises(LeaseLost):
        lease.commit(commands, [f"key{i}" for i in range(50)])
    assert not redis_client.keys("key*")
    other.commit(commands, [f"key{i}" for i in range(50)])
    assert len(redis_client.keys("key*")) == 50


def test_a_commit_takes_back_an_expired_lease_if_no_one_owned_the_role_since(redis_client: Client) -> None:
    lease = acquired(redis_client)
    expire(redis_client)
    lease.commit([["SET", "key", 1]], ["key"])
    assert redis_client.get("key") == b"1"
    assert redis_client.get(KEYS.lease(ROLE)) == lease.value.encode()
    assert not lease.due()


def test_a_commit_accepts_bytes_numbers_and_text(redis_client: Client) -> None:
    lease = acquired(redis_client)
    everything = bytes(range(256)) * 300
    lease.commit([["SET", "b", everything], ["SET", "i", 2**62], ["SET", "t", "größe"]], ["b", "i", "t"])
    assert redis_client.mget("b", "i", "t") == [everything, str(2**62).encode(), "größe".encode()]


def test_commands_that_would_fail_keep_all_others_from_running(redis_client: Client) -> None:
    lease = acquired(redis_client)
    redis_client.xadd("stream", {"a": 1}, id="5-0")
    redis_client.set("text", "x")
    redis_client.hset("hash", "field", "x")
    redis_client.xadd("full", {"a": 1}, id=f"{2**64 - 1}-{2**64 - 1}")
    failing: dict[str, list[str | bytes | int]] = {
        "the last id of stream, 5-0, is equal or greater": ["XADD", "stream", "MAXLEN", "~", 9, "5-0", "a", 1],
        "text is of type string": ["HSET", "text", "a", 1],
        "the field field of hash is not an integer": ["HINCRBY", "hash", "field", 1],
        "hash is of type hash": ["XADD", "hash", "*", "a", 1],
        f"the last id of full, {2**64 - 1}-{2**64 - 1}, is equal or greater": ["XADD", "full", "*", "a", 1],
    }
    for reason, command in failing.items():
        with pytest.raises(UnusableKeys, match=f"^{reason}$"):
            lease.commit([["SET", "before", 1], command], ["before", str(command[1])])
    with pytest.raises(UnusableKeys) as caught:
        lease.commit([["HSET", "text", "a", 1], ["XADD", "stream", "4-0", "a", 1]], ["text", "stream"])
    assert [(one.key, one.problem, one.found) for one in caught.value.keys] == [
        ("text", "type", "string"),
        ("stream", "id", "5-0"),
    ]
    assert not redis_client.exists("before")
    lease.commit(
        [["DEL", "text"], ["HSET", "text", "a", 1], ["XADD", "stream", "6-0", "a", 1], ["XADD", "stream", "*", "a", 1]],
        ["text", "stream"],
    )
    assert (redis_client.hgetall("text"), redis_client.xlen("stream")) == ({b"a": b"1"}, 3)


@pytest.mark.parametrize("renew", [True, False])
def test_redis_without_memory_refuses_a_commit_before_it_writes_anything(
    redis_process: Any, redis_client: Client, renew: bool
) -> None:
    client = connect(redis_process.url)
    lease = acquired(client)
    client.hset("hash", "field", 1)
    client.config_set("maxmemory", 1)
    commands: list[list[str | bytes | int]] = [["SET", "a", 1], ["HDEL", "hash", "field"], ["XADD", "b", "*", "c", 1]]
    with pytest.raises(WritesRefused):
        lease.commit(commands, ["a", "hash", "b"], renew=renew)
    assert (client.exists("a", "b"), client.hlen("hash")) == (0, 1)
    client.config_set("maxmemory", 0)
    lease.commit(commands, ["a", "hash", "b"], renew=renew)
    assert (client.exists("a", "b"), client.hlen("hash")) == (2, 0)
    client.close()


OWNER = """
import sys, time
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import Leases
from shared.redis_connection import connect

lease = Leases(connect(sys.argv[1]), Keys("yard")).acquire("camera:north", 0.3)
try:
    while True:
        lease.renew_if_due()
        lease.commit([["RPUSH", "writers", lease.value]], ["writers"])
        print("wrote", flush=True)
        time.sleep(0.005)
except LeaseLost as error:
    print("lost", error.role, flush=True)
"""


def test_an_owner_that_was_suspended_for_long_is_refused_when_it_wakes_up(redis_client: Client, redis_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, redis_url], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "wrote\n"
            os.kill(process.pid, signal.SIGSTOP)
            wait_for(lambda: not redis_client.exists(KEYS.lease(ROLE)))
            new = acquired(redis_client)
            written = redis_client.llen("writers")
            new.commit([["RPUSH", "writers", new.value]], ["writers"])
            os.kill(process.pid, signal.SIGCONT)
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert rest.splitlines()[-1] == f"lost {ROLE}"
    assert redis_client.llen("writers") == written + 1, "the old owner wrote after the new one"
    assert accepted(redis_client, new)


@pytest.mark.parametrize("value", ["x", "1:00", b"\xff" * 2**20])
@pytest.mark.parametrize("ttl_s", [None, 864_000])
def test_a_lease_without_an_end_is_taken_once_nobody_has_renewed_it(
    redis_client: Client, value: str | bytes, ttl_s: int | None
) -> None:
    redis_client.set(KEYS.lease(ROLE), value, ex=ttl_s)
    leases, deadline = Leases(redis_client, KEYS), time.monotonic() + 20
    while leases.acquire(ROLE, 0.3) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert int(redis_client.hget(KEYS.epochs, ROLE)) > 0, "it has an owner"
    wait_for(lambda: not redis_client.exists(KEYS.lease(ROLE)), 20)


def test_a_service_waits_for_the_end_of_a_replay(redis_client: Client) -> None:
    replay = Leases(redis_client, KEYS).acquire(ROLE, REPLAY_SECONDS)
    assert replay is not None
    service, end_s = Leases(redis_client, KEYS), time.monotonic() + 1.0
    while time.monotonic() < end_s:
        assert service.acquire(ROLE, 0.3) is None, "it took the role of a process that lives"
        replay.renew_if_due()
        time.sleep(0.02)
    replay.release()
    assert service.acquire(ROLE, 0.3) is not None


def test_entries_after_an_id_are_cut_off_so_that_smaller_ids_can_follow(redis_client: Client) -> None:
    lease, wide = acquired(redis_client), {str(number): "x" for number in range(9000)}
    for number, fields in ((1, {"a": "1", "b": "2"}), (2, wide), (3, {"a": "3"}), (9, {"a": "9"}), (12, {"a": "12"})):
        redis_client.xadd("log", fields, id=f"{number}-0")
    redis_client.xdel("log", "12-0")
    with pytest.raises(UnusableKeys):
        lease.commit([["XADD", "log", "4-0", "a", "4"]], ["log"])
    lease.commit([["CUT", "log", "5-0"], ["XADD", "log", "4-0", "a", "4"]], ["log"])
    kept = [(b"1-0", {b"a": b"1", b"b": b"2"}), (b"3-0", {b"a": b"3"}), (b"4-0", {b"a": b"4"})]
    assert redis_client.xrange("log") == kept
    lease.commit([["CUT", "log", "0-0"], ["XADD", "log", "1-0", "a", "1"]], ["log"])
    assert redis_client.xrange("log") == [(b"1-0", {b"a": b"1"})]


def test_an_owner_takes_its_role_back_from_a_lease_without_an_end(redis_client: Client) -> None:
    lease = Leases(redis_client, KEYS).acquire(ROLE, 1.0)
    assert lease is not None
    redis_client.set(KEYS.lease(ROLE), "x")
    lease.renew()
    assert redis_client.get(KEYS.lease(ROLE)) == lease.value.encode()
    redis_client.persist(KEYS.lease(ROLE))
    lease.renew()
    assert redis_client.pttl(KEYS.lease(ROLE)) > 0
