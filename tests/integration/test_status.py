"""`mtmc status` over a real Redis whose keys were written by hand."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from rich.console import Console

from cli.overview_tables import tables
from shared.config import SiteConfig
from shared.keys import Keys
from shared.redis_connection import Client
from shared.redis_server import any_free_port
from shared.site import publish_site
from shared.site_state import CameraView, Overview, WorkerView, read_overview

ROOT = Path(__file__).resolve().parents[2]
KEYS = Keys("hall")
SECRET = "hunter2"  # noqa: S105


def publish(client: Client) -> None:
    publish_site(
        client,
        SiteConfig.model_validate(
            {
                "site": "hall",
                "detector": {"model": "d.onnx"},
                "embedder": {"model": "e.onnx"},
                "cameras": [{"name": name, "source": f"{name}.mp4"} for name in ("a", "b", "c")],
            }
        ),
    )


@pytest.fixture
def site(redis_client: Client) -> Client:
    """A site of three cameras: one live and two ticks late, one down, one that no worker took."""
    publish(redis_client)
    seconds, microseconds = redis_client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    redis_client.set(KEYS.tick, 42)
    redis_client.set(KEYS.lease("clock"), "1:x", px=60_000)
    skew = {"tick": 42, "gate": 44, "slowest": "a@40", "fastest": "a@40", "skew": 0, "stalled": "b", "skipped": 3}
    redis_client.hset(KEYS.skew, mapping=skew)
    redis_client.zadd(KEYS.seen, {"a": 40})
    redis_client.zadd(KEYS.workers, {"w1": now_ms - 1500, "gone": now_ms - 60_000})
    worker = {"host": "box", "pid": 77, "labels": "gpu roof", "device": "cpu", "cameras": "a b", "fps": "19.5"}
    redis_client.hset(KEYS.worker("w1"), mapping=worker)
    redis_client.hset(KEYS.camera("a"), mapping={"state": "live", "owner": "w1", "fps": "9.8", "error": ""})
    error = f"cannot open rtsp://me:{SECRET}@box"
    redis_client.hset(KEYS.camera("b"), mapping={"state": "down", "owner": "w1", "error": error})
    for count in (5, 4):
        redis_client.xadd(KEYS.tracks("a"), {"n": count, "payload": b"\xff"})
    redis_client.hset(KEYS.gids("a"), mapping={1: 1, 2: 2})
    return redis_client


def status(*words: str | Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MTMC_")}
    command = [sys.executable, "-m", "cli", "status", *words]
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=30)


def test_a_site_is_read_as_it_stands(site: Client) -> None:
    overview = read_overview(site, KEYS, "redis://here")
    assert overview is not None
    assert (overview.running, overview.clock, overview.aggregator) == (True, True, False)
    assert (overview.tick, overview.gate, overview.skew_ticks, overview.skipped_ticks) == (42, 44, 0, 3)
    assert (overview.slowest, overview.fastest, overview.stalled) == ("a@40", "a@40", ["b"])
    (worker,) = overview.workers
    assert (worker.id, worker.host, worker.pid, worker.labels) == ("w1", "box", "77", "gpu roof")
    assert 1.5 <= worker.heartbeat_age_seconds < 5
    a, b, c = overview.cameras
    assert a == CameraView("a", "live", False, "w1", None, 40, 2, 9.8, 4, 2)
    assert (b.state, b.stalled, b.error, b.lag_ticks) == ("down", True, "cannot open rtsp://***@box", None)
    assert c == CameraView("c", "waiting", False, None, None, None, None, None, None, 0)


def test_the_command_gives_the_same_as_json_with_every_documented_field(site: Client, redis_url: str) -> None:
    done = status("--site", "hall", "--redis", redis_url, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    overview = read_overview(site, KEYS, redis_url)
    assert overview is not None
    expected = asdict(overview)
    for one in (shown, expected):
        one["workers"][0].pop("heartbeat_age_seconds")
    assert shown.pop("services") == [], "tests/integration/test_presence.py has some"
    assert shown == expected
    help_text = " ".join(status("--help").stdout.replace("│", " ").split())
    for name in [field.name for kind in (Overview, WorkerView, CameraView) for field in fields(kind)]:
        assert name in help_text


def test_the_tables_show_what_a_person_looks_for_and_no_secret(site: Client) -> None:
    overview = read_overview(site, KEYS, "redis://here")
    assert overview is not None
    shown = io.StringIO()
    Console(width=120, file=shown).print(tables(overview))
    text = shown.getvalue()
    for words in ("tick 42", "gate 44", "stalled: b", "no aggregator runs", "w1", "gpu roof", "19.5", "9.8", "waiting"):
        assert words in text
    assert SECRET not in text


@pytest.mark.parametrize("published", [False, True])
def test_a_site_of_which_nothing_runs_ends_with_1(redis_client: Client, redis_url: str, published: bool) -> None:
    if published:
        publish(redis_client)
    done = status("--site", "hall", "--redis", redis_url)
    assert done.returncode == 1
    assert done.stderr.startswith("mtmc: nothing runs for site hall")
    assert len(done.stderr.splitlines()) == 1


def test_no_redis_at_all_ends_with_1_and_says_how_to_start() -> None:
    done = status("--site", "hall", "--redis", f"redis://:{SECRET}@127.0.0.1:{any_free_port()}")
    assert done.returncode == 1
    assert "mtmc up" in done.stderr
    assert SECRET not in done.stderr


def test_watching_looks_again_until_the_site_stops(site: Client, redis_url: str) -> None:
    command = [sys.executable, "-m", "cli", "status", "--site", "hall", "--redis", redis_url, "--json", "--watch"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["tick"] == 42
        site.set(KEYS.tick, 43)
        ticks = (json.loads(line)["tick"] for line in watching.stdout)
        assert next(tick for tick in ticks if tick != 42) == 43
        watching.terminate()
        assert watching.wait(10) == 0
