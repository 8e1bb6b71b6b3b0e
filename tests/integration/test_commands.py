"""Operators' commands against a real Redis: each has one effect and one answer, whatever happens to the aggregator."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from services.aggregator import erasure, operators
from services.aggregator.operators import Answers
from services.aggregator.service import Aggregator
from services.aggregator.state import AggregatorState
from shared import commands
from shared.camera_config import CalibrationPoints, CameraConfig, PointPair
from shared.camera_record import Asked, CarriedOut
from shared.camera_settings import add_camera, change_camera, remove_cameras, set_paused
from shared.commands import CommandsFull, InvalidCommand, send, wait_for
from shared.errors import LeaseLost
from shared.monitoring.monitor import Monitor
from shared.operator_commands import ANSWERED_FOR_S, Answer, Kind, OperatorCommand
from shared.redis_connection import Client, connect
from shared.site import PublishedSite, publish_site
from shared.site_events import site_event
from tests.conftest import RedisProcess
from tests.integration import test_aggregator
from tests.integration.test_aggregator import TICKS, Feeder, Storm, aggregator_of, let_keys_live, outcome, site_of
from tests.unit.association.scenes import Stay, entries

saved_at_once = test_aggregator.saved_at_once
"""Checkpoints are saved at the end of the cycle that starts it."""
STAYS = [Stay(who, who - 1, 5 * who - 4, 400) for who in (1, 2, 3)]
"""Three objects, each in a camera of its own, one after the other: they have the gids 1 to 3."""


def command(kind: Kind, gid: int = 0, other_gid: int = 0, *, named: str = "", **more: Any) -> OperatorCommand:
    return OperatorCommand(named or commands.new_id(), kind, "Ann", gid, other_gid, **more)


class Site:
    """A site with an aggregator, to which commands are sent."""

    def __init__(self, client: Client, name: str = "yard", stays: list[Stay] | None = None, **given: Any) -> None:
        self.client = client
        self.site = site_of(client, name, **given)
        self.keys = self.site.keys
        self.feeder = Feeder(client, self.site, entries(STAYS if stays is None else stays))
        self.aggregator = Aggregator(client, self.site)

    def play(self, ticks: int) -> None:
        for _ in range(ticks):
            self.feeder.feed()
            self.aggregator.step()

    def ask(self, *given: Any, **more: Any) -> Answer:
        """Sends a command, runs a cycle, and returns the answer."""
        command_id = send(self.client, self.keys, command(*given, **more))
        self.play(1)
        answer = wait_for(self.client, self.keys, command_id, 5)
        assert answer is not None
        return answer

    def gids(self) -> dict[str, int]:
        found = {}
        for camera in self.site.config.camera_names:
            for track_id, gid in self.client.hgetall(self.keys.gids(camera)).items():
                found[f"{camera}/{track_id.decode()}"] = int(gid)
        return found

    def names(self) -> dict[int, str]:
        return {int(gid): name.decode() for gid, name in self.client.hgetall(self.keys.names).items()}

    def events_of_operators(self) -> list[tuple[str, int, str, str]]:
        every = [fields for _, fields in self.client.xrange(self.keys.events)]
        return [
            (one[b"kind"].decode(), int(one[b"gid"]), one[b"by"].decode(), one[b"command"].decode())
            for one in every
            if b"command" in one
        ]


def look_after_output(site: Site) -> None:
    """A cycle, before which the aggregator looks after its output, which it does once per second."""
    site.aggregator._look_at_output = 0.0
    site.play(1)


def until(repeat: Callable[[], object], condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        repeat()
        time.sleep(0.01)


@pytest.fixture
def yard(redis_client: Client) -> Site:
    site = Site(redis_client)
    site.play(30)
    assert site.gids() == {"A/1": 1, "B/2": 2, "C/3": 3}
    return site


def test_a_merge_is_shown_at_once_and_recorded_with_who_asked_and_what_the_evidence_said(yard: Site) -> None:
    answer = yard.ask("merge", 3, 1, named="m-1")
    assert answer == Answer("m-1", "merge", "done", "", 1, 3, "", 31, answer.time_ns)
    assert yard.gids() == {"A/1": 1, "B/2": 2, "C/3": 1}
    assert yard.client.hgetall(yard.keys.aliases) == {b"3": b"1"}
    assert not yard.client.exists(yard.keys.identity(3))
    fields = next(fields for _, fields in yard.client.xrange(yard.keys.events) if fields[b"kind"] == b"merged")
    assert (fields[b"by"], fields[b"command"], fields[b"other_gid"]) == (b"Ann", b"m-1", b"3")
    assert b"appearance=" in fields[b"terms"]
    assert b"operator" in fields[b"reason"]
    assert yard.client.xlen(yard.keys.commands) == 0, "what was carried out does not stay in the stream"
    assert 0 < yard.client.ttl(yard.keys.command("m-1")) <= ANSWERED_FOR_S


def test_names_are_published_survive_merges_and_go_with_the_identity(yard: Site) -> None:
    yard.ask("name", 2, name="the red van")
    assert yard.names() == {2: "the red van"}
    assert yard.client.hget(yard.keys.identity(2), "name") == b"the red van"
    yard.ask("merge", 1, 2)
    assert yard.names() == {1: "the red van"}
    yard.ask("unname", 2)
    assert yard.names() == {}
    assert yard.client.hget(yard.keys.identity(1), "name") is None
    yard.ask("undo")
    yard.aggregator = aggregator_of(yard.client, yard.site)
    yard.play(5)
    assert yard.names() == {1: "the red van"}
    assert not any(
        b"red van" in value for _, fields in yard.client.xrange(yard.keys.events) for value in fields.values()
    )


def test_what_another_program_writes_into_the_names_is_corrected(yard: Site) -> None:
    yard.ask("name", 1, name="Ann")
    yard.client.hset(yard.keys.names, mapping={"1": "Eve", "2": "Eve", "01": "Eve", "x": b"\xff"})
    look_after_output(yard)
    assert yard.client.hgetall(yard.keys.names) == {b"1": b"Ann"}
    yard.client.set(yard.keys.names, "a string")
    look_after_output(yard)
    assert yard.names() == {1: "Ann"}


def test_nothing_of_a_forgotten_identity_stays_in_redis(yard: Site) -> None:
    yard.ask("merge", 1, 2)
    yard.ask("name", 1, name="Bob")
    for field in ("1", "1:newest", "11"):
        yard.client.hset(yard.keys.crops("A"), field, "jpeg")
    assert yard.ask("forget", 2).outcome == "done"
    left = {yard.keys.identity(1), yard.keys.identity(2), yard.keys.sightings(1), yard.keys.sightings(2)}
    assert not yard.client.exists(*left)
    assert (yard.names(), yard.client.hgetall(yard.keys.aliases)) == ({}, {})
    assert yard.gids() == {"C/3": 3}
    until(lambda: look_after_output(yard), lambda: not yard.client.exists(yard.keys.erased))
    assert yard.client.hkeys(yard.keys.crops("A")) == [b"11"]
    yard.play(20)
    gids = yard.gids()
    assert gids.keys() == {"A/1", "B/2", "C/3"}
    assert gids["C/3"] == 3
    assert gids["A/1"] != gids["B/2"]
    assert min(gids["A/1"], gids["B/2"]) > 3, "objects in view are new identities"
    assert yard.ask("name", 1, name="x").reason.startswith("there is no id 1 any more")
    assert "cannot be undone" in yard.ask("undo").reason


def test_crops_in_the_second_redis_are_deleted_even_if_it_or_the_aggregator_was_away(
    redis_client: Client, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_AGAIN_AFTER_S", 0.0)
    yard, pictures = Site(redis_client), connect(redis_process.url)
    yard.play(30)
    pictures.config_set("appendfsync", "always")
    pictures.hset(yard.keys.crops("A"), mapping={"1": "jpeg", "2": "jpeg"})
    redis_process.kill()
    yard.aggregator = Aggregator(redis_client, yard.site, pictures=pictures)
    redis_client.delete(yard.keys.lease("aggregator"))
    assert yard.ask("forget", 1).outcome == "done"
    redis_client.hset(yard.keys.erased, mapping={f"A/{number}": 1 for number in range(100, 9_100)})
    with capture_logs() as logs:
        until(lambda: look_after_output(yard), lambda: any("crops" in line["event"] for line in logs))
    assert redis_client.exists(yard.keys.erased)
    redis_process.start()
    redis_client.delete(yard.keys.lease("aggregator"))
    yard.aggregator = Aggregator(redis_client, yard.site, pictures=pictures)
    until(lambda: look_after_output(yard), lambda: not redis_client.exists(yard.keys.erased))
    assert pictures.hkeys(yard.keys.crops("A")) == [b"2"]
    pictures.close()


def saved_site_with_another_redis_for_pictures(client: Client, pictures_at: RedisProcess) -> tuple[Site, Client]:
    """A site that has identities and a checkpoint, and the client of the Redis that has its crops."""
    yard, pictures = Site(client), connect(pictures_at.url)
    yard.aggregator = Aggregator(client, yard.site, pictures=pictures)
    yard.play(30)
    until(lambda: look_after_output(yard), lambda: yard.aggregator._schedule._has_saved)
    return yard, pictures


@pytest.mark.parametrize("is_committed", [True, False], ids=["after the cycle", "before its commit"])
def test_crops_in_the_second_redis_are_deleted_even_if_the_first_one_came_back_empty(
    redis_client: Client, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """The hash `erased` is lost, and nobody else knows the tracks of the forgotten identity any more."""
    monkeypatch.setattr(erasure, "_AGAIN_AFTER_S", 0.0)
    yard, pictures = saved_site_with_another_redis_for_pictures(redis_client, redis_process)
    pictures.hset(yard.keys.crops("A"), mapping={"1": "jpeg", "1:best": "jpeg", "2": "jpeg"})

    def empty() -> None:
        redis_client.flushall()
        publish_site(redis_client, yard.site.config)

    if is_committed:
        assert yard.ask("forget", 1).outcome == "done"
        empty()
    else:
        run_cycle = AggregatorState.run_cycle

        def emptying(state: AggregatorState, *given: Any) -> Any:
            result = run_cycle(state, *given)
            monkeypatch.setattr(AggregatorState, "run_cycle", run_cycle)
            empty()
            return result

        monkeypatch.setattr(AggregatorState, "run_cycle", emptying)
        send(redis_client, yard.keys, command("forget", 1))
        with contextlib.suppress(LeaseLost):
            yard.play(1)
    yard.feeder.join()
    until(lambda: look_after_output(yard), lambda: pictures.hkeys(yard.keys.crops("A")) == [b"2"])
    until(lambda: look_after_output(yard), lambda: not redis_client.exists(yard.keys.erased))
    assert not redis_client.exists(yard.keys.identity(1))
    pictures.close()


def test_the_next_aggregator_deletes_the_crops_that_redis_had_lost_the_list_of(
    redis_client: Client, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_AGAIN_AFTER_S", 0.0)
    yard, pictures = saved_site_with_another_redis_for_pictures(redis_client, redis_process)
    pictures.config_set("appendfsync", "always")
    pictures.hset(yard.keys.crops("A"), mapping={"1": "jpeg", "2": "jpeg"})
    redis_process.kill()
    assert yard.ask("forget", 1).outcome == "done"
    redis_client.flushall()
    publish_site(redis_client, yard.site.config)
    yard.feeder.join()
    until(lambda: look_after_output(yard), lambda: redis_client.exists(yard.keys.erased))
    redis_client.delete(yard.keys.lease("aggregator"))  # The aggregator dies, and so does what it remembers.
    redis_process.start()
    yard.aggregator = Aggregator(redis_client, yard.site, pictures=pictures)
    until(lambda: look_after_output(yard), lambda: pictures.hkeys(yard.keys.crops("A")) == [b"2"])
    pictures.close()


def test_what_is_no_command_is_a_dead_letter_and_harms_nobody(yard: Site) -> None:
    good = command("name", 1, name="Ann").encode()
    bad: list[dict[Any, Any]] = [
        {b"\xff": b"\xfe"},
        good | {"schema": "2"},
        good | {"kind": "explode"},
        good | {"gid": "-1"},
        good | {"gid": "1e9"},
        good | {"gid": str(2**60)},
        good | {"name": "a\nb"},
        good | {"name": "x" * 65},
        good | {"by": ""},
        good | {"id": "a b"},
        command("split", 1, tracks=(("A", 1),)).encode() | {"tracks": "A"},
    ]
    for fields in bad:
        yard.client.xadd(yard.keys.commands, fields)
    yard.client.xadd(yard.keys.commands, command("undo", named="later").encode() | {"kind": "x", "by": "y"})
    last = send(yard.client, yard.keys, command("name", 2, name="Bea"))
    yard.play(2)
    assert yard.client.xlen(yard.keys.dead_letters) == len(bad) + 1
    streams = {fields[b"stream"] for _, fields in yard.client.xrange(yard.keys.dead_letters)}
    assert streams == {yard.keys.commands.encode()}
    assert yard.names() == {2: "Bea"}
    refused = wait_for(yard.client, yard.keys, "later", 0)
    assert refused is not None
    assert (refused.outcome, "kind" in refused.reason) == ("refused", True)
    done = wait_for(yard.client, yard.keys, last, 0)
    assert done is not None
    assert done.outcome == "done"


def test_what_cannot_be_carried_out_is_answered_with_a_reason(yard: Site) -> None:
    assert "never given" in yard.ask("merge", 1, 77).reason
    assert "no camera X" in yard.ask("split", 1, tracks=(("X", 1),)).reason
    assert "nothing would be left" in yard.ask("split", 1, tracks=(("A", 1),)).reason
    assert yard.events_of_operators() == []
    with pytest.raises(InvalidCommand, match="needs 'other_gid'"):
        send(yard.client, yard.keys, command("merge", 1))


def test_answers_are_counted_by_outcome(redis_client: Client) -> None:
    yard, monitor = Site(redis_client), Monitor()
    yard.aggregator = Aggregator(redis_client, yard.site, monitor)
    yard.play(30)
    for gid in (1, 77, 2):
        yard.ask("name", gid, name="Ann")
    counted = [
        monitor.registry.get_sample_value("mtmc_aggregator_commands_total", {"outcome": outcome})
        for outcome in ("done", "refused")
    ]
    assert counted == [2, 1]


def test_a_command_that_is_sent_again_has_one_effect_and_the_same_answer(yard: Site) -> None:
    yard.ask("name", 1, name="Ann", named="n")
    first = yard.ask("undo", named="u")
    again = yard.ask("name", 1, name="Ann", named="n")
    assert (again.tick, again.outcome) == (31, "done")
    yard.aggregator = aggregator_of(yard.client, yard.site)
    for _ in range(2):
        send(yard.client, yard.keys, command("undo", named="u"))
    assert yard.ask("undo", named="u") == first
    assert yard.names() == {}
    assert [kind for kind, *_ in yard.events_of_operators()] == ["named", "unnamed"]


def test_commands_that_nobody_carries_out_are_bounded(redis_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "WAITING_MOST", 3)
    site = site_of(redis_client, "asleep")
    for _ in range(3):
        send(redis_client, site.keys, command("undo"))
    with pytest.raises(CommandsFull, match="3 commands wait for the aggregator of site asleep"):
        send(redis_client, site.keys, command("undo"))
    assert wait_for(redis_client, site.keys, "x", 0.1) is None


def test_many_commands_are_carried_out_in_order_over_several_cycles(yard: Site) -> None:
    sent = [send(yard.client, yard.keys, command("name", 1, name=str(n))) for n in range(50)]
    yard.play(1)
    assert yard.names() == {1: str(operators._CARRIED_OUT_AT_ONCE - 1)}
    yard.play(2)
    assert yard.names() == {1: "49"}
    assert [one[3] for one in yard.events_of_operators()] == sent


def test_a_command_is_carried_out_while_no_camera_takes_part(redis_client: Client) -> None:
    site = Site(redis_client, mode="live")
    site.play(30)
    for camera, lease in site.feeder.leases.items():
        site.feeder.gate.retire(camera, lease, "ended")
    site.feeder.leases = {}
    site.aggregator.step()
    before = site.aggregator.state.last_tick
    command_id = send(site.client, site.keys, command("name", 1, name="Ann"))
    for _ in range(3):
        site.play(1)
    assert site.aggregator.state.last_tick > before
    answer = wait_for(site.client, site.keys, command_id, 0)
    assert answer is not None
    assert answer.outcome == "done"


# -- faults ------------------------------------------------------------------------------------------------

SENT_AFTER = range(15, TICKS, 15)
"""The ticks after which commands are sent."""


@dataclass
class CalmRun:
    """What was sent after which tick, and what came of it."""

    sent: dict[int, list[OperatorCommand]]
    outcome: dict[str, Any]


def random_command(aggregator: Aggregator, draw: random.Random, number: int) -> OperatorCommand:
    """A command that the state of an aggregator may well allow."""
    state = aggregator.state
    identities, table = state.association.identities, state.association.table
    kind: Kind = draw.choice(("merge", "merge", "merge", "split", "split", "name", "forget", "undo", "undo"))
    several = [one for one in identities if len(one.rows) > 1]
    if kind == "split" and several:
        one = draw.choice(several)
        row = draw.choice(one.rows)
        track = state.cameras[int(table.rows["camera"][row])], table.track_id(row)
        return command(kind, one.gid, tracks=(track,), named=f"c{number}")
    gids = [one.gid for one in identities] or [1]
    name = {"name": "Ann", "merge": draw.choice(("", "Bea"))}.get(kind, "")
    kind = "undo" if kind == "split" else kind
    given = () if kind == "undo" else (draw.choice(gids), draw.choice(gids) if kind == "merge" else 0)
    return command(kind, *given, name=name, named=f"c{number}")


def outcome_with_answers(client: Client, site: PublishedSite) -> dict[str, Any]:
    found = outcome(client, site)
    for key in ("names", *(f"command:c{number}" for number in range(3 * len(SENT_AFTER)))):
        found[key] = client.hgetall(site.keys.config.removesuffix("config") + key)
    return found


@pytest.fixture(scope="module")
def calm_run(redis_server_url: str) -> CalmRun:
    """An undisturbed run with commands."""
    client = connect(redis_server_url)
    client.flushall()
    site, draw = site_of(client, "calm"), random.Random(3)
    run = CalmRun({}, {})
    with pytest.MonkeyPatch.context() as patch:
        let_keys_live(patch)
        feeder, aggregator = Feeder(client, site, test_aggregator.scene()), Aggregator(client, site)
        while feeder.tick < TICKS:
            if feeder.tick in SENT_AFTER:
                first = 3 * len(run.sent)
                run.sent[feeder.tick] = [random_command(aggregator, draw, first + i) for i in range(3)]
                for one in run.sent[feeder.tick]:
                    send(client, site.keys, one)
            feeder.feed()
            aggregator.step()
        run.outcome = outcome_with_answers(client, site)
    client.close()
    done = {found[b"kind"] for key, found in run.outcome.items() if "command:" in key and found[b"outcome"] == b"done"}
    assert done == {b"merge", b"split", b"name", b"forget", b"undo"}
    return run


@pytest.mark.parametrize("checkpoint_seconds", [0.3, 80000])
@pytest.mark.parametrize("seed", [1, 2])
def test_any_fault_of_the_aggregator_leaves_one_effect_and_one_answer_of_each_command(
    redis_client: Client,
    calm_run: CalmRun,
    monkeypatch: pytest.MonkeyPatch,
    checkpoint_seconds: float,
    seed: int,
) -> None:
    let_keys_live(monkeypatch)
    site = site_of(redis_client, "storm", checkpoint_seconds=checkpoint_seconds, replay_seconds=86400)
    feeder, storm = Feeder(redis_client, site, test_aggregator.scene()), Storm(redis_client, site, seed)
    while feeder.tick < TICKS:
        if feeder.tick in calm_run.sent:
            # All earlier ticks first, so that the commands take effect in the same cycle as in the calm run.
            while storm.aggregator.state.committed_tick < feeder.tick:
                storm.aggregator.step()
            for one in calm_run.sent[feeder.tick]:
                for _ in range(storm.rng.choice([1, 2])):
                    send(redis_client, site.keys, one)
        next_stop = min((tick for tick in SENT_AFTER if tick > feeder.tick), default=TICKS)
        feeder.feed(min(next_stop - feeder.tick, storm.rng.choice([1, 1, 1, 2, 5])))
        storm.step(monkeypatch)
    while storm.aggregator.state.committed_tick < TICKS:
        storm.aggregator.step()
    assert sum(storm.happened.values()) > 5, "nothing happened"
    assert outcome_with_answers(redis_client, site) == calm_run.outcome


def test_a_standby_that_takes_over_repeats_no_command(redis_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.aggregator.service.LEASE_SECONDS", 60.0)
    owner = Site(redis_client)
    owner.play(10)
    standby = Aggregator(redis_client, owner.site)
    standby.step()
    owner.play(20)
    owner.ask("merge", 1, 2, named="m")
    owner.ask("name", 3, name="Cay", named="n")
    standby._recovery._follow_at = 0.0
    standby.step()
    redis_client.delete(owner.keys.lease("aggregator"))
    owner.aggregator = standby
    owner.play(3)
    assert standby.state.differs_since is None
    assert owner.gids() == {"A/1": 1, "B/2": 1, "C/3": 3}
    assert standby.state.association.identities[3].name == "Cay"
    assert owner.ask("merge", 1, 2, named="m").outcome == "done"
    assert [kind for kind, *_ in owner.events_of_operators()] == ["merged", "named"]


def test_commands_survive_a_restart_and_the_loss_of_redis(redis_process: RedisProcess) -> None:
    client = connect(redis_process.url)
    try:
        yard = Site(client, replay_seconds=86400)
        yard.play(30)
        send(client, yard.keys, command("merge", 1, 2, named="m"))
        redis_process.restart()
        client.connection_pool.disconnect()
        yard.aggregator = aggregator_of(client, yard.site)
        yard.play(2)
        assert yard.gids() == {"A/1": 1, "B/2": 1, "C/3": 3}
        yard.ask("name", 1, name="Ann", named="n")
        redis_process.kill()
        for path in redis_process.server.folder.iterdir():
            if path.name.startswith("appendonly"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        redis_process.start()
        client.connection_pool.disconnect()
        site_of(client, "yard", replay_seconds=86400)
        yard.feeder.join()
        for _ in range(3):
            yard.feeder.feed()
            test_aggregator.step_through(yard.aggregator)
        assert yard.names() == {1: "Ann"}
        answer = wait_for(client, yard.keys, "n", 0)
        assert answer is not None
        assert answer.outcome == "done"
        assert yard.ask("name", 1, name="Bea").outcome == "done"
    finally:
        client.close()


def test_answers_are_forgotten_in_the_order_in_which_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "_REMEMBERED", 2)
    answers = Answers()
    for name in "abc":
        answers.add(Answer(name, "undo", "refused", "x", 0, 0, "", 1, 1))
    assert [answer.id for answer in Answers.from_list(answers.to_list())] == ["b", "c"]


def test_changes_of_cameras_are_recorded_once_with_who_asked(yard: Site) -> None:
    client, keys, first = yard.client, yard.keys, len(yard.client.xrange(yard.keys.events))
    gate = CameraConfig(name="gate", source="rtsp://bob:geheim@camera/1", title="Front gate", paused=True)
    asked = Asked("Ann", "add-1")
    assert add_camera(client, keys, gate, asked=asked)
    with pytest.raises(CarriedOut):
        add_camera(client, keys, gate, asked=asked)
    change_camera(
        client, keys, "gate", lambda one: one.model_copy(update={"loop": True, "paused": False}), asked=Asked("Bob")
    )
    assert set_paused(client, keys, ["gate", "A"], paused=True, asked=Asked("Bob")) == []
    assert remove_cameras(client, keys, ["gate"], 60, asked=Asked("Ann")) == []
    waiting = client.xrange(keys.commands)
    assert client.hget(keys.command("add-1"), "outcome") == b"done", "it is done, whether or not an aggregator runs"
    yard.play(1)
    added = next(fields for _, fields in waiting if fields[b"id"] == b"add-1")
    client.xadd(keys.commands, added)  # sent again after the note was used
    yard.play(1)
    events = client.xrange(keys.events)[first:]
    assert [entry_id for entry_id, _ in events] == [f"{first + 1 + i}-0".encode() for i in range(len(events))]
    shown = [tuple(one[name].decode() for name in (b"kind", b"camera", b"by")) for _, one in events]
    assert shown == [
        ("camera_added", "gate", "Ann"),
        ("camera_changed", "gate", "Bob"),
        ("camera_resumed", "gate", "Bob"),
        ("camera_paused", "gate", "Bob"),
        ("camera_paused", "A", "Bob"),
        ("camera_removed", "gate", "Ann"),
    ]
    assert events[0][1][b"title"].decode() == "Front gate"
    assert events[1][1][b"reason"].decode() == "an operator changed loop"
    assert events[0][1][b"command"] == b"add-1"
    assert b"geheim" not in str(events).encode()
    assert client.xlen(keys.commands) == 0
    assert client.hget(keys.command("add-1"), "camera") == b"gate"
    recorded = site_event(events[0][0], events[0][1])
    assert recorded is not None
    assert (recorded.gid, recorded.camera, recorded.by) == (None, "gate", "Ann")


def test_a_change_of_a_camera_is_recorded_once_whatever_happens_to_the_aggregator(yard: Site) -> None:
    client, keys = yard.client, yard.keys
    assert set_paused(client, keys, ["C"], paused=True, asked=Asked("Ann", "pause-1")) == []
    yard.aggregator.state.reader.read()
    yard.aggregator = Aggregator(client, yard.site)  # the last one was killed before its cycle
    until(lambda: yard.play(1), lambda: not client.xlen(keys.commands))
    yard.aggregator = Aggregator(client, yard.site)  # the last one was killed after its cycle
    until(lambda: yard.play(1), lambda: not yard.aggregator._recovery.is_needed)
    yard.play(3)
    kinds = [fields[b"kind"] for _, fields in client.xrange(keys.events)]
    assert (kinds.count(b"camera_paused"), kinds.count(b"recovered")) == (1, 0)


CORNERS = ((0.0, 0.0), (640.0, 0.0), (640.0, 360.0), (0.0, 360.0))
POINTS = CalibrationPoints(
    width=640, height=360, points=tuple(PointPair(pixel=(x, y), metres=(x / 100, y / 50)) for x, y in CORNERS)
)


def calibrated(points: CalibrationPoints | None) -> Callable[[CameraConfig], CameraConfig]:
    return lambda camera: camera.model_copy(update={"calibration_points": points})


def test_a_calibration_at_run_time_is_used_in_cycle_order_and_survives_the_aggregator(yard: Site) -> None:
    client, keys = yard.client, yard.keys

    def known(aggregator: Aggregator) -> dict[str, float]:
        found = aggregator.state.association._layout.calibrations
        return {camera: float(one.to_ground(np.array([[320.0, 180.0]]))[0, 0]) for camera, one in found.items()}

    assert known(yard.aggregator) == {}
    change_camera(client, keys, "A", calibrated(POINTS), asked=Asked("Ann"))
    yard.aggregator.state.follow_cameras()
    assert known(yard.aggregator) == {}, "it counts from the cycle on that records it"
    yard.play(1)
    assert known(yard.aggregator) == {"A": pytest.approx(3.2)}
    recorded = [json.loads(fields[b"commands"]) for _, fields in client.xrange(keys.cycles) if b"commands" in fields]
    assert "image_to_ground" in recorded[-1][0]["calibration"]
    yard.play(2)
    gids = yard.gids()
    yard.aggregator = Aggregator(client, yard.site)  # the last one was killed, after its last checkpoint
    until(lambda: yard.play(1), lambda: not yard.aggregator._recovery.is_needed)
    assert known(yard.aggregator) == {"A": pytest.approx(3.2)}
    assert yard.gids() == gids
    assert b"recovered" not in [fields[b"kind"] for _, fields in client.xrange(keys.events)]
    yard.aggregator.close()
    change_camera(client, keys, "A", calibrated(None), asked=Asked("Ann"))
    yard.aggregator = Aggregator(client, yard.site)
    yard.aggregator.state.reader.read()
    yard.aggregator.step()
    yard.play(1)
    until(lambda: yard.play(1), lambda: not client.xlen(keys.commands))
    assert known(yard.aggregator) == {}
    assert yard.gids() == gids


def test_a_calibration_without_a_note_is_found_when_the_aggregator_starts_without_a_checkpoint(
    redis_client: Client,
) -> None:
    site = Site(redis_client)
    change_camera(redis_client, site.keys, "B", calibrated(POINTS))
    site.play(1)
    assert sorted(site.aggregator.state.association._layout.calibrations) == ["B"]


def test_a_camera_that_is_added_with_a_calibration_has_it(yard: Site) -> None:
    gate = CameraConfig(name="gate", source="rtsp://camera/1", paused=True, calibration_points=POINTS)
    assert add_camera(yard.client, yard.keys, gate, asked=Asked("Ann"))
    yard.play(1)
    yard.aggregator._look_at = 0.0
    yard.play(1)
    assert sorted(yard.aggregator.state.association._layout.calibrations) == ["gate"]
    assert remove_cameras(yard.client, yard.keys, ["gate"], 60, asked=Asked("Ann")) == []
    yard.play(1)
    assert yard.aggregator.state.association._layout.calibrations == {}
