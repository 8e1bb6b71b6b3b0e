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


def test_a_lease_is_on_the_replica_when_it_is_acquired(
    primary: Client, replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.replication._WAIT_MS", 4000)  # a busy machine may need longer than usual
    copy = connect(replica.url)
    lease = Leases(primary, Keys("yard")).acquire("clock", 10)
    assert lease is not None
    assert copy.get(lease.key).decode() == lease.value
    assert waits(primary) == 1
    copy.close()


class Rotation:
    """A pool that hands out another connection for each command, as it may with several threads."""

    def __init__(self, client: Client) -> None:
        pool = client.connection_pool
        spare, take = [pool.get_connection() for _ in range(3)], pool.get_connection
        for connection in spare:
            pool.release(connection)

        def oldest(*given: Any, **named: Any) -> Any:
            pool._available_connections.insert(0, pool._available_connections.pop())
            return take(*given, **named)

        pool.get_connection = oldest


def test_a_lease_and_every_commit_of_the_aggregator_wait_on_the_connection_that_wrote(
    primary: Client, replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No other thread renews the lease meanwhile, over a connection of its own.
    monkeypatch.setattr("services.aggregator.service.LEASE_SECONDS", 60.0)
    site = site_of(primary, "yard")
    lease = site.keys.lease("aggregator")
    Rotation(primary)
    aggregator, feeder = Aggregator(primary, site), Feeder(primary, site, entries([Stay(1, 0, 1, 20)]))
    steps = []
    with primary.monitor() as monitor:
        aggregator.step()
        for _ in range(5):
            feeder.feed()
            aggregator.step()
        primary.echo("done")
        writer, kind = "", ""
        while not (seen := monitor.next_command())["command"].startswith("ECHO"):
            command, sender = seen["command"], f"{seen['client_address']}:{seen['client_port']}"
            if command.startswith("EVAL"):
                writer = sender
            elif command.startswith((f"XADD {site.keys.cycles} ", f"SET {lease} ")) and kind != "commit":
                kind = "commit" if command.startswith("XADD") else "lease"
            elif command.startswith("WAIT "):
                steps.append((kind, sender == writer))
                kind = ""
    assert steps == [("lease", True)] + [("commit", True)] * 5


def test_a_hung_replica_is_logged_once_and_blocks_nothing(primary: Client, replica: Any) -> None:
    replicas, keys = Replicas(primary), Keys("yard")

    def written() -> bool:
        with capture_logs() as logs:
            assert replicas.run("heartbeat", [keys.services, keys.service("a")], ["a", 1, 60000, "pid", 1]) is None
        waits_in_vain.extend(line["event"] for line in logs)
        return not replicas._behind

    waits_in_vain: list[str] = []
    wait_for(written)
    waits_in_vain.clear()
    os.kill(replica.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            watch = Stopwatch()
            assert not written()
            assert watch.within(2), watch.seconds
    finally:
        os.kill(replica.pid, signal.SIGCONT)
    assert waits_in_vain == ["no Redis replica keeps up; a failover now would lose writes"]
    wait_for(written)


def test_without_a_replica_there_is_no_wait(primary: Client) -> None:
    assert Leases(primary, Keys("yard")).acquire("clock", 10) is not None
    assert waits(primary) == 0
