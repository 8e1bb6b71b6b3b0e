"""Checkpoints are saved beside the cycles, also over a slow link or one that breaks."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.aggregator import saving
from services.aggregator.persistence import Checkpoint, Checkpoints, PackedCheckpoint, pack
from services.aggregator.saving import CheckpointSaver
from services.aggregator.service import Aggregator
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import Lease, Leases
from shared.redis_connection import Client, connect
from tests.integration.test_aggregator import (
    CAMERAS,
    Feeder,
    aggregator_of,
    check_map,
    outcome,
    scan,
    scene,
    site_of,
)
from tests.slow_link import SlowLink
from tests.stopwatch import Stopwatch

KEYS = Keys("yard")


def lease_of(client: Client) -> Lease:
    lease = Leases(client, KEYS).acquire("aggregator", 600)
    assert lease is not None
    return lease


def state(size: int) -> Checkpoint:
    table = {"sums": os.urandom(size)}
    return Checkpoint(7, 3, {"A": "5-0"}, {"A": 4}, ("A", "B"), {"table": table, "more": [1, "x"]})


def save(client: Client, lease: Lease, checkpoint: Checkpoint) -> CheckpointSaver:
    saver = CheckpointSaver(client, KEYS, Checkpoints(client, KEYS))
    saver.start(lease, pack(checkpoint), [])
    assert saver.wait(60)
    return saver


def test_cycles_go_on_while_a_checkpoint_is_being_saved(redis_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of(redis_client, "beside")
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site)
    goes_on, commit, begun = threading.Event(), Lease.commit, []

    def held_up(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            begun.append(commands)
            assert goes_on.wait(60)
        commit(lease, commands, touched, **options)

    monkeypatch.setattr(Lease, "commit", held_up)
    for _ in range(70):
        feeder.feed()
        aggregator.step()
    assert redis_client.xlen(site.keys.cycles) == 70
    assert len(begun) == 1, "more than one checkpoint is being saved"
    assert not redis_client.exists(site.keys.state_current)
    goes_on.set()
    assert aggregator._schedule._saver.wait(60)
    saved = Checkpoints(redis_client, site.keys).load()
    assert saved is not None
    assert saved.tick == 20, "the state as it was when the save began"
    feeder.feed()
    aggregator.step()
    assert aggregator._schedule._saver.wait(60)
    feeder.feed()
    aggregator.step()
    saved = Checkpoints(redis_client, site.keys).load()
    assert saved is not None
    assert saved.tick == 71
    aggregator.close()
    again = aggregator_of(redis_client, site)
    again.step()
    assert again.state.association.to_dict() == aggregator.state.association.to_dict()


def test_pieces_that_are_repeated_after_a_lost_reply_make_the_same_checkpoint(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "_MOST_BYTES", 5000)
    monkeypatch.setattr(saving, "CHUNK_BYTES", 12_000)
    monkeypatch.setattr(saving, "_RETRY_FIRST_S", 0.001)
    commit, calls = Lease.commit, []

    def breaking(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
        calls.append(commands[0][0])
        if len(calls) % 3 == 1:
            raise RedisConnectionError("not sent")
        commit(lease, commands, touched, **options)
        if len(calls) % 3 == 2:
            raise RedisConnectionError("the reply is lost")

    monkeypatch.setattr(Lease, "commit", breaking)
    checkpoint, lease = state(40_000), lease_of(redis_client)
    saver = save(redis_client, lease, checkpoint)
    assert saver.finished() == 7
    assert not saver.is_busy
    assert Checkpoints(redis_client, KEYS).load() == checkpoint
    assert len(calls) > 24
    names = redis_client.keys(KEYS.state_chunk(1, 0)[:-1] + "*")
    assert len(names) == 4
    assert all(redis_client.ttl(name) == -1 for name in names)
    save(redis_client, lease, state(100))
    save(redis_client, lease, state(100))
    assert redis_client.keys(KEYS.state_chunk(1, 0)[:-1] + "*") == []


@pytest.mark.parametrize("lost", ["SET", "SETRANGE"])
def test_a_checkpoint_whose_pieces_are_gone_does_not_become_valid(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    lease = lease_of(redis_client)
    save(redis_client, lease, state(100))
    monkeypatch.setattr(saving, "_MOST_BYTES", 5000)
    commit = Lease.commit

    def forgetting(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
        commit(lease, commands, touched, **options)
        if commands[0][0] == lost:
            redis_client.delete(commands[0][1])

    monkeypatch.setattr(Lease, "commit", forgetting)
    saver = save(redis_client, lease, state(40_000))
    assert saver.finished() is None
    assert not saver.is_busy
    valid = Checkpoints(redis_client, KEYS).load()
    assert valid is not None
    assert len(valid.association["table"]["sums"]) == 100


def test_a_save_ends_when_the_lease_is_lost_and_does_not_renew_it(redis_client: Client) -> None:
    lease = lease_of(redis_client)
    redis_client.pexpire(lease.key, 500_000)
    save(redis_client, lease, state(100))
    assert redis_client.pttl(lease.key) <= 500_000, "only the loop of the aggregator renews the lease"
    redis_client.delete(lease.key)
    lease_of(redis_client)
    saver = save(redis_client, lease, state(100))
    with pytest.raises(LeaseLost):
        saver.finished()


def test_pieces_fit_a_slow_link(redis_client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = lease_of(redis_client)
    link = SlowLink(int(redis_url.rsplit(":", 1)[1].split("/")[0]), 200_000)
    slow = connect(f"redis://127.0.0.1:{link.port}/0")
    sizes, seconds = [], []
    commit = Lease.commit

    def watched(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
        watch = Stopwatch()
        commit(lease, commands, touched, **options)
        sizes.append(len(commands[0][3]) if commands[0][0] == "SETRANGE" else 0)
        seconds.append(watch.seconds)

    monkeypatch.setattr(Lease, "commit", watched)
    checkpoint = state(500_000)
    far = Lease(lease._scripts, KEYS, lease.role, lease.value, 600)
    far._scripts = type(lease._scripts)(slow)
    saver = save(slow, far, checkpoint)
    assert saver.finished() == 7
    assert max(sizes) < 200_000 * 0.4, "a piece takes much longer than it should"
    assert Checkpoints(slow, KEYS).load() == checkpoint
    link.close()


def test_an_aggregator_that_stops_does_not_wait_for_a_save_that_hangs(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.aggregator.checkpoint_schedule._CLOSING_S", 0.5)
    site = site_of(redis_client, "stopping")
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site)
    goes_on, commit = threading.Event(), Lease.commit

    def hanging(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            assert goes_on.wait(60)
        commit(lease, commands, touched, **options)

    monkeypatch.setattr(Lease, "commit", hanging)
    feeder.feed(30)
    aggregator.step()
    watch = Stopwatch()
    aggregator.close()
    assert watch.within(10)
    assert not redis_client.exists(site.keys.lease("aggregator"))
    goes_on.set()
    again = Aggregator(redis_client, site)
    again.step()
    assert again.state.association.to_dict() == aggregator.state.association.to_dict()


def test_cycles_are_bounded_without_a_checkpoint_and_a_recovery_keeps_the_published_ids(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.aggregator.state.CYCLES_KEPT", 0)
    site = site_of(redis_client, "bounded", replay_seconds=10)
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site)
    monkeypatch.setattr(CheckpointSaver, "start", lambda *_: None)
    rounds = 0
    for _ in range(160):
        feeder.feed()
        aggregator.step()
    while redis_client.xlen(site.keys.cycles) > 130:
        rounds += 1
        assert rounds < 200, "cycles grows"
        feeder.feed()
        aggregator.step()
    for camera in CAMERAS:
        redis_client.xtrim(site.keys.tracks(camera), maxlen=100, approximate=False)
    names = scan(redis_client, site, "gids:*")
    before = {key: outcome(redis_client, site)[key] for key in names}
    aggregator = aggregator_of(redis_client, site)
    aggregator.step()
    assert {key: outcome(redis_client, site)[key] for key in names} == before
    check_map(redis_client, site, aggregator)


def test_a_packed_checkpoint_is_not_changed_by_later_cycles(redis_client: Client) -> None:
    site = site_of(redis_client, "packed")
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site)
    feeder.feed(40)
    aggregator.step()
    started: list[PackedCheckpoint] = []
    aggregator._schedule._saver.start = lambda lease, packed, with_it: started.append(packed)  # type: ignore[method-assign]
    aggregator._schedule._start(aggregator._lease)  # type: ignore[arg-type]
    before = b"".join(started[0].parts)
    feeder.feed(40)
    aggregator.step()
    assert b"".join(started[0].parts) == before


def test_a_cycle_longer_than_the_lease_does_not_lose_it_and_a_loop_that_hangs_does(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.aggregator.service.LEASE_SECONDS", 0.6)
    site = site_of(redis_client, "long")
    feeder, owner, standby = (
        Feeder(redis_client, site, scene()),
        Aggregator(redis_client, site),
        Aggregator(redis_client, site),
    )
    feeder.feed()
    owner.step()
    lease, apply, seen = site.keys.lease("aggregator"), owner.state.apply, []

    def long(*given: Any) -> Any:
        deadline, watch = Stopwatch(), Stopwatch()
        while len(seen) < 30:
            assert deadline.within(60)
            threading.Event().wait(0.05)
            held = redis_client.exists(lease)
            # A machine that was held up for longer than this could not renew the lease.
            if watch.seconds < 0.3:
                seen.append(held)
            watch = Stopwatch()
        return apply(*given)

    monkeypatch.setattr(owner.state, "apply", long)
    feeder.feed()
    owner.step()
    assert all(seen)
    monkeypatch.setattr("services.aggregator.keeper.LONGEST_S", 0.1)

    def hangs(*given: Any) -> Any:
        watch = Stopwatch()
        while standby._lease is None:
            assert watch.within(60), "nobody took over"
            standby.step()
        return apply(*given)

    monkeypatch.setattr(owner.state, "apply", hangs)
    feeder.feed()
    with pytest.raises(LeaseLost):
        owner.step()
