"""Values of several MiB, thousands of fields, and leases that never end, in a running site: nobody stops."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.redis_connection import Client, connect
from shared.service_list import read_services
from tests.running_hall import KEYS, RunningHall, still_hall

BIG = b"x" * 2**23
MOST_BYTES = 2**22
"""Of an answer of the API for a hall of two cameras."""
Damage = Callable[[Client], Any]


@pytest.fixture(scope="module")
def hall(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHall]:
    folder = tmp_path_factory.mktemp("hall")
    client = connect(redis_server_url)
    client.flushall()
    with pytest.MonkeyPatch.context() as patch, still_hall(client, redis_server_url, folder, patch) as running:
        yield running
    client.close()


def first(client: Client, key: str) -> str:
    return str(client.zrange(key, 0, 0)[0].decode())


def command(**fields: Any) -> Damage:
    given = {"schema": 1, "id": "c", "kind": "name", "by": "Ann", "gid": 1, "name": "x"} | fields
    return lambda client: [client.xadd(KEYS.commands, given) for _ in range(30)]


def camera(**settings: Any) -> Damage:
    given = {"name": "long", "source": "rtsp://127.0.0.1:9/none"} | settings
    return lambda client: client.hset(KEYS.cameras, given["name"], json.dumps(given))


DAMAGES: dict[str, Damage] = {
    "who asks": command(by=BIG),
    "the kind of a command": command(kind=BIG),
    "the tracks of a command": command(kind="split", tracks="a/1 " * 2_000_000),
    "the name of a command": command(name=BIG),
    "the path of a camera": camera(source="/" + "x" * 2**23),
    "the address of a camera": camera(source="rtsp://127.0.0.1:9/" + "a://" * 2**18),
    "the title of a camera": camera(title="x" * 2**23),
    "the name of a camera": camera(name="n" * 2**23),
    "settings of a camera": lambda client: client.hset(KEYS.cameras, "a", BIG),
    "thousands of cameras without a usable name": lambda client: client.hset(
        KEYS.cameras, mapping={b"\xff%d" % number: b"x" for number in range(5_000)}
    ),
    "what a worker says of a camera": lambda client: client.hset(
        KEYS.camera("a"), mapping={"error": BIG, "fault": BIG, "class_names": b'["' + BIG + b'"]'}
    ),
    "what a worker says of itself": lambda client: client.hset(
        KEYS.worker(first(client, KEYS.workers)), mapping=dict.fromkeys(("host", "cameras", "gpu_problem"), BIG)
    ),
    "names of workers": lambda client: client.zadd(KEYS.workers, {b"w" + BIG: time.time() * 1000}),
    "names of processes": lambda client: client.zadd(KEYS.services, {b"p" + BIG: time.time() * 1000}),
    "thousands of workers": lambda client: client.zadd(
        KEYS.workers, {f"w{number}": time.time() * 1000 for number in range(10_000)}
    ),
    "thousands of cameras in the clock": lambda client: client.zadd(KEYS.seen, {f"c{n}": 1 for n in range(20_000)}),
    "the problem of a process": lambda client: client.hset(
        KEYS.service(first(client, KEYS.services)), mapping={"problem": b"a://" * 2**18, "host": BIG}
    ),
    "the name of an identity": lambda client: client.hset(KEYS.names, "1", BIG),
    "thousands of names": lambda client: client.hset(KEYS.names, mapping=dict.fromkeys(range(1000, 51000), "name")),
    "the record of an identity": lambda client: client.hset(KEYS.identity(1), mapping={"name": BIG, "cameras": BIG}),
    "thousands of epochs": lambda client: client.hset(KEYS.epochs, mapping={n: n for n in range(100_000)}),
    "thousands of tracks in the global-ID map": lambda client: client.hset(
        KEYS.gids("a"), mapping={n: n for n in range(100_000)}
    ),
    "entries of tracks": lambda client: [
        client.xadd(KEYS.tracks("a"), {"schema": 1, "seq": 1, "camera": BIG, "tick": 1, "payload": BIG})
        for _ in range(3)
    ],
    "a picture": lambda client: client.xadd(KEYS.frames("a"), {"tick": 1, "jpeg": b"\xff\xd8" + BIG}),
    "thousands of questions": lambda client: [
        client.xadd(KEYS.questions("embed"), {"schema": 1, "id": f"{n:032}", "payload": b"x"}) for n in range(2_000)
    ],
    "what was learned": lambda client: client.set(KEYS.learned_layout, b"[" + b"1," * 2**22 + b"1]"),
    "events of another program": lambda client: [
        client.xadd(KEYS.events, {"kind": "appeared", "gid": 1, "reason": BIG}) for _ in range(10)
    ],
    "a lease without an end": lambda client: [
        client.set(KEYS.lease(role), "x") for role in ("clock", "aggregator", "camera:a")
    ],
    "a lease of ten days": lambda client: [
        client.set(KEYS.lease(role), "1:00", ex=864_000) for role in ("clock", "aggregator", "camera:b")
    ],
    "the end of a lease": lambda client: [
        client.persist(KEYS.lease(role)) for role in ("clock", "aggregator", "camera:a")
    ],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", DAMAGES)
def test_a_long_value_harms_nobody(hall: RunningHall, what: str) -> None:
    client = hall.client
    events = [entry_id for entry_id, _ in client.xrange(KEYS.events)]
    try:
        DAMAGES[what](client)
        answers = {}
        for path in ("site", "cameras", "tracks", "identities", "workers", "services", "events"):
            status, _, body = hall.pages.get(f"/api/v1/{path}")
            answers[path] = len(body)
            assert status == 200, f"{path}: {body[:200]!r}"
        assert max(answers.values()) < MOST_BYTES, answers
        read_services(client, KEYS)
        hall.wait_until_healthy(what)
        letters = [letter for _, letter in client.xrange(KEYS.dead_letters)]
        assert all(len(value) < 2_000 for letter in letters for value in letter.values())
        assert not hall.ended_threads()
        assert [entry_id for entry_id, _ in client.xrange(KEYS.events)][: len(events)] == events
    finally:
        client.hdel(KEYS.cameras, "long")
        client.delete(KEYS.commands)
