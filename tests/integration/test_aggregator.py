"""The aggregator against a real Redis: a feeder plays the workers, and all kinds of faults are injected."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from itertools import combinations
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from association.outcome import CameraTick
from services.aggregator import publication
from services.aggregator.persistence import UnknownState
from services.aggregator.publication import Publication
from services.aggregator.service import Aggregator
from shared.camera_config import CameraConfig
from shared.camera_settings import add_camera, remove_cameras
from shared.config import SiteConfig
from shared.errors import LeaseLost
from shared.gate import CompletedCamera, Gate
from shared.leases import Lease, Leases
from shared.messages import TrackBatch
from shared.monitoring.monitor import Monitor
from shared.redis_connection import Client, connect
from shared.site import PublishedSite, publish_site, read_site
from tests.conftest import RedisProcess
from tests.unit.association.scenes import Stay, entries
from tests.unit.association.test_association import random_scene

CAMERAS = ("A", "B", "C", "D")
TICKS = 160
ORIGIN_NS = 1_700_000_000 * 10**9


def site_of(
    client: Client, name: str, cameras: Sequence[str] = CAMERAS, mode: str = "virtual", **association: Any
) -> PublishedSite:
    """Publishes a site with 10 ticks per second and overlapping views."""
    config = SiteConfig.model_validate(
        {
            "site": name,
            "clock": {"mode": mode, "target_fps": 10},
            "detector": {"model": "/d.onnx"},
            "embedder": {"model": "/e.onnx"},
            "association": {"retention_seconds": 8, "linger_seconds": 1, "checkpoint_seconds": 2} | association,
            "cameras": [{"name": camera, "source": "rtsp://nowhere"} for camera in cameras],
            "layout": {"overlaps": [list(cameras)]},
        }
    )
    publish_site(client, config)
    site = read_site(client, name)
    assert site is not None
    return site


class Feeder:
    """Plays the clock and the workers of a site."""

    def __init__(self, client: Client, site: PublishedSite, scene: Sequence[CameraTick]) -> None:
        self.client, self.site, self.keys = client, site, site.keys
        self.gate = Gate(client, site.keys, site.config.clock)
        self.tick, self._cursor = 0, "0-0"
        self.shift_ns = 0
        """By how much Redis's clock was set."""
        self._scene = {(entry.tick, CAMERAS[entry.camera]): entry.batch for entry in scene}
        self.join()

    def join(self) -> None:
        """Claims every camera and joins the clock."""
        self.leases: dict[str, Lease] = {}
        for camera in self.site.config.camera_names:
            self.client.delete(self.keys.lease(f"camera:{camera}"))
            self.join_one(camera)

    def join_one(self, camera: str) -> None:
        """Claims a camera that was added."""
        lease = Leases(self.client, self.keys).acquire(f"camera:{camera}", 600)
        assert lease is not None
        self.gate.join(camera, lease)
        self.leases[camera] = lease

    def feed(self, ticks: int = 1) -> None:
        """Handles the next ticks for all cameras."""
        for _ in range(ticks):
            self.tick += 1
            time_ns = ORIGIN_NS + self.tick * 10**8 + self.shift_ns
            fields = {"tick": self.tick, "time_ns": time_ns, "gate": self.tick + 1}
            with self.client.pipeline(transaction=True) as pipe:  # Both at once, as the clock's script does it.
                pipe.set(self.keys.tick, self.tick)
                pipe.xadd(self.keys.ticks, fields, maxlen=100)
                pipe.execute()
            batches = {camera: self._scene.get((self.tick, camera), TrackBatch()) for camera in self.leases}
            done = [
                CompletedCamera(camera, self.leases[camera], time_ns, len(batch), batch.encode(), longest=600)
                for camera, batch in batches.items()
            ]
            progress = self.gate.complete_tick(self.tick, done, self._cursor)
            assert not progress.lost
            self._cursor = progress.assignments_cursor


def aggregator_of(client: Client, site: PublishedSite) -> Aggregator:
    """An aggregator as in a new process, after the lease of a dead one has expired."""
    client.delete(site.keys.lease("aggregator"))
    return Aggregator(client, site)


def scan(client: Client, site: PublishedSite, pattern: str) -> list[str]:
    prefix = site.keys.config.removesuffix("config")
    return sorted(key.decode().removeprefix(prefix) for key in client.scan_iter(f"{prefix}{pattern}"))


def outcome(client: Client, site: PublishedSite) -> dict[str, Any]:
    """Everything that the aggregator publishes."""
    keys = site.keys
    prefix = keys.config.removesuffix("config")
    found: dict[str, Any] = {
        "assignments": [fields for _, fields in client.xrange(keys.assignments)],
        "events": client.xrange(keys.events),
        "aliases": client.hgetall(keys.aliases),
        "dead": [{**fields, b"stream": b"", b"entry": b""} for _, fields in client.xrange(keys.dead_letters)],
    }
    for pattern in ("gids:*", "identity:*"):
        found |= {key: client.hgetall(prefix + key) for key in scan(client, site, pattern)}
    for key in scan(client, site, "sightings:*"):
        found[key] = [fields for _, fields in client.xrange(prefix + key)]
    return found


@pytest.fixture(autouse=True)
def patient_keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys expire after seconds of real time, which a slow machine needs for a storm: not before it is compared."""
    if "calm" in request.fixturenames:
        let_keys_live(monkeypatch)


def let_keys_live(monkeypatch: pytest.MonkeyPatch) -> None:
    create = Publication.__init__

    def patient(self: Publication, *given: Any, **named: Any) -> None:
        create(self, *given, **named)
        self._expiry = 600

    monkeypatch.setattr(Publication, "__init__", patient)


class AtOnce(Executor):
    """Runs everything at once, so that faults hit the same moment in each run."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call(*args, **kwargs))
        return done


@pytest.fixture(autouse=True)
def saved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are saved at the end of the cycle that starts it."""
    monkeypatch.setattr("services.aggregator.saving.ThreadPoolExecutor", lambda *_, **__: AtOnce())


@pytest.fixture(autouse=True)
def patient_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease ends where a test deletes it, and not because the machine was held up for two seconds."""
    monkeypatch.setattr("services.aggregator.service.LEASE_SECONDS", 60.0)


def scene() -> list[CameraTick]:
    """A scene noisy enough for merges and a split, and long enough for objects to be forgotten."""
    return entries(random_scene(4, TICKS), 2.5, 4)


@pytest.fixture(scope="module")
def calm(redis_server_url: str) -> dict[str, Any]:
    """The outcome of `scene()` in an undisturbed run."""
    client = connect(redis_server_url)
    client.flushall()
    site = site_of(client, "calm")
    with pytest.MonkeyPatch.context() as patch:
        let_keys_live(patch)
        feeder, aggregator = Feeder(client, site, scene()), Aggregator(client, site)
        for _ in range(TICKS):
            feeder.feed()
            aggregator.step()
        found = outcome(client, site)
    client.close()
    events = [int(entry_id.split(b"-")[0]) for entry_id, _ in found["events"]]
    assert events == list(range(1, len(events) + 1)), "events are numbered with gaps"
    kinds = {fields[b"kind"] for _, fields in found["events"]}
    assert {b"appeared", b"handover", b"merged", b"split", b"left"} <= kinds
    identities = aggregator.state.association.identities
    assert len(identities) < identities.next_gid - 1, "none is forgotten"
    return found


