from __future__ import annotations

import itertools

import pytest
from structlog.testing import capture_logs

from shared.config import ClockConfig
from shared.errors import LeaseLost
from shared.gate import NEWER, CompletedCamera, Gate, Progress
from shared.keys import Keys
from shared.leases import Lease, Leases
from shared.messages import TrackBatch, TrackEntry
from shared.redis_connection import Client, server_time_ns

KEYS = Keys("yard")
FPS = 0.001
"""A tick lasts 1000 s, so that the tests decide when the clock ticks."""
EMPTY = TrackBatch().encode()


class Yard:
    """A site whose clock is set by the test."""

    def __init__(self, client: Client, max_skew_ticks: int = 1) -> None:
        self.client = client
        self.gate = Gate(client, KEYS, ClockConfig(target_fps=FPS, max_skew_ticks=max_skew_ticks, stall_seconds=500))
        self.leases = Leases(client, KEYS)
        clock = self.leases.acquire("clock", 3600)
        assert clock is not None
        self.clock = clock
        client.hset(KEYS.cameras, mapping=dict.fromkeys(("north", "south", "east"), "{}"))

    def tick(self, tick: int) -> None:
        origin_us = server_time_ns(self.client) // 1000 - round((tick + 0.5) / FPS * 1e6)
        assert self.gate.advance(self.clock, origin_us).tick == tick

    def camera(self, name: str) -> Lease:
        lease = self.leases.acquire(f"camera:{name}", 30)
        assert lease is not None
        self.gate.join(name, lease)
        return lease

    def complete(self, tick: int, *cameras: Lease, cursor: str = "0-0", longest: int = 100) -> Progress:
        completed = [
            CompletedCamera(lease.role.removeprefix("camera:"), lease, 1000 + tick, 0, EMPTY, longest)
            for lease in cameras
        ]
        return self.gate.complete_tick(tick, completed, cursor)

    def entries(self, name: str) -> list[TrackEntry]:
        return [TrackEntry.decode(fields) for _, fields in self.client.xrange(KEYS.tracks(name))]

    def assign(self, camera: str, track_id: int, gid: int) -> None:
        self.client.xadd(KEYS.assignments, {"tick": 1, "camera": camera, "track_id": track_id, "gid": gid})


@pytest.fixture
def yard(redis_client: Client) -> Yard:
    return Yard(redis_client)


def test_an_entry_is_read_back_as_it_was_written(yard: Yard) -> None:
    north = yard.camera("north")
    yard.tick(1)
    yard.complete(1, north)
    entry = yard.entries("north")[0]
    assert (entry.seq, entry.camera, entry.tick, entry.time_ns) == (1, "north", 1, 1001)


def test_a_repeated_tick_is_written_once(yard: Yard) -> None:
    north = yard.camera("north")
    yard.tick(1)
    first = yard.complete(1, north)
    assert yard.complete(1, north) == first
    assert [entry.tick for entry in yard.entries("north")] == [1]


def test_a_mark_repeated_after_a_pause_lets_the_camera_continue_at_the_current_tick(yard: Yard) -> None:
    """The reply was lost and the clock ticked on: the gate must not wait for ticks that the camera skips."""
    north = yard.camera("north")
    yard.tick(1)
    yard.complete(1, north)
    yard.tick(9)
    progress = yard.complete(1, north)
    assert (progress.tick, progress.gate, progress.skipped) == (9, 9, 7)
    assert yard.complete(9, north).gate == 10


def test_a_new_owner_does_not_handle_a_tick_that_the_old_one_has_written(yard: Yard) -> None:
    old = yard.camera("north")
    yard.tick(4)
    yard.complete(4, old)
    old.release()
    new = yard.leases.acquire("camera:north", 30)
    assert new is not None
    assert yard.gate.join("north", new) == (4, 5, 4)


def test_seq_has_no_gaps_over_takeovers_releases_and_repeats(yard: Yard) -> None:
    tick = itertools.count(1)
    for owner in range(4):
        lease = yard.camera("north")
        for _ in range(3):
            number = next(tick)
            yard.tick(number)
            yard.complete(number, lease)
            yard.complete(number, lease)
        if owner % 2:
            yard.gate.retire("north", lease, "released")
        lease.release()
        with pytest.raises(LeaseLost):
            yard.gate.join("north", lease)
        assert yard.complete(next(tick), lease).lost == {"north"}
    assert [entry.seq for entry in yard.entries("north")] == list(range(1, 13))


def test_a_lost_lease_is_refused_while_the_other_cameras_of_the_call_are_accepted(yard: Yard) -> None:
    north, south, east = (yard.camera(name) for name in ("north", "south", "east"))
    yard.tick(1)
    yard.client.set(south.key, "9:somebody-else", px=60_000)
    progress = yard.complete(1, north, south, east)
    assert progress.lost == {"south"}
    assert [len(yard.entries(name)) for name in ("north", "south", "east")] == [1, 0, 1]
    assert yard.client.zscore(KEYS.seen, "south") == 0
    assert progress.gate == 1, "the refused camera's mark does not count"


