"""The state of a site, read from a real Redis whose keys were written by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared.camera_settings import set_paused
from shared.config import SiteConfig
from shared.keys import Keys
from shared.messages import SCHEMA, TrackBatch
from shared.redis_connection import Client, connect
from shared.site import publish_site, read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import WORKER_GONE_MS, SiteState, WorkerState
from tests.free_ports import free_port

KEYS = Keys("hall")
SECRET = "hunter2"  # noqa: S105
S_NS = 1_000_000_000
AHEAD_MS = 3000
_numbers = itertools.count()


def now_ms(client: Client) -> int:
    seconds, microseconds = client.time()
    return int(seconds * 1000 + microseconds // 1000)


def reader_of(client: Client, frames: Client | None = None, **sections: Any) -> StateReader:
    """Publishes a site of the cameras b, a, c and reads it."""
    config = {
        "site": "hall",
        "detector": {"model": "d.onnx"},
        "embedder": {"model": "e.onnx"},
        "clock": {"target_fps": 10},
        "cameras": [{"name": name, "source": f"rtsp://me:{SECRET}@box/{name}"} for name in ("b", "a", "c")],
    }
    publish_site(client, SiteConfig.model_validate(config | sections))
    site = read_site(client, "hall")
    assert site is not None
    return StateReader(client, client if frames is None else frames, site)


def run_camera(client: Client, name: str, state: str = "live", owner: str = "w1", **fields: Any) -> None:
    """Writes the state of a camera and a picture, like a live worker.

    They are of a moment in the future, so that they are fresh also on a machine that is held up meanwhile.
    """
    soon_ms = now_ms(client) + AHEAD_MS
    client.hset(KEYS.camera(name), mapping={"state": state, "owner": owner, **fields})
    client.zadd(KEYS.workers, {owner: soon_ms})
    client.xadd(KEYS.frames(name), {"tick": 1, "jpeg": b"\xff\xd8"}, id=f"{soon_ms}-{next(_numbers)}")


def see(
    client: Client, name: str, tick: int, *track_ids: int, picture: bool = True, ended: tuple[int, ...] = ()
) -> str:
    """Writes an entry of a camera of 10 ticks/s; returns its id."""
    n = len(track_ids)
    batch = TrackBatch(
        track_ids=np.array(track_ids, np.int64),
        boxes_xyxy=np.tile(np.array([1, 2, 3, 4], np.float32), (n, 1)),
        scores=np.ones(n, np.float32),
        class_ids=np.zeros(n, np.int16),
        qualities=np.ones(n, np.float32),
        embedding_rows=np.arange(n, dtype=np.int32),
        embeddings=np.tile(np.array([0.6, 0.8], np.float16), (n, 1)),
        ended=np.array(ended, np.int64),
        embedder="e",
        width=640 if picture else 0,
        height=480 if picture else 0,
    )
    fields = {"schema": SCHEMA, "seq": tick, "camera": name, "tick": tick, "time_ns": tick * S_NS // 10, "n": n}
    entry_id: bytes = client.xadd(KEYS.tracks(name), {**fields, "payload": batch.encode()})
    return entry_id.decode()


def states(state: SiteState) -> dict[str, str]:
    return {camera.name: camera.state for camera in state.cameras}


def test_a_site_is_read_completely(redis_client: Client) -> None:
    reader = reader_of(redis_client)
    redis_client.set(KEYS.tick, 42)
    redis_client.set(KEYS.lease("clock"), "1:x", px=60_000)
    skew = {"tick": 42, "gate": 44, "slowest": "a@40", "fastest": "a@40", "skew": 0, "stalled": "b", "skipped": 3}
    redis_client.hset(KEYS.skew, mapping=skew)
    redis_client.zadd(KEYS.seen, {"a": 40})
    run_camera(redis_client, "a", fps="9.8", error="", width=640, height=480)
    run_camera(redis_client, "b", "down", error=f"cannot open rtsp://me:{SECRET}@box/b")
    worker = {"host": "box", "pid": 77, "labels": "gpu roof", "device": "cpu", "cameras": "a b", "fps": "19.5"}
    worker["embedder"] = "c0ffee"
    redis_client.hset(KEYS.worker("w1"), mapping=worker)
    redis_client.hset(KEYS.gids("a"), mapping={1: 1, 2: 2, 3: 2})
    see(redis_client, "a", 40, 1, 2, 3)
    state = reader.read()
    assert (state.site, state.mode, state.revision, state.running) == ("hall", "live", 1, True)
    assert (state.clock, state.aggregator) == (True, False)
    assert (state.tick, state.gate, state.skew_ticks, state.skipped_ticks) == (42, 44, 0, 3)
    assert (state.slowest, state.fastest, state.stalled) == ("a@40", "a@40", ("b",))
    assert state.live_identities == 2
    (found,) = state.workers
    age = found.heartbeat_age_seconds
    assert found == WorkerState("w1", "box", "77", "gpu roof", "cpu", "", "c0ffee", "a b", "19.5", age)
    assert -AHEAD_MS / 1000 <= age < 3
    assert [camera.name for camera in state.cameras] == ["b", "a", "c"], "in the site's order"
    a, b, c = (state.camera(name) for name in "abc")
    assert a is not None
    assert b is not None
    assert c is not None
    assert (a.state, a.owner, a.error, a.seen_tick, a.lag_ticks, a.fps) == ("live", "w1", None, 40, 2, 9.8)
    assert (a.live_tracks, a.gids, a.width, a.height, a.stalled) == (3, 3, 640, 480, False)
    assert (b.state, b.stalled, b.error) == ("down", True, "cannot open rtsp://***@box/b")
    assert (b.seen_tick, b.lag_ticks, b.live_tracks, b.gids) == (None, None, None, 0)
    assert (c.state, c.owner, c.picture_age_s) == ("waiting", None, None)
    assert SECRET not in repr(state)


def test_cameras_that_were_added_follow_those_of_the_file(redis_client: Client) -> None:
    reader = reader_of(redis_client)
    for name in ("z", "ab"):
        redis_client.hset(KEYS.cameras, name, '{"source": "x.mp4"}')
    redis_client.hdel(KEYS.cameras, "a")
    assert [camera.name for camera in reader.read().cameras] == ["b", "c", "ab", "z"]


@pytest.mark.parametrize("age_ms", [WORKER_GONE_MS - 2000, WORKER_GONE_MS + 100])
def test_a_worker_counts_as_dead_for_all_readers_after_the_same_time(redis_client: Client, age_ms: int) -> None:
    reader = reader_of(redis_client)
    run_camera(redis_client, "a")
    redis_client.zadd(KEYS.workers, {"w1": now_ms(redis_client) - age_ms})
    state, alive = reader.read(), age_ms < WORKER_GONE_MS
    assert (states(state)["a"], bool(state.workers), state.running) == (
        ("live", True, True) if alive else ("stalled", False, False)
    )


def test_a_resumed_camera_waits_although_its_last_owner_wrote_that_it_is_paused(redis_client: Client) -> None:
    reader = reader_of(redis_client)
    run_camera(redis_client, "a")
    set_paused(redis_client, KEYS, ["a"], paused=True)
    assert states(reader.read())["a"] == "paused"
    redis_client.hset(KEYS.camera("a"), "state", "paused")
    set_paused(redis_client, KEYS, ["a"], paused=False)
    assert states(reader.read())["a"] == "waiting"


def test_pictures_of_before_the_claim_are_not_taken_for_late_ones(redis_client: Client) -> None:
    reader = reader_of(redis_client)
    run_camera(redis_client, "a")
    redis_client.delete(KEYS.frames("a"))
    redis_client.xadd(KEYS.frames("a"), {"tick": 1}, id=f"{now_ms(redis_client) - 60_000}-0")
    assert states(reader.read())["a"] == "stalled"
    redis_client.hset(KEYS.epochs, "camera:a", now_ms(redis_client) - 100)
    assert states(reader.read())["a"] == "starting"
    # Left over from a run in virtual mode that was ahead of real time.
    redis_client.hset(KEYS.epochs, "camera:a", now_ms(redis_client) + 60_000)
    assert states(reader.read())["a"] == "stalled"


def test_an_empty_redis_still_shows_the_cameras_of_the_site(redis_client: Client) -> None:
    reader = reader_of(redis_client)
    redis_client.flushall()
    assert states(reader.read()) == dict.fromkeys("bac", "waiting")


def test_while_the_redis_for_pictures_is_unreachable_no_camera_is_live(redis_client: Client) -> None:
    frames = connect(f"redis://127.0.0.1:{free_port()}")
    reader = reader_of(redis_client, frames)
    run_camera(redis_client, "a")
    camera = reader.read().camera("a")
    assert camera is not None
    assert (camera.state, camera.picture_age_s) == ("stalled", None)
    assert "pictures" in camera.message


GARBAGE: list[Callable[[Client], Any]] = [
    lambda client: client.set(KEYS.tick, "no tick"),
    lambda client: client.hset(
        KEYS.skew, mapping={"gate": "x", "skew": b"\xff", "skipped": "1e99", "stalled": b"\xff b"}
    ),
    lambda client: client.zadd(KEYS.seen, {"b": "inf", b"\xff": 3}),
    lambda client: client.zadd(KEYS.workers, {b"\xff": "inf", "b": "-inf"}),
    lambda client: client.hset(KEYS.worker("w1"), mapping={b"\xff": b"\xff", "pid": b"\xfe"}),
    lambda client: client.hset(KEYS.cameras, mapping={b"\xff": b"\xff", "c": b"[" * 9999}),
    lambda client: client.hset(
        KEYS.camera("b"), mapping={"fps": b"\xff", "width": "nan", "state": b"\xff", b"\xff": "1"}
    ),
    lambda client: client.hset(KEYS.epochs, mapping={"camera:b": "x", b"\xff": b"\xff"}),
    lambda client: client.hset(KEYS.gids("b"), mapping={"x": b"\xff"}),
    lambda client: client.xadd(KEYS.tracks("b"), {"payload": b"\x81\xa5width\xc0", "n": "0"}),
    lambda client: client.xadd(KEYS.tracks("b"), {"x": "y"}),
    lambda client: client.xadd(KEYS.tracks("b"), {"n": "0", "payload": TrackBatch().encode(), "time_ns": b"\xff"}),
    lambda client: client.xadd(KEYS.frames("b"), {"x": "y"}, id="18446744073709551615-0"),
    *(
        lambda client, key=key: (client.delete(key), client.set(key, "of another type"))
        for key in (
            *(KEYS.skew, KEYS.seen, KEYS.workers, KEYS.epochs, KEYS.worker("w1"), KEYS.camera("b"), KEYS.gids("b")),
            *(KEYS.tracks("b"), KEYS.frames("b")),
        )
    ),
]


@pytest.mark.parametrize("spoil", GARBAGE)
def test_malformed_data_affects_only_itself(redis_client: Client, spoil: Callable[[Client], Any]) -> None:
    reader = reader_of(redis_client)
    run_camera(redis_client, "a", owner="")
    see(redis_client, "a", 1, 5, 6)
    spoil(redis_client)
    camera = reader.read().camera("a")
    assert camera is not None
    assert (camera.state, camera.live_tracks) == ("live", 2)


def test_with_a_settings_key_of_the_wrong_type_the_cameras_of_the_site_file_are_shown(redis_client: Client) -> None:
    reader = reader_of(redis_client)
    redis_client.delete(KEYS.cameras)
    redis_client.set(KEYS.cameras, "of another type")
    assert states(reader.read()) == dict.fromkeys("bac", "waiting")


# -- tracks ---------------------------------------------------------------------------------------------------


@pytest.fixture
def count(redis_client: Client) -> Callable[[], int | None]:
    """Number of live tracks of camera `a`."""
    reader = reader_of(redis_client)

    def tracks() -> int | None:
        camera = reader.read().camera("a")
        assert camera is not None
        return camera.live_tracks

    return tracks


def test_a_camera_slower_than_the_clock_keeps_its_tracks(redis_client: Client, count: Callable[[], int | None]) -> None:
    counts = []
    for tick in range(1, 31):
        has_picture = tick % 5 != 0
        see(redis_client, "a", tick, *((7, 8) if has_picture else ()), picture=has_picture)
        counts.append(count())
    assert counts == [2] * 30


def test_an_empty_view_has_no_tracks_at_once(redis_client: Client, count: Callable[[], int | None]) -> None:
    assert count() is None
    see(redis_client, "a", 1, 7)
    assert count() == 1
    see(redis_client, "a", 2)
    assert count() == 0


def test_tracks_end_and_go_stale(redis_client: Client, count: Callable[[], int | None]) -> None:
    see(redis_client, "a", 1, 7, 8)
    see(redis_client, "a", 2, picture=False, ended=(7,))
    assert count() == 1
    for tick in range(3, 6):
        see(redis_client, "a", tick, picture=False)
    assert count() == 1
    for tick in range(6, 13):
        see(redis_client, "a", tick, picture=False)
    assert count() == 0


def test_an_entry_that_cannot_be_read_has_tracks_that_are_not_known(
    redis_client: Client, count: Callable[[], int | None]
) -> None:
    see(redis_client, "a", 1, 7, 8)
    redis_client.xadd(KEYS.tracks("a"), {"n": "0", "time_ns": "5", "payload": b"rubbish"})
    assert count() is None


@pytest.mark.parametrize(("picture", "of_a"), [(False, 12), (True, 1)], ids=["no pictures", "an empty view"])
def test_the_number_of_entries_read_is_limited(redis_client: Client, picture: bool, of_a: int) -> None:
    reader = reader_of(redis_client)
    for tick in range(1, 200):
        see(redis_client, "a", tick, picture=picture)
    redis_client.config_resetstat()
    reader.read()
    looked_at = redis_client.info("commandstats")["cmdstat_xrevrange"]["calls"]
    assert looked_at == of_a + 2 + 3 + 2, (
        "beside a, one look at each other camera, at each newest picture, at the ticks and at the cycles"
    )


def test_reading_takes_three_round_trips_however_many_cameras_there_are(redis_client: Client) -> None:
    reader = reader_of(redis_client, cameras=[{"name": f"c{i}", "source": "rtsp://x"} for i in range(50)])
    reader.read()  # loads the scripts into the server
    sent: list[str] = []
    connection = redis_client.connection_pool.get_connection()
    send = connection.send_packed_command
    connection.send_packed_command = lambda *args, **kwargs: (sent.append("trip"), send(*args, **kwargs))[1]
    redis_client.connection_pool.release(connection)
    reader.read()
    assert len(sent) == 3