# -- faults that lose nothing --------------------------------------------------------------------------------


class Killed(Exception):
    """The process dies at this point."""


class Storm:
    """Runs an aggregator and injects a fault at many ticks."""

    def __init__(self, client: Client, site: PublishedSite, seed: int) -> None:
        self.client, self.site, self.rng = client, site, random.Random(seed)
        self.aggregator = Aggregator(client, site)
        self.happened: dict[str, int] = {}

    def step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        faults: list[Callable[[pytest.MonkeyPatch], None]] = [
            self.die_idle,
            self.die_before_committing,
            self.die_after_committing,
            self.lose_the_answer,
            self.lose_the_command,
            self.lose_the_connection_while_recovering,
            self.close_in_good_order,
            self.die_while_saving,
            self.lose_the_lease,
        ]
        if self.rng.random() < 0.25:
            fault = self.rng.choice(faults)
            self.happened[fault.__name__] = self.happened.get(fault.__name__, 0) + 1
            with monkeypatch.context() as patch:
                fault(patch)
        self.aggregator.step()

    def renew(self) -> None:
        self.aggregator = aggregator_of(self.client, self.site)

    def die_idle(self, _: pytest.MonkeyPatch) -> None:
        self.renew()

    def close_in_good_order(self, _: pytest.MonkeyPatch) -> None:
        self.aggregator.close()
        self.aggregator = Aggregator(self.client, self.site)

    def _commit_then(self, patch: pytest.MonkeyPatch, error: Exception, *, before: bool) -> None:
        commit = Lease.commit

        def broken(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
            if not before:
                commit(lease, commands, touched, **options)
            raise error

        patch.setattr(Lease, "commit", broken)
        with pytest.raises(type(error)):
            self.aggregator.step()

    def die_before_committing(self, patch: pytest.MonkeyPatch) -> None:
        self._commit_then(patch, Killed(), before=True)
        self.renew()

    def die_after_committing(self, patch: pytest.MonkeyPatch) -> None:
        self._commit_then(patch, Killed(), before=False)
        self.renew()

    def lose_the_answer(self, patch: pytest.MonkeyPatch) -> None:
        self._commit_then(patch, RedisConnectionError("gone"), before=False)

    def lose_the_command(self, patch: pytest.MonkeyPatch) -> None:
        self._commit_then(patch, RedisConnectionError("gone"), before=True)

    def lose_the_lease(self, patch: pytest.MonkeyPatch) -> None:
        """Loses the lease between computing and committing to an owner that dies before it does anything."""
        self._commit_then(patch, LeaseLost("aggregator"), before=True)
        self.client.delete(self.site.keys.lease("aggregator"))

    def lose_the_connection_while_recovering(self, patch: pytest.MonkeyPatch) -> None:
        self.renew()
        calls = {"left": self.rng.randrange(1, 8)}
        execute = self.client.execute_command

        def failing(*args: Any, **options: Any) -> Any:
            calls["left"] -= 1
            if calls["left"] < 0:
                raise RedisConnectionError("gone")
            return execute(*args, **options)

        patch.setattr(self.client, "execute_command", failing)
        while calls["left"] >= 0:
            with contextlib.suppress(RedisConnectionError):
                self.aggregator.step()

    def die_while_saving(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(self.aggregator._schedule, "_interval_ticks", 1)
        set_current = self.site.keys.state_current
        commit = Lease.commit

        def broken(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
            if set_current in touched:
                raise Killed
            commit(lease, commands, touched, **options)

        patch.setattr(Lease, "commit", broken)
        with pytest.raises(Killed):
            self.aggregator.step()
        self.renew()


@pytest.mark.parametrize("checkpoint_seconds", [0.3, 2, 80000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_fault_of_the_aggregator_leaves_the_outcome_of_an_undisturbed_run(
    redis_client: Client, calm: dict[str, Any], monkeypatch: pytest.MonkeyPatch, checkpoint_seconds: float, seed: int
) -> None:
    given = {"checkpoint_seconds": checkpoint_seconds, "replay_seconds": 86400}
    seen = scene()
    site = site_of(redis_client, "storm", **given)
    feeder, storm = Feeder(redis_client, site, seen), Storm(redis_client, site, seed)
    while feeder.tick < TICKS:
        feeder.feed(min(TICKS - feeder.tick, storm.rng.choice([1, 1, 1, 2, 5])))
        storm.step(monkeypatch)
    assert sum(storm.happened.values()) > 5, "nothing happened"
    assert outcome(redis_client, site) == calm


def test_the_outcome_does_not_depend_on_how_much_arrives_at_once(redis_client: Client, calm: dict[str, Any]) -> None:
    seen = scene()
    for number, ticks in enumerate((TICKS, 7)):
        site = site_of(redis_client, f"chunks{number}")
        feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
        while feeder.tick < TICKS:
            feeder.feed(min(ticks, TICKS - feeder.tick))
            aggregator.step()
        assert outcome(redis_client, site) == calm


def test_reading_does_not_send_the_text_of_a_script_each_time_and_survives_a_flush(redis_client: Client) -> None:
    site = site_of(redis_client, "short")
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site)
    for tick in range(1, 21):
        feeder.feed()
        if tick == 10:
            redis_client.script_flush()
        if tick in (5, 15):
            before = redis_client.info("stats")["total_net_input_bytes"]
        aggregator.step()
        if tick in (5, 15):
            sent = redis_client.info("stats")["total_net_input_bytes"] - before
            assert sent < 6000, "a step sends no more than its commit and what it asks"
    assert redis_client.xrevrange(site.keys.cycles, count=1)[0][0] == b"20-0"


def test_more_entries_than_are_read_at_once_are_all_used_in_order(
    redis_client: Client, calm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = scene()
    monkeypatch.setattr("services.aggregator.reader._READ_AT_ONCE", 7)
    site = site_of(redis_client, "behind")
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    feeder.feed(TICKS)
    for _ in range(TICKS // 7 + 2):
        aggregator.step()
    assert outcome(redis_client, site) == calm
    again = aggregator_of(redis_client, site)
    again.step()
    assert outcome(redis_client, site) == calm


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_checkpoint_loses_nothing_because_the_previous_one_is_kept(
    redis_client: Client, calm: dict[str, Any], damage: str
) -> None:
    seen = scene()
    site = site_of(redis_client, "damaged")
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    for _ in range(TICKS - 30):
        feeder.feed()
        aggregator.step()
    current = json.loads(redis_client.get(site.keys.state_current))
    chunk = site.keys.state_chunk(current["generation"], 0)
    if damage == "changed":
        redis_client.setrange(chunk, 100, b"rotten")
    else:
        redis_client.delete(chunk)
    aggregator = aggregator_of(redis_client, site)
    for _ in range(30):
        feeder.feed()
        aggregator.step()
    assert outcome(redis_client, site) == calm


@pytest.mark.parametrize("association", [{}, {"linkage": "average"}])
def test_what_was_learned_of_the_cameras_is_published_with_every_checkpoint(
    redis_client: Client, association: dict[str, str]
) -> None:
    site = site_of(redis_client, "learned", **association)
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site)
    for _ in range(60):
        feeder.feed()
        aggregator.step()
    published = redis_client.get(site.keys.learned_layout)
    if association:
        assert published is None, "the reference mode learns nothing"
        return
    learned = json.loads(published)
    assert learned["tick"] == json.loads(redis_client.get(site.keys.state_current))["tick"]
    assert {tuple(one["cameras"]) for one in learned["overlaps"]} <= set(combinations("ABCD", 2))
    assert all(step["handovers"] > 0 for step in learned["steps"])


def test_without_an_intact_checkpoint_new_gids_are_assigned_and_event_numbers_continue(
    redis_client: Client,
) -> None:
    site, seen = site_of(redis_client, "lost"), scene()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    for _ in range(TICKS - 50):
        feeder.feed()
        aggregator.step()
    highest = aggregator.state.association.identities.next_gid - 1
    events = redis_client.xlen(site.keys.events)
    for key in scan(redis_client, site, "state:*"):
        if key != "state:current":
            redis_client.delete(site.keys.config.removesuffix("config") + key)
    aggregator = aggregator_of(redis_client, site)
    for _ in range(50):
        feeder.feed()
        aggregator.step()
    check_map(redis_client, site, aggregator)
    live = {int(gid) for key in scan(redis_client, site, "gids:*") for gid in redis_client.hvals(prefixed(site, key))}
    assert live
    assert min(live) > highest, "a gid was given twice"
    numbers = [int(entry_id.split(b"-")[0]) for entry_id, _ in redis_client.xrange(site.keys.events)]
    assert len(numbers) > events
    assert numbers == list(range(1, len(numbers) + 1))


def prefixed(site: PublishedSite, key: str) -> str:
    return site.keys.config.removesuffix("config") + key


def check_map(client: Client, site: PublishedSite, aggregator: Aggregator) -> None:
    """The published map matches the aggregator's state."""
    rows = aggregator.state.association.table.rows
    shown = rows[rows["used"] & (rows["gid"] > 0) & (~rows["ended"] | rows["lingering"])]
    believed = {(CAMERAS[row["camera"]], int(row["track_id"])): int(row["gid"]) for row in shown}
    published = {
        (camera, int(track)): int(gid)
        for camera in CAMERAS
        for track, gid in client.hgetall(site.keys.gids(camera)).items()
    }
    assert published == believed


# -- owners ----------------------------------------------------------------------------------------------


def test_of_two_aggregators_one_is_a_standby_until_the_other_stops(redis_client: Client) -> None:
    site, seen = site_of(redis_client, "two"), scene()
    feeder, one, other = (
        Feeder(redis_client, site, seen),
        Aggregator(redis_client, site),
        Aggregator(redis_client, site),
    )
    feeder.feed(60)
    one.step()
    before = outcome(redis_client, site)
    with redis_client.monitor() as monitor:
        other.step()
        redis_client.echo("done")
        seen_commands = []
        while not (seen_commands and seen_commands[-1]["command"].startswith("ECHO")):
            seen_commands.append(monitor.next_command())
    # Not those of a thread that an earlier test has left behind.
    port = seen_commands.pop()["client_port"]
    commands = [one["command"].split()[0] for one in seen_commands if one["client_port"] == port]
    reading = {
        "GET",
        "PTTL",
        "TYPE",
        "HKEYS",
        "HGETALL",
        "XRANGE",
        "XREAD",
        "GETRANGE",
        "XREVRANGE",
        "INFO",
        "PING",
        "CLIENT",
    }
    assert set(commands) <= reading | {"EVALSHA"}, "it writes nothing"
    assert commands.count("EVALSHA") == 1, "it only tries to acquire the lease"
    assert outcome(redis_client, site) == before
    one.close()
    other.step()
    assert other.state.association.to_dict() == one.state.association.to_dict()


def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby looks at every step."""
    monkeypatch.setattr("services.aggregator.recovery._FOLLOW_EVERY_S", 0.0)
    monkeypatch.setattr("services.aggregator.service._POLL_S", 0.001)


def test_a_standby_follows_the_owner_and_takes_over_without_reading_a_checkpoint(
    redis_client: Client, calm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    restless(monkeypatch)
    site, seen = site_of(redis_client, "followed", ("A", "B", "D"), replay_seconds=86400), scene()
    feeder, owner, standby = (
        Feeder(redis_client, site, seen),
        Aggregator(redis_client, site),
        Aggregator(redis_client, site),
    )
    for tick in range(1, 101):
        if tick == 30:
            assert add_camera(redis_client, site.keys, CameraConfig(name="C", source="rtsp://nowhere"))
            feeder.join_one("C")
            monkeypatch.setattr(owner, "_look_at", 0.0)
        feeder.feed()
        owner.step()
        if tick > 10:
            standby.step()
    assert standby.state.association.to_dict() == owner.state.association.to_dict()
    feeder.feed(2)
    owner.step()
    monkeypatch.setattr(standby._checkpoints, "load", lambda *_: pytest.fail("it read a checkpoint"))
    redis_client.delete(site.keys.lease("aggregator"))
    with capture_logs() as logs:
        standby.step()
    assert [line["cycles_replayed"] for line in logs if "was_following" in line] == [2]
    feeder.feed()
    with pytest.raises(LeaseLost):
        owner.step()
    while feeder.tick < TICKS:
        feeder.feed()
        standby.step()
    numbers = [int(entry_id.split(b"-")[0]) for entry_id, _ in redis_client.xrange(site.keys.events)]
    assert numbers == list(range(1, len(numbers) + 1))
    straight = site_of(redis_client, "straight", ("A", "B", "D"), replay_seconds=86400)
    feeder, alone = Feeder(redis_client, straight, seen), Aggregator(redis_client, straight)
    for tick in range(1, TICKS + 1):
        if tick == 30:
            assert add_camera(redis_client, straight.keys, CameraConfig(name="C", source="rtsp://nowhere"))
            feeder.join_one("C")
            monkeypatch.setattr(alone, "_look_at", 0.0)
        feeder.feed()
        alone.step()
    assert outcome(redis_client, site) == outcome(redis_client, straight)


def test_a_standby_starts_over_from_the_next_checkpoint_when_it_cannot_follow(
    redis_client: Client, calm: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    restless(monkeypatch)
    site, seen = site_of(redis_client, "trimmed"), scene()
    feeder, owner, standby = (
        Feeder(redis_client, site, seen),
        Aggregator(redis_client, site),
        Aggregator(redis_client, site),
    )
    for tick in range(1, 121):
        feeder.feed()
        owner.step()
        if tick <= 10 or tick > 110:  # Meanwhile it hangs, and checkpoints trim the cycles.
            standby.step()
        if tick == 115:
            standby.state.association.identities.next_gid += 5  # another processor
            standby.state.differs_since = 115
    assert standby.state.association.to_dict() == owner.state.association.to_dict(), (
        "it started over at the checkpoint of tick 120"
    )
    redis_client.delete(site.keys.lease("aggregator"))
    while feeder.tick < TICKS:
        feeder.feed()
        standby.step()
    assert outcome(redis_client, site) == calm


def test_a_standby_of_an_earlier_version_waits_and_an_owner_ends(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    restless(monkeypatch)
    site = site_of(redis_client, "newer")
    feeder, owner, standby = (
        Feeder(redis_client, site, scene()),
        Aggregator(redis_client, site),
        Aggregator(redis_client, site),
    )
    monkeypatch.setattr("services.aggregator.persistence.SCHEMA", 99)
    feeder.feed(30)
    owner.step()
    monkeypatch.undo()
    with capture_logs() as logs:
        standby.step()
        standby.step()
    assert [line["event"] for line in logs] == ["cannot follow the aggregator"]
    redis_client.delete(site.keys.lease("aggregator"))
    with pytest.raises(UnknownState):
        standby.step()


def test_a_standby_with_other_settings_keeps_the_published_ids(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    restless(monkeypatch)
    site, seen = site_of(redis_client, "odd", checkpoint_seconds=80000), scene()
    feeder, owner = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    standby = Aggregator(redis_client, site_of(redis_client, "odd", checkpoint_seconds=80000, min_track_frames=9))
    for _ in range(100):
        feeder.feed()
        owner.step()
        standby.step()
    names = scan(redis_client, site, "gids:*")
    before = {key: redis_client.hgetall(prefixed(site, key)) for key in names}
    redis_client.delete(site.keys.lease("aggregator"))
    standby.step()
    assert {key: redis_client.hgetall(prefixed(site, key)) for key in names} == before
    assert redis_client.xrevrange(site.keys.events, count=1)[0][1][b"kind"] == b"recovered"
    check_map(redis_client, site, standby)


@pytest.mark.parametrize("moment", ["idle", "committing", "saving"])
def test_an_old_owner_that_wakes_up_is_refused(
    redis_client: Client, calm: dict[str, Any], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    site, seen = site_of(redis_client, "fenced"), scene()
    feeder, old = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    feeder.feed(60)
    old.step()
    if moment == "saving":
        monkeypatch.setattr(old._schedule, "_interval_ticks", 1)
    feeder.feed(20)
    commit, new = Lease.commit, aggregator_of(redis_client, site)

    def interrupted(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
        monkeypatch.setattr(Lease, "commit", commit)
        if moment == "saving":
            commit(lease, commands, touched, **options)
            monkeypatch.setattr(Lease, "commit", interrupted_again)
            return
        redis_client.delete(site.keys.lease("aggregator"))
        new.step()
        commit(lease, commands, touched, **options)

    def interrupted_again(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
        monkeypatch.setattr(Lease, "commit", commit)
        redis_client.delete(site.keys.lease("aggregator"))
        monkeypatch.setattr(new._schedule, "_interval_ticks", 1)
        new.step()
        commit(lease, commands, touched, **options)

    if moment == "idle":
        new.step()
        feeder.feed(1)
    else:
        # It was suspended while it held the lease that the new one holds now.
        redis_client.set(site.keys.lease("aggregator"), old._lease.value)  # type: ignore[union-attr]
        monkeypatch.setattr(Lease, "commit", interrupted)
    with pytest.raises(LeaseLost):
        old.step()
    while feeder.tick < TICKS:
        feeder.feed()
        new.step()
    assert outcome(redis_client, site) == calm
    new = aggregator_of(redis_client, site)
    new.step()
    assert new._checkpoints.load() is not None
    assert outcome(redis_client, site) == calm


def test_an_old_owner_cannot_damage_the_checkpoint_of_the_new_one(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(redis_client, "chunks")
    feeder, old = Feeder(redis_client, site, scene()), Aggregator(redis_client, site)
    feeder.feed(60)
    old.step()
    feeder.feed()
    new = Aggregator(redis_client, site)
    generations = old._checkpoints.generations

    def asleep_before_writing() -> Any:
        kept = generations()
        redis_client.delete(site.keys.lease("aggregator"))
        monkeypatch.setattr(new._schedule, "_interval_ticks", 1)
        feeder.feed(1)  # One checkpoint of the new owner, under the number that the old one is about to use.
        new.step()
        return kept

    monkeypatch.setattr(old._schedule, "_interval_ticks", 1)
    monkeypatch.setattr(old._checkpoints, "generations", asleep_before_writing)
    with pytest.raises(LeaseLost):
        old.step()
    assert generations()
    for generation in generations():
        packed = b"".join(redis_client.mget(new._checkpoints.chunk_names(generation)))
        assert hashlib.sha256(packed).hexdigest() == generation["sha256"]


def test_a_failed_close_after_losing_the_lease_does_not_affect_the_new_owner(redis_client: Client) -> None:
    site, seen = site_of(redis_client, "closing"), scene()
    feeder, old = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    feeder.feed(15)
    old.step()
    new = aggregator_of(redis_client, site)
    feeder.feed(1)
    new.step()
    old.close()
    assert redis_client.get(site.keys.lease("aggregator")).decode() == new._lease.value  # type: ignore[union-attr]


# -- what Redis loses --------------------------------------------------------------------------------------


@pytest.fixture
def own_client(redis_process: RedisProcess) -> Iterator[Client]:
    client = connect(redis_process.url)
    yield client
    client.close()


def step_through(aggregator: Aggregator) -> None:
    """As `shared.service.run` does."""
    for _ in range(5):
        try:
            aggregator.step()
        except (RedisConnectionError, LeaseLost):
            continue
        return
    raise AssertionError("Redis does not come back")


def test_a_restart_of_redis_with_aof_changes_nothing(
    redis_process: RedisProcess, own_client: Client, calm: dict[str, Any]
) -> None:
    seen = scene()
    site = site_of(own_client, "restart")
    feeder, aggregator = Feeder(own_client, site, seen), Aggregator(own_client, site)
    for tick in range(1, TICKS + 1):
        if tick in (40, 90):
            redis_process.restart()
            own_client.connection_pool.disconnect()
        feeder.feed()
        if tick == 65:
            redis_process.restart()
        step_through(aggregator)
    assert outcome(own_client, site) == calm


def test_when_redis_has_lost_everything_what_the_aggregator_knows_is_written_again(
    redis_process: RedisProcess, own_client: Client
) -> None:
    site, seen = site_of(own_client, "lost"), scene()
    feeder, aggregator = Feeder(own_client, site, seen), Aggregator(own_client, site)
    for _ in range(80):
        feeder.feed()
        aggregator.step()
    before = global_ids(own_client, site)
    redis_process.kill()
    for path in redis_process.server.folder.iterdir():
        if path.name.startswith("appendonly"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    redis_process.start()
    own_client.connection_pool.disconnect()
    site_of(own_client, "lost")
    feeder.join()
    for _ in range(3):
        feeder.feed()
        step_through(aggregator)
    after = global_ids(own_client, site)
    check_same_gids(before, after)
    while feeder.tick < TICKS:
        feeder.feed()
        step_through(aggregator)
    events = [fields for _, fields in own_client.xrange(site.keys.events)]
    assert {fields[b"kind"] for fields in events} >= {b"restored", b"appeared", b"handover"}
    check_map(own_client, site, aggregator)


def test_when_redis_has_lost_its_last_writes_the_state_is_reloaded(
    redis_process: RedisProcess, own_client: Client
) -> None:
    site, seen = site_of(own_client, "rollback"), scene()
    feeder, aggregator = Feeder(own_client, site, seen), Aggregator(own_client, site)
    for _ in range(70):
        feeder.feed()
        aggregator.step()
    folder = redis_process.server.folder
    logs = [path for path in folder.iterdir() if path.name.startswith("appendonly")]
    shutil.copytree(folder, folder.parent / "earlier")
    for _ in range(20):
        feeder.feed()
        aggregator.step()
    redis_process.kill()
    for path in logs:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        earlier = folder.parent / "earlier" / path.name
        shutil.copytree(earlier, path) if earlier.is_dir() else shutil.copy(earlier, path)
    redis_process.start()
    # redis-py reconnects silently.
    own_client.connection_pool.disconnect()
    while feeder.tick < TICKS:
        feeder.feed()
        step_through(aggregator)
    check_map(own_client, site, aggregator)
    kinds = [fields[b"kind"] for _, fields in own_client.xrange(site.keys.events)]
    assert b"gap" not in kinds
    numbers = [int(entry_id.split(b"-")[0]) for entry_id, _ in own_client.xrange(site.keys.events)]
    assert numbers == list(range(1, len(numbers) + 1))


# -- entries that are wrong, missing or late ---------------------------------------------------------------


def test_a_malformed_entry_becomes_one_dead_letter_and_the_rest_is_unaffected(
    redis_client: Client, calm: dict[str, Any]
) -> None:
    seen = scene()
    site = site_of(redis_client, "malformed")
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    for tick in range(1, TICKS + 1):
        feeder.feed()
        if tick == 50:
            redis_client.xadd(site.keys.tracks("B"), {"schema": 1, "nonsense": "x"})
            number = redis_client.hincrby(site.keys.camera("C"), "seq", 1)
            redis_client.xadd(site.keys.tracks("C"), {"schema": 99, "seq": number})
            aggregator = aggregator_of(redis_client, site)
        if tick not in (50, 51, 52):
            aggregator.step()
    aggregator = aggregator_of(redis_client, site)
    aggregator.step()
    found = outcome(redis_client, site)
    letters = found.pop("dead")
    assert [b"seq" in letters[0][b"reason"], b"schema 99" in letters[1][b"reason"], len(letters)] == [True, True, 2]
    assert found == {key: value for key, value in calm.items() if key != "dead"}


def test_an_entry_of_another_camera_is_a_dead_letter(redis_client: Client) -> None:
    site, seen = site_of(redis_client, "foreign"), scene()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    feeder.feed(10)
    _, fields = redis_client.xrange(site.keys.tracks("A"), count=1)[0]
    redis_client.xadd(site.keys.tracks("B"), fields)
    aggregator.step()
    assert [fields[b"stream"].decode() for _, fields in redis_client.xrange(site.keys.dead_letters)] == [
        site.keys.tracks("B")
    ]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_gap_between_two_reads_is_noticed(redis_client: Client, restarted: bool) -> None:
    site = site_of(redis_client, "gap")
    feeder, aggregator = Feeder(redis_client, site, scene()), Aggregator(redis_client, site)
    feeder.feed(25)
    aggregator.step()
    feeder.feed(2)
    missing, _ = redis_client.xrange(site.keys.tracks("B"))[25]
    redis_client.xdel(site.keys.tracks("B"), missing)
    if restarted:
        aggregator = aggregator_of(redis_client, site)
    aggregator.step()
    gaps = [fields for _, fields in redis_client.xrange(site.keys.events) if fields[b"kind"] == b"gap"]
    assert [(gap[b"after_seq"], gap[b"next_seq"]) for gap in gaps] == [(b"25", b"27")]


def test_a_gap_in_the_numbers_becomes_one_event_even_if_the_aggregator_dies_meanwhile(redis_client: Client) -> None:
    site, seen = site_of(redis_client, "gap", checkpoint_seconds=80000), scene()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    feeder.feed(20)
    aggregator.step()
    feeder.feed(10)
    for entry_id, _ in redis_client.xrange(site.keys.tracks("B"))[22:25]:
        redis_client.xdel(site.keys.tracks("B"), entry_id)
    aggregator.step()
    for _ in range(3):
        aggregator = aggregator_of(redis_client, site)
        feeder.feed(1)
        aggregator.step()
    gaps = [fields for _, fields in redis_client.xrange(site.keys.events) if fields[b"kind"] == b"gap"]
    assert [(gap[b"camera"], gap[b"after_seq"], gap[b"next_seq"], gap[b"tick"]) for gap in gaps] == [
        (b"B", b"22", b"26", b"26")
    ]


def test_late_entries_are_counted_and_used_in_the_next_cycle(redis_client: Client) -> None:
    site = site_of(redis_client, "late", max_late_ticks=5, min_track_frames=1)
    seen = entries([Stay(1, 0, 1, 60), Stay(2, 1, 1, 60)])
    monitor = Monitor()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site, monitor)
    feeder.feed(30)
    late = redis_client.xrange(site.keys.tracks("B"))[9:]
    for entry_id, _ in late:
        redis_client.xdel(site.keys.tracks("B"), entry_id)
    aggregator.step()
    for _, fields in late:
        redis_client.xadd(site.keys.tracks("B"), fields)
    feeder.feed(1)
    aggregator.step()
    too_late = len([1 for _, fields in late if 31 - int(fields[b"tick"]) > 5])
    assert int(redis_client.hget(site.keys.skew, "late")) == too_late
    assert monitor.registry.get_sample_value("mtmc_aggregator_late_entries_total") == too_late
    rows = aggregator.state.association.table.rows
    assert rows["embedded"][rows["used"]].tolist() == [31, 31]


# -- keys that another program has overwritten -------------------------------------------------------------


@pytest.mark.parametrize("other", [{"linkage": "average", "min_similarity": 0.9}, {"min_track_frames": 9}])
def test_published_ids_win_where_other_settings_decide_differently_in_a_recovery(
    redis_client: Client, other: dict[str, Any]
) -> None:
    site, seen = site_of(redis_client, "differs", checkpoint_seconds=80000), scene()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    for _ in range(100):
        feeder.feed()
        aggregator.step()
    names = scan(redis_client, site, "gids:*")
    before = {key: redis_client.hgetall(prefixed(site, key)) for key in names}
    changes, events = redis_client.xlen(site.keys.assignments), redis_client.xlen(site.keys.events)
    site = site_of(redis_client, "differs", checkpoint_seconds=80000, **other)
    aggregator = aggregator_of(redis_client, site)
    aggregator.step()
    assert {key: redis_client.hgetall(prefixed(site, key)) for key in names} == before
    assert redis_client.xlen(site.keys.assignments) == changes
    check_map(redis_client, site, aggregator)
    (_, event), *rest = redis_client.xrevrange(site.keys.events)
    assert (len(rest), event[b"kind"], int(event[b"tick"])) == (events, b"recovered", 100)
    assert int(event[b"tracks"]) > 0
    while feeder.tick < TICKS:
        feeder.feed()
        aggregator.step()
    check_map(redis_client, site, aggregator)
    numbers = [int(entry_id.split(b"-")[0]) for entry_id, _ in redis_client.xrange(site.keys.events)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert aggregator.state.association.identities.next_gid > max(
        int(fields[b"gid"]) for _, fields in redis_client.xrange(site.keys.assignments)
    )


def test_a_recovery_writes_what_is_missing_and_repairs_what_another_program_has_written(
    redis_client: Client, calm: dict[str, Any]
) -> None:
    site, seen = site_of(redis_client, "repaired"), scene()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    for _ in range(100):
        feeder.feed()
        aggregator.step()
    before = outcome(redis_client, site)
    (one, gid), *_ = redis_client.hgetall(site.keys.gids("A")).items()
    redis_client.hdel(site.keys.gids("A"), one)
    redis_client.hset(site.keys.gids("B"), mapping={"none": 5, "\xff": "\xff", "77": "x", one: int(gid) + 1})
    redis_client.delete(site.keys.gids("C"))
    redis_client.set(site.keys.gids("D"), "garbage")
    redis_client.set(site.keys.aliases, "garbage")
    redis_client.xadd(site.keys.cycles, {"nonsense": 1}, id="100-3")
    redis_client.xadd(site.keys.cycles, {"tick": "x", "cursor": "\xff"}, id=f"{10**12}-0")
    redis_client.xadd(site.keys.events, {"kind": "x"}, id=f"{2**63}-0")
    aggregator = aggregator_of(redis_client, site)
    aggregator.step()
    found = outcome(redis_client, site)
    assert len({fields[b"reason"] for fields in found["dead"]}) == len(found["dead"]) == 4
    assert {key: value for key, value in found.items() if key not in ("assignments", "dead")} == {
        key: value for key, value in before.items() if key not in ("assignments", "dead")
    }
    while feeder.tick < TICKS:
        feeder.feed()
        aggregator.step()
    found = outcome(redis_client, site)
    assert {key: value for key, value in found.items() if key not in ("assignments", "dead")} == {
        key: value for key, value in calm.items() if key not in ("assignments", "dead")
    }


def test_a_cycles_stream_of_the_wrong_type_ends_no_identity(redis_client: Client) -> None:
    site, seen = site_of(redis_client, "cycles", mode="live"), scene()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    for _ in range(100):
        feeder.feed()
        aggregator.step()
    before = {camera: redis_client.hgetall(site.keys.gids(camera)) for camera in CAMERAS}
    redis_client.set(site.keys.cycles, "garbage")
    aggregator = aggregator_of(redis_client, site)
    aggregator.step()
    feeder.feed()
    aggregator.step()
    kept = {camera: redis_client.hgetall(site.keys.gids(camera)) for camera in CAMERAS}
    for camera in CAMERAS:
        assert {track: kept[camera].get(track) for track in before[camera]} == before[camera]


def ticks_of_assignments(found: dict[str, Any]) -> list[int]:
    return [int(fields[b"tick"]) for fields in found["assignments"]]


@pytest.mark.parametrize(
    "key",
    ["gids:{camera}", "identity:{}", "aliases", "sightings:{}", "assignments", "events", "dead_letters", "clock:skew"],
)
def test_a_key_of_the_wrong_type_is_named_and_written_again_and_nothing_else_is_lost(
    redis_client: Client, calm: dict[str, Any], key: str
) -> None:
    site, seen = site_of(redis_client, "overwritten"), scene()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    last = next(fields for fields in reversed(calm["assignments"]) if fields[b"gid"] != b"0")
    at, gid = int(last[b"tick"]), int(last[b"gid"])
    key, last_sightings = key.format(gid, camera=last[b"camera"].decode()), f"sightings:{gid}"
    if key == "aliases":
        at = max(int(fields[b"tick"]) for _, fields in calm["events"] if fields[b"kind"] == b"merged")
    for tick in range(1, TICKS + 1):
        feeder.feed()
        if tick == at:
            if key == "dead_letters":
                redis_client.xadd(site.keys.tracks("B"), {"nonsense": "x"})
            if key == "clock:skew":
                redis_client.hset(site.keys.skew, "late", "many")
                late = redis_client.xrange(site.keys.tracks("D"))[-1]
                redis_client.xadd(site.keys.tracks("D"), late[1] | {b"tick": b"1", b"seq": b"61"})
                redis_client.hset(site.keys.camera("D"), "seq", 61)
            else:
                redis_client.set(prefixed(site, key), "garbage")
        aggregator.step()
    found = outcome(redis_client, site)
    check_map(redis_client, site, aggregator)
    letters = redis_client.xrange(site.keys.dead_letters)
    (letter,) = [fields for _, fields in letters if fields[b"stream"].decode() == prefixed(site, key)]
    assert letter[b"entry"] == b""
    assert key == "clock:skew" or b"is of type string: it was deleted" in letter[b"reason"]
    assert len(letters) == (2 if key == "dead_letters" else 1)
    if key == "clock:skew":
        assert redis_client.hget(site.keys.skew, "late") == b"1"
        return
    history = {key, "dead"} & {last_sightings, "assignments", "events", "dead"}
    assert {name: value for name, value in found.items() if name not in history} == {
        name: value for name, value in calm.items() if name not in history
    }
    if key == "events":
        assert found["events"] == calm["events"][-len(found["events"]) :]


@pytest.mark.parametrize("foreign", ["1000-7", f"{2**64 - 1}-{2**64 - 1}"])
def test_events_continue_after_the_last_id_in_redis_unless_nobody_can(
    redis_client: Client, calm: dict[str, Any], foreign: str
) -> None:
    site, seen = site_of(redis_client, "foreign"), scene()
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    at = next(tick for tick in ticks_of_assignments(calm) if tick >= 60)
    for tick in range(1, TICKS + 1):
        feeder.feed()
        if tick == at:
            before = redis_client.xlen(site.keys.events)
            redis_client.xadd(site.keys.events, {"kind": "x"}, id=foreign)
            redis_client.xadd(site.keys.assignments, {"a": 1}, id=f"{2**64 - 1}-{2**64 - 1}")
        aggregator.step()
    numbers = [int(entry_id.split(b"-")[0]) for entry_id, _ in redis_client.xrange(site.keys.events)]
    after = list(range(1001, 1001 + len(calm["events"]) - before)) if foreign == "1000-7" else []
    assert numbers == [*range(1, before + 1), 1000, *after] if after else [*range(1, len(calm["events"]) + 1)]
    assert outcome(redis_client, site)["assignments"] == calm["assignments"]
    assert aggregator_of(redis_client, site).step() is None
    assert redis_client.xlen(site.keys.events) == len(numbers), "a recovery adds no event"


# -- the site changes ----------------------------------------------------------------------------------------


def test_removing_a_camera_removes_its_map_and_keeps_all_identities(redis_client: Client) -> None:
    site = site_of(redis_client, "fewer")
    seen = entries([Stay(1, 0, 1, 200), Stay(1, 1, 1, 200), Stay(2, 1, 1, 200), Stay(3, 3, 1, 200)])
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    feeder.feed(50)
    aggregator.step()
    before = redis_client.hgetall(site.keys.gids("A")), redis_client.hgetall(site.keys.gids("D"))
    only_in_b = int(redis_client.hget(site.keys.gids("B"), 3))
    assert redis_client.exists(site.keys.identity(only_in_b))
    aggregator.close()
    redis_client.zrem(site.keys.seen, "B")
    fewer = site_of(redis_client, "fewer", ("A", "C", "D"))
    del feeder.leases["B"]
    aggregator = aggregator_of(redis_client, fewer)
    for _ in range(60):
        feeder.feed()
        aggregator.step()
    assert (redis_client.hgetall(site.keys.gids("A")), redis_client.hgetall(site.keys.gids("D"))) == before
    assert not redis_client.exists(site.keys.gids("B"))
    assert redis_client.hget(site.keys.identity(only_in_b), "present") == b"0"
    taken_out = [f for _, f in redis_client.xrange(site.keys.assignments) if f[b"gid"] == b"0"]
    assert {(f[b"camera"], f[b"track_id"]) for f in taken_out} == {(b"B", b"2"), (b"B", b"3")}


def test_adding_a_camera_does_not_affect_the_others(redis_client: Client) -> None:
    site = site_of(redis_client, "more", ("A", "B", "D"))
    seen = entries([Stay(1, 0, 1, 200), Stay(1, 3, 1, 200), Stay(1, 2, 60, 200)])
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    feeder.feed(50)
    aggregator.step()
    before = redis_client.hgetall(site.keys.gids("A")), redis_client.hgetall(site.keys.gids("D"))
    more = site_of(redis_client, "more")
    feeder.site = more
    feeder.join()
    aggregator = aggregator_of(redis_client, more)
    for _ in range(40):
        feeder.feed()
        aggregator.step()
    assert (redis_client.hgetall(site.keys.gids("A")), redis_client.hgetall(site.keys.gids("D"))) == before
    assert list(redis_client.hgetall(site.keys.gids("C")).values()) == list(before[0].values())


def changing_site(client: Client, name: str, seed: int | None) -> dict[str, Any]:
    """The outcome of `scene()` when C is added, D removed and added again; with a `seed` the aggregator dies often."""
    site = site_of(client, name, ("A", "B", "D"), replay_seconds=86400)
    feeder, storm = Feeder(client, site, scene()), Storm(client, site, 0)
    deaths = [storm.die_idle, storm.close_in_good_order, storm.die_before_committing, storm.die_after_committing]
    rng = random.Random(seed)
    while feeder.tick < TICKS:
        for camera in {30: "C", 110: "D"}.get(feeder.tick, ""):
            assert add_camera(client, site.keys, CameraConfig(name=camera, source="rtsp://nowhere"))
            feeder.join_one(camera)
        if feeder.tick == 70:
            assert remove_cameras(client, site.keys, ["D"], 86400) == []
            del feeder.leases["D"]
        feeder.feed()
        if seed is not None and (rng.random() < 0.2 or feeder.tick in (31, 71, 111)):
            with pytest.MonkeyPatch.context() as patch:
                rng.choice([*deaths, storm.die_while_saving])(patch)
        storm.aggregator.step()
    return outcome(client, site)


def test_adding_and_removing_cameras_has_the_same_outcome_however_often_the_aggregator_dies(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.aggregator.service._LOOK_AROUND_S", 0.0)
    let_keys_live(monkeypatch)
    straight = changing_site(redis_client, "straight", None)
    assert {fields[b"camera"] for fields in straight["assignments"]} == {b"A", b"B", b"C", b"D"}
    assert b"gap" not in {fields[b"kind"] for _, fields in straight["events"]}
    assert changing_site(redis_client, "stormy", 1) == straight


def test_an_object_of_a_removed_camera_gets_its_gid_back_in_another_and_in_the_one_that_returns(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.aggregator.service._LOOK_AROUND_S", 0.0)
    site = site_of(redis_client, "returning", ("A", "B"), mode="live", retention_seconds=30)
    seen = entries(
        [Stay(1, 0, 1, 200), Stay(2, 3, 1, 20), Stay(2, 1, 80, 120), Stay(3, 3, 1, 20), Stay(3, 3, 110, 150)]
    )
    feeder, aggregator = Feeder(redis_client, site, seen), Aggregator(redis_client, site)
    added = CameraConfig(name="D", source="rtsp://nowhere")
    gids: dict[str, dict[bytes, bytes]] = {}
    for tick in range(1, 151):
        if tick in (1, 100):
            assert add_camera(redis_client, site.keys, added)
            assert not add_camera(redis_client, site.keys, added)
            feeder.join_one("D")
        if tick == 21:
            gids["first"] = redis_client.hgetall(site.keys.gids("D"))
            assert remove_cameras(redis_client, site.keys, ["D"], 60) == []
            del feeder.leases["D"]
        if tick == 99:
            assert not redis_client.exists(site.keys.gids("D")), "its tracks have ended"
            redis_client.delete(site.keys.tracks("D"), site.keys.camera("D"))  # as if they had expired
        feeder.feed()
        aggregator.step()
    gids["last"] = redis_client.hgetall(site.keys.gids("D"))
    in_d = sorted(gids["first"].values())
    assert len(in_d) == 2
    assert set(gids["last"].values()) < set(in_d)
    assert set(redis_client.hgetall(site.keys.gids("B")).values()) <= set(in_d)
    assert b"gap" not in {fields[b"kind"] for _, fields in redis_client.xrange(site.keys.events)}


# -- bounds --------------------------------------------------------------------------------------------------


def test_entries_of_the_map_and_records_expire_on_time(redis_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    let_keys_live(monkeypatch)
    site = site_of(redis_client, "records", linger_seconds=1, retention_seconds=4)
    feeder = Feeder(redis_client, site, entries([Stay(1, 0, 1, 20, hidden=10)]))
    aggregator = Aggregator(redis_client, site)
    held, record, expiry = [], [], set()
    for tick in range(1, 91):
        feeder.feed()
        aggregator.step()
        held += [tick] if redis_client.exists(site.keys.gids("A")) else []
        record += [tick] if redis_client.exists(site.keys.identity(1)) else []
        expiry |= {(tick >= 30, redis_client.ttl(site.keys.identity(1)) >= 0)} if tick in record else set()
    assert (held[0], held[-1]) == (3, 30 + 10)
    assert (record[0], record[-1]) == (3, 69)
    assert expiry == {(False, False), (True, True)}


def test_memory_of_redis_is_flat_over_a_long_run(redis_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASSIGNMENTS_KEPT", "EVENTS_KEPT"):
        monkeypatch.setattr(publication, name, 40)
    site = site_of(redis_client, "long", retention_seconds=4, checkpoint_seconds=1)
    period, rounds = 60, 14
    stays = [
        Stay(10 * (r % 3) + who, camera, r * period + 1 + 10 * who, r * period + 40 + 5 * who)
        for r in range(rounds)
        for who in range(3)
        for camera in (who, who + 1)
    ]
    feeder, aggregator = Feeder(redis_client, site, entries(stays)), Aggregator(redis_client, site)
    sizes: list[dict[str, int]] = []
    for _ in range(rounds):
        for _ in range(period // 5):
            feeder.feed(5)
            aggregator.step()
        prefix = site.keys.config.removesuffix("config")
        names = [key for key in scan(redis_client, site, "*") if not key.startswith("tracks:")]
        kinds: dict[str, int] = {}
        for key in names:
            used = int(redis_client.memory_usage(prefix + key, samples=0) or 0)
            kinds[key.split(":")[0]] = kinds.get(key.split(":")[0], 0) + used
        sizes.append({**kinds, "keys": len(names), "rows": len(aggregator.state.association.table)})
    middle, late = sizes[5:9], sizes[-4:]
    for capped in ("assignments", "events"):
        # Whole nodes of a stream are dropped, of a hundred entries each.
        assert redis_client.xlen(prefixed(site, capped)) <= 40 + 100
    for kind in sorted({kind for size in late for kind in size} - {"assignments", "events"}):
        before = max(size.get(kind, 0) for size in middle)
        after = max(size.get(kind, 0) for size in late)
        assert after <= before * 1.15 + 64, f"{kind} grew from {before} to {after}"


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """Sightings and identities without what a step of the clock, or a loss of history, may change."""
    gone = (b"time_ns", b"first_ns", b"last_ns", b"first_seen_ns", b"last_seen_ns")
    stripped: dict[str, Any] = {"assignments": found["assignments"], "aliases": found["aliases"]}
    stripped["events"] = [{k: v for k, v in fields.items() if k not in gone} for _, fields in found["events"]]
    for key in found:
        if key.startswith(("gids:", "identity:")):
            stripped[key] = {k: v for k, v in found[key].items() if k not in gone}
    return stripped


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize("step_s", [3600, -10])
def test_nothing_ages_and_nothing_is_lost_when_redis_clock_is_set(
    redis_client: Client, calm: dict[str, Any], step_s: int
) -> None:
    site = site_of(redis_client, "stepped")
    feeder, aggregator = Feeder(redis_client, site, scene()), aggregator_of(redis_client, site)
    while feeder.tick < TICKS:
        if feeder.tick == TICKS // 2:
            feeder.shift_ns = step_s * 10**9
            if step_s > 0:  # What has an expiry is gone.
                for key in redis_client.scan_iter("*"):
                    if redis_client.ttl(key) >= 0 and b":lease:" not in key:
                        redis_client.delete(key)
        feeder.feed()
        aggregator.step()
    aggregator.close()
    assert without_times(outcome(redis_client, site)) == without_times(calm)


def test_an_empty_redis_gets_everything_again_and_no_gid_changes(redis_client: Client) -> None:
    site = site_of(redis_client, "emptied")
    feeder, aggregator = after_half_of_the_scene(redis_client, site)
    before, known = global_ids(redis_client, site), scan(redis_client, site, "identity:*")
    redis_client.flushall()
    publish_site(redis_client, site.config)
    feeder.join()
    feeder.feed()
    aggregator.step()
    aggregator.step()
    after = global_ids(redis_client, site)
    check_same_gids(before, after)
    assert set(scan(redis_client, site, "identity:*")) >= set(known)
    kinds = [fields[b"kind"] for _, fields in redis_client.xrange(site.keys.events)]
    assert kinds[0] == b"restored"
    assert b"gap" not in kinds
    # The written state is whole: another aggregator goes on from it.
    aggregator.close()
    another = aggregator_of(redis_client, site)
    another.step()
    assert global_ids(redis_client, site) == after


def test_a_reply_that_is_lost_while_everything_is_written_again_loses_nothing(
    redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(redis_client, "unlucky")
    feeder, aggregator = after_half_of_the_scene(redis_client, site)
    before = global_ids(redis_client, site)
    redis_client.flushall()
    publish_site(redis_client, site.config)
    feeder.join()
    commit, lost = Lease.commit, list[int]()

    def losing(lease: Lease, commands: Any, touched: Any, **options: Any) -> None:
        commit(lease, commands, touched, **options)
        if site.keys.restored in touched and not lost:
            lost.append(1)
            raise RedisConnectionError("the reply is lost")

    monkeypatch.setattr(Lease, "commit", losing)
    for _ in range(4):
        feeder.feed()
        step_through(aggregator)
    assert lost
    after = global_ids(redis_client, site)
    check_same_gids(before, after)


def test_a_key_that_is_damaged_before_everything_is_written_again_is_repaired(redis_client: Client) -> None:
    site = site_of(redis_client, "damaged")
    feeder, aggregator = after_half_of_the_scene(redis_client, site)
    before = global_ids(redis_client, site)
    gid = int(next(iter(before.values())))
    redis_client.flushall()
    publish_site(redis_client, site.config)
    redis_client.set(site.keys.identity(gid), "garbage")
    redis_client.set(site.keys.restored, "garbage")
    redis_client.set(site.keys.events, "garbage")
    feeder.join()
    for _ in range(4):
        feeder.feed()
        step_through(aggregator)
    assert redis_client.hget(site.keys.identity(gid), "gid") == str(gid).encode()
    after = global_ids(redis_client, site)
    check_same_gids(before, after)
    letters = [fields[b"reason"].decode() for _, fields in redis_client.xrange(site.keys.dead_letters)]
    for key in (site.keys.identity(gid), site.keys.restored, site.keys.events):
        assert any(reason.startswith(f"{key} is of type string: it was deleted") for reason in letters), key
    kinds = [fields[b"kind"] for _, fields in redis_client.xrange(site.keys.events)]
    assert b"restored" in kinds


def test_a_second_spelling_of_a_track_id_is_removed_once(redis_client: Client) -> None:
    site = site_of(redis_client, "spelling")
    feeder, aggregator = Feeder(redis_client, site, scene()), aggregator_of(redis_client, site)
    feeder.feed(40)
    aggregator.step()
    track = next(iter(redis_client.hgetall(site.keys.gids("A")) or {b"7": b"1"}))
    redis_client.hset(site.keys.gids("A"), b"00" + track, 5)
    aggregator._look_at_output = 0.0
    aggregator.step()
    assert not redis_client.hexists(site.keys.gids("A"), b"00" + track)
    changes = redis_client.xlen(site.keys.assignments)
    aggregator._look_at_output = 0.0
    aggregator.step()
    assert redis_client.xlen(site.keys.assignments) == changes


def after_half_of_the_scene(client: Client, site: PublishedSite) -> tuple[Feeder, Aggregator]:
    feeder, aggregator = Feeder(client, site, scene()), aggregator_of(client, site)
    for _ in range(TICKS // 2):
        feeder.feed()
        aggregator.step()
    return feeder, aggregator


def check_same_gids(before: dict[tuple[str, bytes], bytes], after: dict[tuple[str, bytes], bytes]) -> None:
    """Tracks of both times have one gid."""
    kept = before.keys() & after.keys()
    assert kept
    assert {track: after[track] for track in kept} == {track: before[track] for track in kept}


def global_ids(client: Client, site: PublishedSite) -> dict[tuple[str, bytes], bytes]:
    """(camera, track id) → gid."""
    maps = {camera: client.hgetall(site.keys.gids(camera)) for camera in CAMERAS}
    return {(camera, track): gid for camera, gids in maps.items() for track, gid in gids.items()}


def test_if_everything_but_a_worker_is_lost_gids_continue_above_the_highest_that_it_knows(redis_client: Client) -> None:
    site = site_of(redis_client, "survivor")
    redis_client.zadd(site.keys.workers, {"w1": 1, b"\xff": 2})
    redis_client.hset(site.keys.worker("w1"), "highest_gid", 41)
    redis_client.set(site.keys.worker("w2"), "of another type")
    after_half_of_the_scene(redis_client, site)
    gids = [int(gid) for camera in CAMERAS for gid in redis_client.hvals(site.keys.gids(camera))]
    assert gids
    assert min(gids) >= 42
