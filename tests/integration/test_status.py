"""`mtmc status` over a real Redis whose keys were written by hand."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from cli.status_json import status_json
from cli.status_tables import camera_state, tables
from launcher.state_folder import LastStart, StateFolder
from shared.config import SiteConfig
from shared.keys import Keys
from shared.redis_connection import Client, connect
from shared.site import publish_site, read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import STATES, CameraState, SiteState
from tests.conftest import RedisProcess
from tests.free_ports import free_port
from tests.running_services import write_hall_site

ROOT = Path(__file__).resolve().parents[2]
KEYS = Keys("hall")
SECRET = "hunter2"  # noqa: S105


def publish(client: Client, target_fps: int = 10, cameras: Sequence[str] = ("a", "b", "c")) -> None:
    publish_site(
        client,
        SiteConfig.model_validate(
            {
                "site": "hall",
                "clock": {"target_fps": target_fps},
                "detector": {"model": "d.onnx"},
                "embedder": {"model": "e.onnx"},
                "cameras": [{"name": name, "source": f"{name}.mp4"} for name in cameras],
            }
        ),
    )


@pytest.fixture
def site(redis_client: Client) -> Client:
    """A site of three cameras: one live and two ticks late, one down, one without a worker."""
    publish(redis_client)
    redis_client.set(KEYS.tick, 42)
    redis_client.set(KEYS.lease("clock"), "1:x", px=60_000)
    skew = {"tick": 42, "gate": 44, "slowest": "a@40", "fastest": "a@40", "skew": 0, "stalled": "b", "skipped": 3}
    redis_client.hset(KEYS.skew, mapping=skew)
    redis_client.zadd(KEYS.seen, {"a": 40})
    # Dated in the future, so that both count as fresh until the test ends.
    soon_ms = (redis_client.time()[0] + 3600) * 1000
    redis_client.zadd(KEYS.workers, {"w1": soon_ms})
    redis_client.xadd(KEYS.frames("a"), {"tick": 40}, id=f"{soon_ms}-0")
    worker = {"host": "box", "pid": 77, "labels": "gpu roof", "device": "cpu", "cameras": "a b", "fps": "19.5"}
    redis_client.hset(KEYS.worker("w1"), mapping=worker)
    redis_client.hset(KEYS.camera("a"), mapping={"state": "live", "owner": "w1", "fps": "9.8", "error": ""})
    error = f"cannot open rtsp://me:{SECRET}@box"
    redis_client.hset(KEYS.camera("b"), mapping={"state": "down", "owner": "w1", "error": error})
    redis_client.hset(KEYS.gids("a"), mapping={1: 1, 2: 2})
    return redis_client


def read(client: Client) -> SiteState:
    published = read_site(client, "hall")
    assert published is not None
    return StateReader(client, client, published).read()


def status(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MTMC_")}
    command = [sys.executable, "-m", "cli", "status", *words]
    return subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60)


def test_the_json_has_every_documented_field(site: Client, redis_url: str) -> None:
    done = status("--site", "hall", "--redis", redis_url, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    expected = status_json(read(site), redis_url)
    for one in (shown, expected):
        assert one["workers"][0].pop("heartbeat_age_seconds") >= 0
        one.pop("tick_age_seconds")
    problems, health = shown["problems"], shown["health"]
    assert shown == expected | {"problems": problems, "health": health}, (
        "services are in tests/integration/test_presence.py"
    )
    assert [problem["code"] for problem in problems] == ["no_aggregator"]
    assert {part["part"]: part["level"] for part in health} == {
        "tick": "good",
        "skew": "doubtful",
        "cameras": "doubtful",
        "workers": "good",
        "aggregator": "bad",
        "services": "good",
        "redis": "good",
    }
    assert shown["well"] is False
    assert (shown["site"], shown["redis"], shown["revision"], shown["running"]) == ("hall", redis_url, 1, True)
    assert (shown["clock"], shown["aggregator"], shown["stalled"]) == (True, False, ["b"])
    (worker,) = shown["workers"]
    assert (worker["id"], worker["pid"], worker["labels"]) == ("w1", "77", "gpu roof")
    a, b, c = shown["cameras"]
    assert a == {
        "name": "a",
        "state": "live",
        "message": "live",
        "warning": "its tracks get their global ids late or not at all",
        "stalled": False,
        "owner": "w1",
        "error": None,
        "seen_tick": 40,
        "lag_ticks": 2,
        "fps": 9.8,
        "tracks": None,
        "gids": 2,
    }
    assert (b["state"], b["stalled"], b["error"]) == ("down", True, "cannot open rtsp://***@box")
    assert (c["state"], c["message"]) == ("waiting", "no worker has it")
    help_text = " ".join(status("--help").stdout.replace("│", " ").split())
    for name in ["tick_age_seconds", *shown, *problems[0], *health[0], *worker, *a, *STATES]:
        assert name in help_text


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_tables_show_the_state_and_no_secrets(site: Client, width: int) -> None:
    shown = io.StringIO()
    Console(width=width, file=shown).print(tables(read(site), "redis://here"))
    assert max(map(len, shown.getvalue().splitlines())) <= width
    text = " ".join(shown.getvalue().split())
    for words in (
        "● tick 42",
        "● cameras 0 / 3",
        "gate 44",
        "stalled: b",
        "no aggregator is running, so new tracks get no global ids: start one: mtmc run aggregator --site hall",
        "a live w1 40 2 9.8 - 2 its tracks get their global ids late or not at all",
        "b down w1 - - - - 0 cannot open rtsp://***@box",
        "w1",
        "gpu roof",
        "19.5",
        "9.8",
        "waiting",
    ):
        assert words in text
    assert SECRET not in text


def test_names_are_whole_in_a_narrow_terminal(site: Client, redis_url: str) -> None:
    cameras = [f"crossing-northeast-{number}" for number in range(6)]
    publish(site, cameras=cameras)
    for camera in cameras:
        site.hset(KEYS.camera(camera), mapping={"state": "live", "owner": "worker-31871-f13b"})
    site.hset(KEYS.worker("w1"), mapping={"cameras": " ".join(cameras), "device": "cpu", "backend": "onnxruntime"})
    shown = status("--site", "hall", "--redis", redis_url, COLUMNS="80").stdout
    assert max(map(len, shown.splitlines())) <= 80
    for camera in cameras:
        row = rf"^{camera}  stalled  worker-31871-f13b .* 0\n    its worker worker-31871-f13b does not answer *$"
        assert re.search(row, shown, re.MULTILINE)
    row = rf"^w1 +box +77 +cpu +onnxruntime +19\.5 +-?\d+\.\d s ago\n    labels gpu roof *\n    cameras {cameras[0]} "
    assert re.search(row, shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("camera", "text"),
    [
        (CameraState("a", "live", "live"), "live"),
        (CameraState("a", "down", "refused"), "down (refused)"),
        (CameraState("a", "stalled", "no new picture"), "stalled (no new picture)"),
        (CameraState("a", "ended", "the file has ended"), "ended"),
        (CameraState("a", "live", "live", warning="no ids"), "live (no ids)"),
    ],
)
def test_a_bad_state_is_shown_with_its_reason(camera: CameraState, text: str) -> None:
    assert camera_state(camera).plain == text


def test_a_worker_with_another_embedder_file_is_named_with_both_checksums(site: Client, redis_url: str) -> None:
    soon_ms = (site.time()[0] + 3600) * 1000
    for name, host, embedder in (
        ("w1", "box", "c0ffee"),
        ("w2", "van", "bad"),
        ("w3", "tram", "c0ffee"),
        ("w4", "", ""),
    ):
        site.zadd(KEYS.workers, {name: soon_ms})
        site.hset(KEYS.worker(name), mapping={"host": host, "embedder": embedder})
    done = status("--site", "hall", "--redis", redis_url)
    text = " ".join(done.stdout.split())
    assert "worker w2 on van has another embedder file than the other workers (checksum bad, expected c0ffee)" in text
    assert "copy the same embedder file to every host" in text
    assert text.count("another embedder") == 1
    site.hset(KEYS.worker("w2"), mapping={"embedder": "c0ffee"})
    assert "another embedder" not in status("--site", "hall", "--redis", redis_url).stdout


@pytest.mark.parametrize("published", [False, True])
def test_a_site_that_is_not_running_exits_with_1(redis_client: Client, redis_url: str, published: bool) -> None:
    if published:
        publish(redis_client)
    done = status("--site", "hall", "--redis", redis_url)
    assert done.returncode == 1
    assert done.stderr.startswith("mtmc: site hall is not running: ")
    assert len(done.stderr.splitlines()) == 1


def test_without_redis_it_exits_with_1_and_says_what_helps(tmp_path: Path) -> None:
    path, port = write_hall_site(tmp_path), free_port()
    (tmp_path / ".mtmc" / "hall").mkdir(parents=True)
    StateFolder(tmp_path / ".mtmc" / "hall").save_last_start(LastStart(redis_port=port))
    own = status(path)
    assert own.returncode == 1
    assert own.stderr.endswith(f"Redis does not answer at redis://127.0.0.1:{port}/0; start it: mtmc up {path}\n")

    url = f"redis://:{SECRET}@127.0.0.1:{port}"
    for words in ((path, "--redis", url), ("--site", "hall", "--redis", url)):
        external = status(*words)
        assert external.returncode == 1
        assert external.stderr.endswith(
            "; start this Redis, or correct the address (--redis, MTMC_REDIS_URL or redis.url)\n"
        )
        assert SECRET not in external.stderr


def test_pictures_are_read_from_the_redis_for_pictures(
    site: Client, redis_url: str, redis_process: RedisProcess
) -> None:
    """As in the streamer: otherwise the two would disagree on which cameras are live."""

    def state_of_a() -> str:
        words = ("--site", "hall", "--redis", redis_url, "--json")
        shown = json.loads(status(*words, MTMC_FRAMES_URL=redis_process.url).stdout)
        return str(shown["cameras"][0]["state"])

    assert state_of_a() == "starting"
    with connect(redis_process.url) as frames:
        frames.xadd(KEYS.frames("a"), {"tick": 40}, id=f"{(frames.time()[0] + 3600) * 1000}-0")
    assert state_of_a() == "live"
    redis_process.kill()
    assert state_of_a() == "stalled"


def test_watch_refreshes_until_the_site_stops_and_follows_a_new_revision(site: Client, redis_url: str) -> None:
    command = [sys.executable, "-m", "cli", "status", "--site", "hall", "--redis", redis_url, "--json", "--watch"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert (first["tick"], first["revision"]) == (42, 1)
        site.set(KEYS.tick, 43)
        publish(site, target_fps=5)
        looks = (json.loads(line) for line in watching.stdout)
        assert next(look["tick"] for look in looks if look["revision"] == 2) == 43
        watching.terminate()
        assert watching.wait(10) == 0
