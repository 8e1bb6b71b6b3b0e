"""Aggregators as processes of their own, killed while a live site goes on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.aggregator.service import LEASE_SECONDS, Aggregator
from shared.commands import send
from shared.commands import wait_for as wait_for_answer
from shared.operator_commands import OperatorCommand
from shared.redis_connection import Client
from shared.service_list import read_services
from shared.site import PublishedSite
from tests.integration.test_aggregator import TICKS, Feeder, outcome, scene, site_of
from tests.stopwatch import Stopwatch
from tests.unit.association.scenes import Stay, entries

ROOT = Path(__file__).resolve().parents[2]
TICK_S = 0.04
PROGRAM = """
import sys
from services.aggregator.__main__ import main
from shared.process import ServiceOptions
from shared.service import stop_on_signals
main(ServiceOptions(site=sys.argv[1], redis_url=sys.argv[2]), stop_on_signals())
"""


@pytest.fixture
def start(redis_url: str, tmp_path: Path) -> Iterator[Callable[[PublishedSite], subprocess.Popen[bytes]]]:
    """Starts aggregators; all of them are gone at the end."""
    with contextlib.ExitStack() as stack:

        def begin(site: PublishedSite) -> subprocess.Popen[bytes]:
            log = stack.enter_context((tmp_path / "aggregators.log").open("ab"))
            command = [sys.executable, "-c", PROGRAM, site.config.site, redis_url]
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield begin


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def last_cycle(client: Client, site: PublishedSite) -> int:
    newest = client.xrevrange(site.keys.cycles, count=1)
    return int(newest[0][1][b"tick"]) if newest else 0


def is_ready(client: Client, site: PublishedSite, process: subprocess.Popen[bytes]) -> bool:
    return any(one.ready and one.pid == process.pid for one in read_services(client, site.keys))


@pytest.mark.alone
def test_a_standby_takes_over_from_a_killed_aggregator_within_seconds_and_no_gid_changes(
    redis_client: Client, start: Callable[[PublishedSite], subprocess.Popen[bytes]]
) -> None:
    seen = scene()
    calm_site = site_of(redis_client, "calm", mode="live", retention_seconds=60)
    feeder, aggregator = Feeder(redis_client, calm_site, seen), Aggregator(redis_client, calm_site)
    for _ in range(TICKS):
        feeder.feed()
        aggregator.step()
    calm = outcome(redis_client, calm_site)

    site = site_of(redis_client, "killed", mode="live", retention_seconds=60)
    feeder = Feeder(redis_client, site, seen)
    owner = start(site)
    lease = site.keys.lease("aggregator")
    wait_for(lambda: redis_client.exists(lease))
    standby = start(site)
    for kill_at in (40, 110):
        while feeder.tick < kill_at:
            feeder.feed()
            time.sleep(TICK_S)
        wait_for(lambda: last_cycle(redis_client, site) == feeder.tick)
        wait_for(lambda standby=standby: is_ready(redis_client, site, standby))
        owner.kill()
        owner.wait()
        watch = Stopwatch()
        died_at = feeder.tick
        while last_cycle(redis_client, site) == died_at:
            assert watch.seconds < 60, "nobody took over"
            if feeder.tick < TICKS:
                feeder.feed()
            time.sleep(TICK_S)
        assert watch.within(LEASE_SECONDS + 1), watch.seconds
        owner, standby = standby, start(site)
    while feeder.tick < TICKS:
        feeder.feed()
    wait_for(lambda: last_cycle(redis_client, site) == TICKS)
    assert outcome(redis_client, site) == calm


SELF_KILLING = """
import os, signal, sys
from shared.leases import Lease
commit = Lease.commit
def killed(lease, commands, touched, **options):
    is_answer = any(":command:" in key for key in touched)
    if is_answer and sys.argv[3] == "after":
        commit(lease, commands, touched, **options)
    if is_answer:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(lease, commands, touched, **options)
Lease.commit = killed
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_is_killed_beside_the_commit_of_a_command_leaves_one_effect_and_one_answer(
    redis_client: Client, redis_url: str, start: Callable[[PublishedSite], subprocess.Popen[bytes]], moment: str
) -> None:
    site = site_of(redis_client, "killed", mode="live", retention_seconds=60)
    feeder = Feeder(redis_client, site, entries([Stay(1, 0, 1, 4000), Stay(2, 1, 1, 4000)]))
    command = [sys.executable, "-c", SELF_KILLING + PROGRAM, site.config.site, redis_url, moment]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as owner:
        try:
            feeder.feed(30)
            wait_for(lambda: last_cycle(redis_client, site) == feeder.tick)
            standby = start(site)
            wait_for(lambda: is_ready(redis_client, site, standby))
            merge = OperatorCommand("m-1", "merge", "Ann", 1, 2)
            for _ in range(2):
                send(redis_client, site.keys, merge)
            while owner.poll() is None:
                feeder.feed()
                time.sleep(TICK_S)
            assert owner.returncode == -signal.SIGKILL
        finally:
            owner.kill()
    assert redis_client.exists(site.keys.command("m-1")) == (moment == "after")
    died_at = last_cycle(redis_client, site)
    send(redis_client, site.keys, merge)
    watch = Stopwatch()
    while last_cycle(redis_client, site) <= died_at + 5 or redis_client.xlen(site.keys.commands):
        assert watch.seconds < 60, "nobody took over"
        feeder.feed()
        time.sleep(TICK_S)
    answer = wait_for_answer(redis_client, site.keys, "m-1", 10)
    assert answer is not None
    assert (answer.outcome, answer.gid, answer.other_gid) == ("done", 1, 2)
    kinds = [fields[b"kind"] for _, fields in redis_client.xrange(site.keys.events)]
    assert kinds == [b"appeared", b"appeared", b"merged"]
    assert set(redis_client.hgetall(site.keys.gids("B")).values()) == {b"1"}