def test_a_handled_tick_renews_the_lease_but_not_that_of_another_owner(yard: Yard) -> None:
    north, south = yard.camera("north"), yard.camera("south")
    yard.tick(1)
    yard.client.set(south.key, "9:somebody-else", px=5000)
    yard.client.pexpire(north.key, 5000)
    yard.complete(1, north, south)
    assert yard.client.pttl(north.key) > 20_000
    assert yard.client.pttl(south.key) <= 5000
    assert not north.due()


def test_an_expired_lease_is_taken_back_if_no_one_owned_the_camera_since(
    yard: Yard,
) -> None:
    north, south = yard.camera("north"), yard.camera("south")
    yard.tick(1)
    yard.client.delete(north.key, south.key)
    new = yard.leases.acquire("camera:south", 30)
    assert new is not None
    progress = yard.complete(1, north, south)
    assert progress.lost == {"south"}
    assert yard.client.get(north.key).decode() == north.value
    assert [len(yard.entries(name)) for name in ("north", "south")] == [1, 0]
    assert yard.leases.acquire("camera:north", 30) is None


def test_changes_of_the_global_id_map_come_once_and_in_order(yard: Yard) -> None:
    north = yard.camera("north")
    yard.assign("north", 1, 10)
    yard.assign("north", 2, 20)
    yard.assign("north", 1, 11)
    first = yard.complete(1, north)
    assert first.gids == (("north", 1, 10), ("north", 2, 20), ("north", 1, 11))
    assert yard.complete(2, north, cursor=first.assignments_cursor).gids == ()
    yard.assign("north", 2, 0)
    assert yard.complete(3, north, cursor=first.assignments_cursor).gids == (("north", 2, 0),)


MALFORMED: dict[str, dict[str, str | int | bytes]] = {
    "text": {"tick": 1, "camera": "north", "track_id": 1, "gid": "seven"},
    "empty": {"tick": 1, "camera": "north", "track_id": "", "gid": 7},
    "negative": {"tick": 1, "camera": "north", "track_id": 1, "gid": -7},
    "huge": {"tick": 1, "camera": "north", "track_id": 1, "gid": "9" * 400},
    "binary": {"tick": 1, "camera": "north", "track_id": 1, "gid": b"\xff"},
    "no gid": {"tick": 1, "camera": "north", "track_id": 1},
    "no track": {"tick": 1, "camera": "north"},
    "no camera": {"tick": 1},
}


@pytest.mark.parametrize("entry", MALFORMED)
def test_a_change_that_is_not_a_number_is_skipped_counted_and_logged_once(yard: Yard, entry: str) -> None:
    north = yard.camera("north")
    with capture_logs() as logs:
        for track in (1, 2):
            yard.assign("north", track, 10)
            yard.client.xadd(KEYS.assignments, MALFORMED[entry])
        yard.assign("north", 3, 10)
        progress = yard.complete(1, north)
    assert progress.gids == (("north", 1, 10), ("north", 2, 10), ("north", 3, 10))
    assert yard.gate.malformed_gids == 2
    assert [line["log_level"] for line in logs] == ["warning"]


def test_an_entry_of_the_map_that_is_not_a_number_is_skipped_counted_and_logged_once(yard: Yard) -> None:
    lines = {"1": "10", "2": "seven", "three": "30", "4": "-1", "5": "50", "6": "9" * 400}
    yard.client.hset(KEYS.gids("north"), mapping=lines)
    with capture_logs() as logs:
        assert yard.gate.gids("north") == {1: 10, 5: 50}
    assert yard.gate.gids("south") == {}
    assert yard.gate.malformed_gids == 4
    assert [line["log_level"] for line in logs] == ["warning"]
    assert logs[0]["camera"] == "north"


def test_no_change_is_missed_by_a_call_for_only_some_of_the_own_cameras(yard: Yard) -> None:
    north = yard.camera("north")
    yard.camera("south")
    yard.assign("south", 5, 50)
    assert ("south", 5, 50) in yard.complete(1, north).gids


def test_a_call_without_cameras_leaves_the_changes_for_the_next(yard: Yard) -> None:
    north = yard.camera("north")
    yard.assign("north", 1, 10)
    start = yard.complete(0, cursor=NEWER)
    assert start.gids == ()
    assert yard.complete(1, north, cursor=start.assignments_cursor).gids == (), "it begins with what is newest"
    yard.assign("north", 2, 20)
    asked = yard.complete(0, cursor=start.assignments_cursor)
    assert yard.complete(2, north, cursor=asked.assignments_cursor).gids == (("north", 2, 20),)


