"""Redis comes back empty at the worst moments of an aggregator: what it knows is written again."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from services.aggregator.saving import CheckpointSaver
from services.aggregator.state import AggregatorState
from shared.redis_connection import Client
from shared.site import publish_site
from tests.integration.test_aggregator import TICKS, Feeder, aggregator_of, global_ids, scan, scene, site_of


@pytest.mark.parametrize("is_lease_back", [False, True])
def test_redis_comes_back_empty_while_a_checkpoint_is_being_saved(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch, is_lease_back: bool
) -> None:
    """The save ends with a lost lease, or with a checkpoint that is older than the cycles that are lost."""
    site = site_of(redis_client, "halfway")
    feeder, aggregator = Feeder(redis_client, site, scene()), aggregator_of(redis_client, site)
    feeder.feed(8)
    aggregator.step()
    saver, commit, may_go_on = aggregator._schedule._saver, CheckpointSaver._commit, threading.Event()
    assert saver.wait(10)

    def waiting(one: CheckpointSaver, *arguments: Any) -> None:
        assert may_go_on.wait(30)
        commit(one, *arguments)

    monkeypatch.setattr(CheckpointSaver, "_commit", waiting)
    aggregator.state.checkpoint_tick = -(10**6)  # One is due.
    for _ in range(TICKS // 2 - 8):
        feeder.feed()
        aggregator.step()
    assert saver.is_busy
    before, known = global_ids(redis_client, site), set(scan(redis_client, site, "identity:*"))
    identities = len(aggregator.state.association.identities)
    redis_client.flushall()
    publish_site(redis_client, site.config)
    if is_lease_back:
        assert aggregator._lease is not None
        aggregator._lease.renew()
    may_go_on.set()
    assert saver.wait(30)
    feeder.join()
    for _ in range(2):
        feeder.feed()
        aggregator.step()
    after = global_ids(redis_client, site)
    kept = before.keys() & after.keys()
    assert kept
    assert {track: after[track] for track in kept} == {track: before[track] for track in kept}
    assert set(scan(redis_client, site, "identity:*")) >= known
    assert len(aggregator.state.association.identities) >= identities
    # The next owner finds the whole state.
    aggregator.close()
    another = aggregator_of(redis_client, site)
    another.step()
    assert global_ids(redis_client, site) == after
    assert len(another.state.association.identities) >= identities
    another.close()


@pytest.mark.parametrize("is_saving", [False, True])
def test_redis_comes_back_empty_between_reading_and_committing(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch, is_saving: bool
) -> None:
    """A save that is running then completes a checkpoint, which must not hide the loss."""
    site = site_of(redis_client, "between")
    feeder, aggregator = Feeder(redis_client, site, scene()), aggregator_of(redis_client, site)
    for _ in range(TICKS // 2):
        feeder.feed()
        aggregator.step()
    while not aggregator._schedule._has_saved:
        assert aggregator._schedule._saver.wait(10)
        feeder.feed()
        aggregator.step()
    saver, commit, may_go_on = aggregator._schedule._saver, CheckpointSaver._commit, threading.Event()
    assert saver.wait(10)
    feeder.feed()
    aggregator.step()
    if is_saving:

        def waiting(one: CheckpointSaver, *arguments: Any) -> None:
            assert may_go_on.wait(30)
            commit(one, *arguments)

        monkeypatch.setattr(CheckpointSaver, "_commit", waiting)
        aggregator.state.checkpoint_tick = -(10**6)  # One is due.
        feeder.feed()
        aggregator.step()
        assert saver.is_busy
    known = set(scan(redis_client, site, "identity:*"))
    run_cycle, emptied = AggregatorState.run_cycle, list[int]()

    def emptying(state: AggregatorState, *arguments: Any) -> Any:
        if not emptied:
            emptied.append(redis_client.flushall())
            publish_site(redis_client, site.config)
        return run_cycle(state, *arguments)

    monkeypatch.setattr(AggregatorState, "run_cycle", emptying)
    feeder.feed()
    aggregator.step()
    assert emptied
    may_go_on.set()
    assert saver.wait(30)
    feeder.join()
    feeder.feed()
    aggregator._look_at_output = 0.0
    aggregator.step()
    assert set(scan(redis_client, site, "identity:*")) >= known
    assert b"restored" in [fields[b"kind"] for _, fields in redis_client.xrange(site.keys.events)]
    aggregator.close()
