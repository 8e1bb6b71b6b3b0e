"""Waiting for a Redis replica, with a real one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.aggregator.service import Aggregator
from shared.keys import Keys
from shared.leases import Leases
from shared.redis_connection import Client, connect
from shared.replication import Replicas
from tests.integration.test_aggregator import Feeder, site_of
from tests.stopwatch import Stopwatch
from tests.unit.association.scenes import Stay, entries


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def primary(redis_process: Any) -> Iterator[Client]:
    client = connect(redis_process.url)
    client.config_set("repl-diskless-sync-delay", 0)
    yield client
    client.close()


def has_caught_up(primary: Client) -> bool:
    """Whether the replica has acknowledged the last write. Before its first acknowledgement Redis sends it none."""
    info = primary.info("replication")
    return info["connected_slaves"] == 1 and info["slave0"]["offset"] == info["master_repl_offset"] > 0


@pytest.fixture
def replica(redis_process: Any, primary: Client, tmp_path: Path) -> Iterator[Any]:
    process = type(redis_process)(tmp_path / "replica")
    process.start()
    client = connect(process.url)
    client.replicaof("127.0.0.1", redis_process.server.port)
    wait_for(lambda: client.info("replication")["master_link_status"] == "up")
    primary.set("to replicate", 1)
    wait_for(lambda: has_caught_up(primary))
    client.close()
    yield process
    process.kill()


def waits(client: Client) -> int:
    return int(client.info("commandstats").get("cmdstat_wait", {"calls": 0})["calls"])


def test_a_lease_is_on_the_replica_when_it_is_acquired(primary: Client, replica: Any) -> None:
    copy = connect(replica.url)
    lease = Leases(primary, Keys("yard")).acquire("clock", 10)
    assert lease is not None
    assert copy.get(lease.key).decode() == lease.value
    assert waits(primary) == 1
    copy.close()


def test_every_commit_of_the_aggregator_waits_for_the_replica(primary: Client, replica: Any) -> None:
    site = site_of(primary, "yard")
    aggregator, feeder = Aggregator(primary, site), Feeder(primary, site, entries([Stay(1, 0, 1, 20)]))
    aggregator.step()
    steps = []
    with primary.monitor() as monitor:
        for _ in range(5):
            feeder.feed()
            aggregator.step()
        primary.echo("done")
        while not (command := monitor.next_command()["command"]).startswith("ECHO"):
            if command.startswith(f"XADD {site.keys.cycles} "):
                steps.append("commit")
            elif command.startswith("WAIT "):
                steps.append("wait")
    assert steps == ["commit", "wait"] * 5


def test_a_hung_replica_is_logged_once_and_blocks_nothing(primary: Client, replica: Any) -> None:
    replicas = Replicas(primary)
    primary.set("written", 1)
    assert replicas.confirm()
    os.kill(replica.pid, signal.SIGSTOP)
    try:
        with capture_logs() as logs:
            for _ in range(3):
                primary.incr("written")
                watch = Stopwatch()
                assert not replicas.confirm()
                assert watch.within(2), watch.seconds
    finally:
        os.kill(replica.pid, signal.SIGCONT)
    assert [line["event"] for line in logs] == ["no Redis replica keeps up; a failover now would lose writes"]
    wait_for(replicas.confirm)


def test_without_a_replica_there_is_no_wait(primary: Client) -> None:
    primary.set("written", 1)
    assert Replicas(primary).confirm()
    assert waits(primary) == 0