def test_the_first_change_of_a_site_is_not_missed_between_two_calls_without_cameras(yard: Yard) -> None:
    north = yard.camera("north")
    start = yard.complete(0, cursor=NEWER)
    yard.assign("north", 1, 10)
    asked = yard.complete(0, cursor=start.assignments_cursor)
    assert yard.complete(1, north, cursor=asked.assignments_cursor).gids == (("north", 1, 10),)


def test_more_changes_than_fit_one_reply_come_with_the_next(yard: Yard) -> None:
    north = yard.camera("north")
    with yard.client.pipeline() as pipe:
        for track in range(2500):
            pipe.xadd(KEYS.assignments, {"tick": 1, "camera": "north", "track_id": track, "gid": track + 1})
        pipe.execute()
    cursor, tracks = "0-0", []
    for tick in range(1, 4):
        progress = yard.complete(tick, north, cursor=cursor)
        cursor = progress.assignments_cursor
        tracks += [track for _, track, _ in progress.gids]
    assert tracks == list(range(2500))


def test_only_recently_watched_cameras_count_as_watched(yard: Yard) -> None:
    now_ms = server_time_ns(yard.client) // 1_000_000
    yard.client.zadd(KEYS.viewers, {"north": now_ms, "south": now_ms - 60_000})
    assert yard.complete(0).watched == {"north"}


def test_the_stream_of_a_camera_is_trimmed(yard: Yard) -> None:
    north = yard.camera("north")
    for tick in range(1, 600):
        yard.complete(tick, north, longest=100)
    assert 100 <= len(yard.entries("north")) <= 100 + 100, "trimmed in whole nodes of the stream"
    assert yard.entries("north")[-1].seq == 599


def test_the_stream_of_ticks_is_trimmed(yard: Yard) -> None:
    for tick in range(1, 2500):
        yard.tick(tick)
    assert 1000 <= yard.client.xlen(KEYS.ticks) <= 1100


def test_many_cameras_need_one_call(yard: Yard) -> None:
    leases = [yard.camera(f"c{i}") for i in range(500)]
    yard.tick(1)
    progress = yard.complete(1, *leases)
    assert progress.lost == frozenset()
    assert progress.gate == 2


def test_a_camera_that_waits_for_another_never_counts_as_stalled(redis_client: Client) -> None:
    yard = Yard(redis_client, max_skew_ticks=1)
    fast, slow = yard.camera("north"), yard.camera("south")
    yard.tick(1)
    yard.complete(1, fast)
    yard.tick(5)
    long_ago = server_time_ns(redis_client) // 1_000_000 - 600_000
    redis_client.zadd(KEYS.marked_at, {"north": long_ago, "south": long_ago})
    origin_us = server_time_ns(redis_client) // 1000 - round(5.5 / FPS * 1e6)
    assert yard.gate.advance(yard.clock, origin_us).stalled == ("south",)
    assert redis_client.hget(KEYS.skew, "stalled") == b"south"
    yard.complete(1, slow)
    assert yard.gate.advance(yard.clock, origin_us).stalled == ()
    assert redis_client.hget(KEYS.skew, "stalled") == b""
    assert redis_client.zscore(KEYS.seen, "south") == 4, "it is back at the current tick"


def test_a_stalled_camera_that_is_removed_or_paused_is_no_longer_reported(yard: Yard) -> None:
    for name in ("north", "south", "east"):
        yard.client.zadd(KEYS.marked_at, {name: 1})
    yard.client.hdel(KEYS.cameras, "north")
    yard.client.hset(KEYS.cameras, "south", '{"paused": true}')
    yard.tick(1)
    assert yard.client.hget(KEYS.skew, "stalled") == b"east"


def test_a_clock_that_lost_its_lease_changes_nothing(yard: Yard) -> None:
    yard.tick(3)
    yard.client.set(yard.clock.key, "9:somebody-else", px=60_000)
    with pytest.raises(LeaseLost):
        yard.gate.advance(yard.clock, 0)
    assert yard.client.get(KEYS.tick) == b"3"


def test_a_retired_camera_delays_no_other_and_has_the_reason(yard: Yard) -> None:
    north, south = yard.camera("north"), yard.camera("south")
    yard.tick(3)
    yard.complete(3, north)
    assert yard.complete(0).gate == 1
    yard.gate.retire("south", south, "paused")
    assert yard.complete(0).gate == 4
    assert yard.client.hget(KEYS.camera("south"), "state") == b"paused"
    yard.client.set(south.key, "9:somebody-else", px=60_000)
    with pytest.raises(LeaseLost):
        yard.gate.retire("south", south, "ended")


def test_waiting_processes_wake_when_a_mark_moves_the_gate(yard: Yard) -> None:
    north, south = yard.camera("north"), yard.camera("south")
    yard.tick(1)
    before = yard.complete(1, north)
    assert before.gate == 1
    yard.tick(2)
    cursor = yard.complete(0).ticks_cursor
    yard.complete(2, south)
    news = yard.gate.wait(cursor, 0.001)
    assert news is not None
    assert (news.tick, news.gate) == (2, 2)
