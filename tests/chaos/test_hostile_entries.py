"""Garbage in every key and field of `docs/keys.md`, in a running site: nothing stops, and everything recovers.

The services run on threads of this process, each with its own connection, so that an error of one is seen here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from shared.commands import send
from shared.floor_plan import FloorPlan, write_floor_plan
from shared.operator_commands import OperatorCommand
from shared.redis_connection import Client
from shared.service_list import read_services
from shared.tokens import add_token
from tests.command_line import CommandLine, command_line
from tests.integration.streamer_site import numbered_jpeg, wait_until
from tests.running_hall import KEYS, RunningHall, still_hall

ROOT = Path(__file__).resolve().parents[2]
PREFIX = KEYS.config.removesuffix("config")
LAST_ID = "18446744073709551615-18446744073709551615"
BAD_VALUES: tuple[str | bytes, ...] = (
    b"\xff\xfe\x00",
    "",
    "-1",
    "1e400",
    "nan",
    str(10**12),
    str(2**63),
    "[]",
    "{",
    "0",
)
ODD_JSON = {
    "nested JSON": "[" * 100_000,
    "half a character": '"\\ud800"',
    "names of half a character": '{"\\ud800": "\\ud800"}',
}
"""Tried wherever there is JSON."""
JSON_BEGINS = (b"{", b"[")
ALWAYS = ("another type", "the largest id", *ODD_JSON)
THOROUGH = bool(os.environ.get("MTMC_THOROUGH"))
"""Try every damage, and wait after each until everything is well again: minutes instead of seconds."""
Damage = tuple[str, Callable[[Client], object]]


@pytest.fixture
def hall(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningHall]:
    with still_hall(redis_client, redis_url, tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


def documented() -> set[str]:
    """The keys of `docs/keys.md`."""
    table = (ROOT / "docs/keys.md").read_text().split("\n\n|")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def kind_of(key: str) -> str:
    """The documented name of a key: `gids:{camera}` of `gids:a`."""
    name = key.removeprefix(PREFIX)
    for pattern in documented():
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^:]+(:[^:]+)?", re.escape(pattern)), name):
            return pattern
    return name


def all_keys(client: Client) -> list[str]:
    """The keys of the site, the newest checkpoint last."""
    return sorted(key.decode() for key in client.scan_iter(KEYS.everything))


def damages(client: Client, key: str) -> Iterator[Damage]:
    """What can be wrong with a key of its type."""
    kind = client.type(key).decode()
    other = "list" if kind == "string" else "string"
    yield "another type", lambda c: (c.delete(key), c.rpush(key, "x") if other == "list" else c.set(key, "x"))
    if kind == "string":
        for value in BAD_VALUES:
            yield f"the value {value!r}", lambda c, value=value: c.set(key, value, keepttl=True)
        for what, odd in ODD_JSON.items() if (client.get(key) or b"").startswith(JSON_BEGINS) else ():
            yield what, lambda c, odd=odd: c.set(key, odd, keepttl=True)
    elif kind == "hash":
        yield "a field that is not UTF-8", lambda c: c.hset(key, b"\xff\xfe", b"\xff")
        for field, now in client.hgetall(key).items():
            for what, odd in ODD_JSON.items() if now.startswith(JSON_BEGINS) else ():
                yield what, lambda c, f=field, odd=odd: c.exists(key) and c.hset(key, f, odd)
            for value in BAD_VALUES:
                yield f"{field!r} = {value!r}", lambda c, f=field, v=value: c.exists(key) and c.hset(key, f, v)
    elif kind == "zset":
        for member in (b"\xff\xfe", "ghost", *client.zrange(key, 0, -1)):
            for score in ("-inf", "+inf", 0, -1, 1e18, 0.5):
                yield f"{member!r} at {score}", lambda c, m=member, s=score: c.zadd(key, {m: s})
    elif kind == "stream":
        yield "an entry of garbage", lambda c: c.xadd(key, {b"\xff": b"\xfe"})
        newest = client.xrevrange(key, count=1)
        for field, now in newest[0][1].items() if newest else ():
            for what, odd in ODD_JSON.items() if now.startswith(JSON_BEGINS) else ():
                yield what, lambda c, f=field, odd=odd: _append(c, key, f, odd)
            yield f"an entry without {field!r}", lambda c, f=field: _append(c, key, f, None)
            for value in BAD_VALUES:
                yield f"an entry with {field!r} = {value!r}", lambda c, f=field, v=value: _append(c, key, f, v)
        yield "the largest id", lambda c: c.xadd(key, {"tick": "5", "x": "y"}, id=LAST_ID)


def _append(client: Client, key: str, field: bytes, value: Any) -> None:
    """Appends the newest entry again with one field changed or left out."""
    newest = client.xrevrange(key, count=1)
    if not newest:
        return
    fields = dict(newest[0][1])
    fields.pop(field, None)
    if value is not None:
        fields[field] = value
    entry_id = f"{int(newest[0][0].split(b'-')[0]) + 1}-0" if kind_of(key) in ("events", "cycles") else "*"
    client.xadd(key, fields or {"x": "y"}, id=entry_id)


@pytest.mark.timeout(1200)
def test_garbage_in_any_key_or_field_stops_nobody(hall: RunningHall, mtmc: CommandLine, redis_url: str) -> None:
    client, tried = hall.client, set[str]()
    # Keys that a site has only now and then.
    client.set(KEYS.replay, "a folder")
    client.hset(KEYS.aliases, "900", "1")
    client.hset(KEYS.notified, "mqtt", "1-0")
    client.hset(KEYS.names, "900", "a name")
    client.set(KEYS.files_origin, "5")
    client.xadd(KEYS.dead_letters, {"stream": "s", "entry": "1-0", "reason": "a test"})
    client.set(KEYS.no_cameras, "1")
    write_floor_plan(client, KEYS, FloorPlan(0.0, 0.0, 20.0, (320, 180), numbered_jpeg(1)))
    client.hset(KEYS.restored, mapping={"at_ms": 1, "identities": 1, "tracks": 1, "highest_gid": 1})
    client.hset(KEYS.names, "1", "a name")
    client.hset(KEYS.erased, "a/1", 1)
    client.hset(KEYS.command("c"), mapping={"id": "c", "outcome": "done"})
    send(client, KEYS, OperatorCommand("d", "name", "a test", 1, name="a name"))
    add_token(client, KEYS, "viewer", "a test", None)
    client.hset(
        KEYS.sessions, "0a1b2c3d", '{"digest": "", "token_id": "0a1b2c3d", "token_digest": "", "expires_ms": 1}'
    )
    client.xadd(KEYS.questions("embed"), {"schema": 1, "id": "0" * 32, "payload": b"no picture"})
    wait_until(lambda: client.exists(KEYS.answer("0" * 32)), "an answer, which stays for a minute")
    client.zadd(KEYS.viewers, {"a": client.time()[0] * 1000})
    turn = itertools.count()
    while kinds := {kind_of(key): key for key in all_keys(client) if kind_of(key) not in tried}:
        for kind, key in sorted(kinds.items()):
            tried.add(kind)
            for what, damage in list(damages(client, key)):
                often = THOROUGH or what in ALWAYS or next(turn) % 8 == 0
                if not often or not client.exists(key):
                    continue
                with contextlib.suppress(ResponseError):  # the key has become another one meanwhile
                    damage(client)
                hall.reader.read()
                read_services(client, KEYS)
                if THOROUGH or what in ALWAYS:
                    hall.wait_until_healthy(f"{what} in {key}")
                else:
                    time.sleep(0.05)
            hall.wait_until_healthy(f"garbage in {key}")
            for command in (
                ("status", "--json"),
                ("cameras", "list"),
                ("inspect", "events"),
                ("inspect", "layout"),
                ("tokens", "list"),
            ):
                done = mtmc(*command, "--site", "hall", "--redis", redis_url)
                assert "Traceback" not in done.stderr, (
                    f"after garbage in {key}, mtmc {' '.join(command)}: {done.stderr}"
                )
    assert documented() <= tried, f"not tried: {documented() - tried}"
    assert json.loads(mtmc("status", "--json", "--site", "hall", "--redis", redis_url).stdout)
