"""Garbage in every key and field of `docs/keys.md`, in a running site: nothing stops, and everything recovers.

The services run on threads of this process, each with its own connection, so that an error of one is seen here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.exceptions import ResponseError

from services.aggregator.service import Aggregator
from services.camera_worker import preparation
from services.camera_worker.worker import CameraWorker
from services.clock.service import Clock
from services.streamer.service import Streamer
from shared.config import SiteConfig
from shared.key_repair import KeyRepair
from shared.keys import Keys
from shared.monitoring.monitor import Monitor
from shared.presence import Presence
from shared.process import Connected, ServiceOptions
from shared.redis_connection import Client, connect
from shared.service import run
from shared.service_list import read_services
from shared.site import publish_site, read_site
from shared.site_state.facts import whole
from shared.site_state.reading import StateReader
from tests.command_line import CommandLine, command_line
from tests.integration.streamer_site import Serving
from tests.integration.worker_parts import StillSource
from tests.small_site import small_site
from tests.unit.vision.model_files import write_constant_model

ROOT = Path(__file__).resolve().parents[2]
KEYS = Keys("hall")
CAMERAS = ("a", "b")
HEALTHY_S = 60.0
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
THOROUGH = bool(os.environ.get("MTMC_THOROUGH"))
"""Try every damage, and wait after each until everything is well again: minutes instead of seconds."""
Damage = tuple[str, Callable[[Client], object]]


class RunningHall:
    """A clock, an aggregator, a camera worker and a streamer on threads of this process."""

    def __init__(self, client: Client, url: str, folder: Path) -> None:
        self.client, self.errors = client, list[str]()
        content = small_site(folder, "".join(CAMERAS))
        object_in_every_picture = np.zeros((5, 21), np.float32)
        object_in_every_picture[:, 10] = [16, 16, 10, 20, 0.9]
        names = {"names": "{0: 'person'}"}
        write_constant_model(folder / "detector.onnx", object_in_every_picture, ("batch", 3, 32, 32), metadata=names)
        for network in ("detector", "embedder"):
            content[network]["model"] = str(folder / content[network]["model"])
        for camera in content["cameras"]:
            camera |= {"source": "rtsp://nowhere", "loop": False}
        content |= {"clock": {"target_fps": 20, "stall_seconds": 5}, "worker": {"lease_seconds": 2}}
        content |= {"association": {"min_track_frames": 1, "checkpoint_seconds": 1}}
        publish_site(client, SiteConfig.model_validate(content))
        self._stop, self._threads, self._url = threading.Event(), list[threading.Thread](), url
        options = ServiceOptions("hall", url, host="127.0.0.1", port=0)
        self._start("clock", lambda connected: Clock(connected.client, connected.site, connected.monitor))
        self._start("aggregator", lambda connected: Aggregator(connected.client, connected.site, connected.monitor))
        self._start("camera-worker", lambda connected: CameraWorker(connected, options))
        streamer = self._start("streamer", lambda connected: Streamer(connected, options))
        self.pages = Serving(streamer, self._stop)
        site = read_site(client, "hall")
        assert site is not None
        self.reader = StateReader(client, client, site)

    def _start(self, role: str, make: Callable[[Connected], Any]) -> Any:
        own = connect(self._url)
        site = read_site(own, "hall")
        assert site is not None
        monitor = Monitor(role, "hall")
        service = make(Connected(own, own, site, monitor))

        def serve() -> None:
            presence = Presence(own, KEYS, role, monitor.health, None, time.monotonic())
            try:
                run(service, self._stop, monitor=monitor, repair=KeyRepair(own, KEYS).look)
            except Exception:  # noqa: BLE001 (the test shows it)
                self.errors.append(f"{role}: {traceback.format_exc()}")
            finally:
                presence.close()
                own.close()

        self._threads.append(threading.Thread(target=serve, name=role))
        self._threads[-1].start()
        return service

    def stop(self) -> None:
        self.pages.close_viewers()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def progress(self) -> dict[str, int | None]:
        """Where each part of the site is; None: not readable."""
        found: dict[str, int | None] = {"tick": whole(self._read("get", KEYS.tick))}
        newest = self._read("xrevrange", KEYS.cycles, count=1)
        found["cycle"] = whole(newest[0][1].get(b"tick")) if newest else None
        for camera in CAMERAS:
            entries = self._read("xrevrange", KEYS.tracks(camera), count=1)
            found[camera] = whole(entries[0][1].get(b"tick")) if entries else None
        return found

    def _read(self, command: str, *arguments: Any, **named: Any) -> Any:
        try:
            return getattr(self.client, command)(*arguments, **named)
        except Exception:  # noqa: BLE001 (it is damaged now)
            return None

    def all_tracks_have_gids(self) -> bool:
        """Whether the newest track of each camera has a gid, and the page and the API answer."""
        for camera in CAMERAS:
            gids = self._read("hgetall", KEYS.gids(camera)) or {}
            if not any(whole(track) and whole(gid) for track, gid in gids.items()):
                return False
        return True

    def wait_until_healthy(self, what: str) -> None:
        """Waits until every part has moved on by a few ticks from now, without an error."""
        deadline = time.monotonic() + HEALTHY_S
        self.client.ping()
        first: dict[str, int | None] = {}
        while True:
            assert not self.errors, f"after {what}: {self.errors[0]}"
            assert time.monotonic() < deadline, f"after {what}: stuck at {self.progress()}, {self.reader.read()}"
            now = self.progress()
            if any(value is None or value >= 10**11 for value in now.values()):
                first = {}
            elif not first:
                first = now
            elif all((now[part] or 0) >= (first[part] or 0) + 3 for part in now) and self.all_tracks_have_gids():
                break
            time.sleep(0.02)
        status, _, body = self.pages.get("/api/v1/cameras")
        assert status == 200, f"after {what}: {body!r}"
        assert self.pages.get("/")[0] == 200


@pytest.fixture
def hall(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningHall]:
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: StillSource())
    running = RunningHall(redis_client, redis_url, tmp_path)
    try:
        running.wait_until_healthy("the start")
        yield running
    finally:
        running.stop()


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
    elif kind == "hash":
        yield "a field that is not UTF-8", lambda c: c.hset(key, b"\xff\xfe", b"\xff")
        for field in client.hkeys(key):
            for value in BAD_VALUES:
                yield f"{field!r} = {value!r}", lambda c, f=field, v=value: c.exists(key) and c.hset(key, f, v)
    elif kind == "zset":
        for member in (b"\xff\xfe", "ghost", *client.zrange(key, 0, -1)):
            for score in ("-inf", "+inf", 0, -1, 1e18, 0.5):
                yield f"{member!r} at {score}", lambda c, m=member, s=score: c.zadd(key, {m: s})
    elif kind == "stream":
        yield "an entry of garbage", lambda c: c.xadd(key, {b"\xff": b"\xfe"})
        newest = client.xrevrange(key, count=1)
        for field in newest[0][1] if newest else ():
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
    client.set(KEYS.files_origin, "5")
    client.xadd(KEYS.dead_letters, {"stream": "s", "entry": "1-0", "reason": "a test"})
    client.hset(KEYS.restored, mapping={"at_ms": 1, "identities": 1, "tracks": 1, "highest_gid": 1})
    client.zadd(KEYS.viewers, {"a": client.time()[0] * 1000})
    turn = itertools.count()
    while kinds := {kind_of(key): key for key in all_keys(client) if kind_of(key) not in tried}:
        for kind, key in sorted(kinds.items()):
            tried.add(kind)
            for what, damage in list(damages(client, key)):
                often = THOROUGH or what in ("another type", "the largest id") or next(turn) % 8 == 0
                if not often or not client.exists(key):
                    continue
                with contextlib.suppress(ResponseError):  # the key has become another one meanwhile
                    damage(client)
                hall.reader.read()
                read_services(client, KEYS)
                if THOROUGH or what in ("another type", "the largest id"):
                    hall.wait_until_healthy(f"{what} in {key}")
                else:
                    time.sleep(0.05)
            hall.wait_until_healthy(f"garbage in {key}")
            for command in (("status", "--json"), ("cameras", "list"), ("inspect", "events"), ("inspect", "layout")):
                done = mtmc(*command, "--site", "hall", "--redis", redis_url)
                assert "Traceback" not in done.stderr, (
                    f"after garbage in {key}, mtmc {' '.join(command)}: {done.stderr}"
                )
    assert documented() <= tried, f"not tried: {documented() - tried}"
    assert json.loads(mtmc("status", "--json", "--site", "hall", "--redis", redis_url).stdout)
