"""`mtmc inspect` and `mtmc config show --site` over a real Redis whose keys were written by hand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml

from association.learned_layout import (
    LearnedAppearance,
    LearnedLayout,
    LearnedOffset,
    LearnedOverlap,
    LearnedStep,
    Similarities,
)
from launcher.site_keys import FoundKey, key_kinds
from launcher.state_folder import LastStart, StateFolder
from launcher.track_entries import BrokenEntry, SeenEntry, SeenTrack
from shared.camera_settings import set_paused
from shared.config import LayoutConfig, SiteConfig
from shared.keys import Keys
from shared.messages import SCHEMA, TrackBatch
from shared.redis_connection import Client, connect
from shared.site import publish_site
from tests.command_line import CommandLine, Done, command_line
from tests.conftest import RedisProcess
from tests.free_ports import free_port
from tests.running_site import ROOT, environment

KEYS = Keys("hall")
SECRET = "hunter2"  # noqa: S105
TRACK = 1_700_000_000_123_001
SITE = {
    "site": "hall",
    "detector": {"model": "/d.onnx"},
    "embedder": {"model": "/e.onnx"},
    "cameras": [{"name": "gate", "source": f"rtsp://me:{SECRET}@box/1"}, {"name": "yard", "source": "/yard.mp4"}],
}


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def site(redis_client: Client) -> Client:
    """A site whose camera `gate` saw two persons at tick 7, and one of them, with another gone, at tick 8."""
    publish_site(redis_client, SiteConfig.model_validate(SITE))
    redis_client.hset(KEYS.camera("gate"), mapping={"state": "live", "class_names": '["person", "car"]'})
    redis_client.hset(KEYS.gids("gate"), mapping={TRACK: 4})
    see(redis_client, 1, 7, two_persons())
    see(redis_client, 2, 8, TrackBatch(ended=np.array([TRACK + 1]), embedder="e", width=640, height=480))
    return redis_client


def two_persons() -> TrackBatch:
    return TrackBatch(
        track_ids=np.array([TRACK, TRACK + 1]),
        boxes_xyxy=np.array([[1, 2, 30.256, 40], [5, 6, 70, 80]], np.float32),
        scores=np.array([0.9, 0.5], np.float32),
        class_ids=np.array([0, 5], np.int16),
        qualities=np.array([0.75, 0.25], np.float32),
        embedding_rows=np.array([0, -1], np.int32),
        embeddings=np.array([[1, 0]], np.float16),
        embedder="e",
        width=640,
        height=480,
    )


def see(client: Client, seq: int, tick: int, batch: TrackBatch) -> str:
    """Writes an entry of `gate` as its worker does."""
    entry = {"schema": SCHEMA, "seq": seq, "camera": "gate", "tick": tick, "time_ns": 1_700_000_000_123_456_789}
    entry_id: bytes = client.xadd(KEYS.tracks("gate"), entry | {"n": len(batch), "payload": batch.encode()})
    return entry_id.decode()


@pytest.fixture
def inspect(mtmc: CommandLine, redis_url: str) -> Callable[..., Done]:
    """`mtmc inspect VERB … --site hall`."""
    return lambda *words: mtmc("inspect", *words, "--site", "hall", "--redis", redis_url)


# -- tracks ---------------------------------------------------------------------------------------------------


def test_the_newest_entries_are_decoded_with_the_current_gids(site: Client, inspect: Callable[..., Done]) -> None:
    done = inspect("tracks", "gate", "-n", "2", "--json")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["tick"], first["seq"], first["time_ns"]) == (7, 1, "1700000000123456789")
    assert first["time"] == "2023-11-14T22:13:20.123456+00:00"
    assert first["tracks"] == [
        {
            "track_id": str(TRACK),
            "gid": 4,
            "class_id": 0,
            "class": "person",
            "box_xyxy": [1.0, 2.0, 30.26, 40.0],
            "score": 0.9,
            "quality": 0.75,
            "embedding": True,
        },
        {
            "track_id": str(TRACK + 1),
            "gid": None,
            "class_id": 5,
            "class": None,
            "box_xyxy": [5.0, 6.0, 70.0, 80.0],
            "score": 0.5,
            "quality": 0.25,
            "embedding": False,
        },
    ]
    assert (second["tick"], second["tracks"], second["ended"]) == (8, [], [str(TRACK + 1)])
    assert inspect("tracks", "gate", "--json").stdout.splitlines() == [done.stdout.splitlines()[1]]


def test_without_json_it_prints_a_table(site: Client, inspect: Callable[..., Done]) -> None:
    shown = inspect("tracks", "gate", "-n", "2").stdout
    assert re.search(rf"{TRACK} +4 +0 person +1 2 30 40 +0.90 +0.75 +yes", shown)
    assert re.search(rf"{TRACK + 1} +- +5 ", shown)
    assert "gate  tick 7  2023-11-14T22:13:20" in shown
    assert "0 tracks" in shown
    assert f"ended: {TRACK + 1}" in shown


def test_an_entry_without_a_picture_says_so(site: Client, inspect: Callable[..., Done]) -> None:
    see(site, 3, 9, TrackBatch(ended=np.array([TRACK]), embedder="e"))
    shown = inspect("tracks", "gate").stdout
    assert "no picture at this tick" in shown
    assert "0 tracks" not in shown
    assert f"ended: {TRACK}" in shown
    as_json = json.loads(inspect("tracks", "gate", "--json").stdout)
    assert (as_json["width"], as_json["tracks"], as_json["ended"]) == (None, [], [str(TRACK)])


def test_an_entry_that_cannot_be_decoded_is_reported_and_the_others_are_shown(
    site: Client, inspect: Callable[..., Done]
) -> None:
    site.xadd(KEYS.tracks("gate"), {"schema": 9})
    done = inspect("tracks", "gate", "--count", "9", "--json")
    ticks = [json.loads(line).get("tick") for line in done.stdout.splitlines()]
    assert (done.returncode, ticks) == (0, [7, 8, None])
    assert "unknown schema 9" in json.loads(done.stdout.splitlines()[-1])["error"]
    assert "cannot be decoded: unknown schema 9" in inspect("tracks", "gate").stdout


def test_following_shows_every_new_entry_until_it_is_stopped(site: Client, redis_url: str) -> None:
    command = [sys.executable, "-m", "cli", "inspect", "tracks", "gate", "--site", "hall", "--redis", redis_url]
    with subprocess.Popen(
        [*command, "--follow", "--json"], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        assert json.loads(following.stdout.readline())["tick"] == 8
        for tick in (9, 10):
            see(site, tick - 6, tick, two_persons())
            assert json.loads(following.stdout.readline())["tick"] == tick
        following.terminate()
        assert (following.wait(20), following.stderr.read()) == (0, b"")


def test_an_unknown_camera_or_one_without_entries_is_reported(site: Client, inspect: Callable[..., Done]) -> None:
    done = inspect("tracks", "door")
    assert (done.returncode, done.stderr) == (2, "mtmc: site hall has no camera 'door'; it has gate, yard\n")
    done = inspect("tracks", "yard")
    expected = "mtmc: camera yard has handled no tick yet: waiting (no worker has it)\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


# -- keys -----------------------------------------------------------------------------------------------------


def test_every_key_is_listed_with_its_purpose(site: Client, inspect: Callable[..., Done]) -> None:
    site.set(KEYS.lease("clock"), "1:x", px=60_000)
    site.set(KEYS.state_current, "{}")
    site.set(KEYS.state_chunk(3, 0), b"x" * 5000, ex=600)
    site.zadd(KEYS.workers, {"w": 1})
    site.rpush("mtmc:{hall}:odd", 1, 2)
    site.set("mtmc:{hallway}:config", "of another site")
    done = inspect("keys", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    by_name = {key["key"].removeprefix("mtmc:{hall}:"): key for key in listed["keys"]}
    assert set(by_name) == {
        *("config", "config:revision", "cameras", "lease:clock", "workers", "camera:gate", "tracks:gate"),
        *("gids:gate", "state:3:0", "state:current", "odd"),
    }
    tracks = by_name["tracks:gate"]
    assert (tracks["type"], tracks["entries"], tracks["redis"]) == ("stream", 2, "main")
    assert (tracks["expires_in_seconds"], by_name["workers"]["entries"]) == (None, 1)
    assert 0 < by_name["lease:clock"]["expires_in_seconds"] <= 60
    assert by_name["state:3:0"]["bytes"] > 5000
    assert (by_name["odd"]["type"], by_name["odd"]["what"], by_name["odd"]["entries"]) == ("list", None, 2)
    assert by_name["state:current"]["what"] == "which generation is the valid checkpoint"
    assert by_name["state:3:0"]["what"] == "one piece of a checkpoint"
    assert listed["bytes"] == sum(key["bytes"] for key in listed["keys"])
    assert listed["frames_redis"] is None


def test_keys_of_one_kind_share_a_line_unless_all_are_wanted(site: Client, inspect: Callable[..., Done]) -> None:
    for gid in range(1, 41):
        site.hset(KEYS.identity(gid), "gid", gid)
        site.expire(KEYS.identity(gid), 600 * gid)
    site.set("mtmc:{hall}:odd", 1)
    shown = inspect("keys").stdout
    assert re.search(r"^identity:\*  \(40\) +hash +40 .* 10 min–7 h ", shown, re.MULTILINE)
    assert re.search(r"^odd .*unknown: this version of mtmc does not write it", shown, re.MULTILINE)
    assert re.search(r"^tracks:gate +stream +2 ", shown, re.MULTILINE)
    assert re.search(r"^47 keys, \d+\.\d KiB of memory$", shown, re.MULTILINE)
    assert len(re.findall(r"^identity:", inspect("keys", "--all").stdout, re.MULTILINE)) == 40


def test_keys_in_the_redis_for_pictures_of_a_running_site_are_found_by_its_state_folder(
    mtmc: CommandLine, redis_process: RedisProcess, redis_url: str, redis_client: Client, tmp_path: Path
) -> None:
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(SITE))
    state = StateFolder(tmp_path / ".mtmc" / "hall")
    state.prepare()
    # Two servers on this machine, as with `mtmc up`.
    pictures = RedisProcess(tmp_path / "pictures")
    pictures.start()
    try:
        state.save_last_start(LastStart(redis_process.server.port, None, pictures.server.port))
        main, frames = connect(redis_process.url), connect(pictures.url)
        publish_site(main, SiteConfig.model_validate(SITE))
        frames.xadd(KEYS.frames("gate"), {"jpeg": b"x" * 3000})
        main.close()
        frames.close()
        done = mtmc("inspect", "keys", tmp_path / "site.yaml", "--json")
        listed = json.loads(done.stdout)
        assert listed["frames_redis"] == pictures.url
        (picture,) = [key for key in listed["keys"] if key["redis"] == "frames"]
        assert (picture["key"], picture["entries"]) == (KEYS.frames("gate"), 1)
        shown = mtmc("inspect", "keys", tmp_path / "site.yaml").stdout
        assert re.search(r"^frames:gate .*\[pictures\] the annotated picture", shown, re.MULTILINE)
        assert "of them in the Redis for pictures" in shown
    finally:
        pictures.stop()
    done = mtmc("inspect", "keys", tmp_path / "site.yaml")
    assert done.returncode == 0
    assert "cameras" in done.stdout
    assert f"the Redis for pictures at {pictures.url} does not answer" in done.stderr


def test_a_site_without_keys_is_reported_as_such(redis_client: Client, inspect: Callable[..., Done]) -> None:
    done = inspect("keys")
    assert done.returncode == 0
    assert "site hall has no keys in Redis" in done.stdout


def test_every_kind_of_key_has_its_own_purpose() -> None:
    kinds = key_kinds()
    assert len({kind.name for kind in kinds}) == len({kind.what for kind in kinds}) == len(kinds) > 20
    assert all(len(kind.what) > 5 and not kind.what[0].isspace() for kind in kinds)
    assert {"config", "lease:*", "state:*:*", "identity:*", "clock:tick"} <= {kind.name for kind in kinds}


# -- the published site ---------------------------------------------------------------------------------------


def test_the_published_settings_are_shown_without_secrets(site: Client, mtmc: CommandLine, redis_url: str) -> None:
    set_paused(site, KEYS, ["yard"], paused=True)
    done = mtmc("config", "show", "--site", "hall", "--redis", redis_url)
    assert done.returncode == 0, done.stderr
    assert "# revision 1, as published in Redis at redis://" in done.stdout
    assert "# cameras changed since (not shown below): yard paused" in done.stdout
    settings = yaml.safe_load(done.stdout)
    assert settings["cameras"][0]["source"] == "rtsp://***@box/1"
    assert settings["clock"]["target_fps"] == 10
    assert "redis" not in settings
    content = json.loads(mtmc("config", "show", "--site", "hall", "--redis", redis_url, "--json").stdout)
    assert (content["revision"], content["changes"]) == (1, {"yard": "paused"})
    assert SECRET not in done.stdout + json.dumps(content)


# -- layout ---------------------------------------------------------------------------------------------------

LEARNED = LearnedLayout(
    (
        LearnedOverlap((0, 1), "learned", 0.9987, 40, 31, is_mapped=True),
        LearnedOverlap((0, 2), "unknown", 0.02, 38, 1, is_mapped=False),
        LearnedOverlap((1, 2), "layout", None, 0, 0, is_mapped=False),
        LearnedOverlap((1, 3), "calibration", None, 0, 0, is_mapped=True),
    ),
    (LearnedStep(2, 0, 9, (5.5, 7.0, 11.2)), LearnedStep(0, 2, 1, (3.0, 3.0, 3.0)), LearnedStep(0, 1, 5, (1, 2, 3))),
    (LearnedOffset(0, 0.42, 0.03, 0.4), LearnedOffset(1, -0.02, 0.04, 0.0)),
    (
        LearnedAppearance(
            "c0ffee",
            31.24,
            900,
            (Similarities(1, -1.1, 0.01, 1.12), Similarities(3, 0.12, 0.34, 0.56)),
            ((0, 812.0), (3, 15.0)),
        ),
    ),
)


def test_what_was_learned_is_shown_with_a_layout_to_paste(site: Client, inspect: Callable[..., Done]) -> None:
    content = {"tick": 900} | LEARNED.to_dict(["gate", "yard", "lane", "roof"])
    site.set(KEYS.learned_layout, json.dumps(content))
    del content["appearance"]
    assert json.loads(inspect("layout", "--json").stdout) == content
    done = inspect("layout")
    assert "\n\n\n" not in done.stdout
    assert done.returncode == 0
    shown = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "gate and yard yes, learned 99.9% 40 31 yes" in shown
    assert "gate and lane not known 2.0% 38 1 no" in shown
    assert "yard and lane yes, by the layout no" in shown
    assert "yard and roof yes, by calibration yes" in shown
    assert "lane gate 9 5.5 s 7.0 s 11.2 s" in shown
    assert "gate 0.42 s 0.03 s 0.40 s" in shown
    assert "yard -0.02 s 0.04 s" in shown
    pasted = LayoutConfig.model_validate(yaml.safe_load(done.stdout[done.stdout.index("layout:") :])["layout"])
    assert pasted.overlaps == (("gate", "yard"), ("yard", "lane"), ("yard", "roof"))
    steps = [(one.from_camera, one.to_camera, one.min_seconds, one.max_seconds) for one in pasted.transitions]
    assert steps == [("lane", "gate", 2, 23)], "one handover is too few, and views that overlap need no step"


def test_what_was_learned_of_appearance_is_shown(site: Client, inspect: Callable[..., Done]) -> None:
    content = {"tick": 900} | LEARNED.to_dict(["gate", "yard", "lane", "roof"])
    site.set(KEYS.learned_layout, json.dumps(content))
    shown = json.loads(inspect("association", "--json").stdout)
    assert shown == json.loads(json.dumps({"tick": 900, "appearance": content["appearance"]}))
    done = inspect("association")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert "embedder c0ffee: 31 effective dimensions, from 900 pairs of different objects" in lines
    assert {"1 never 0.01 never", "3 0.12 0.34 0.56", "gate 812", "roof 15"} <= set(lines)


@pytest.mark.parametrize("command", ["layout", "association"])
@pytest.mark.parametrize("garbage", [b"\xff", "[]", "{}", '{"tick": 1, "overlaps": [{"cameras": []}], "steps": []}'])
def test_a_layout_that_cannot_be_read_is_reported_in_one_line(
    site: Client, inspect: Callable[..., Done], garbage: str | bytes, command: str
) -> None:
    site.set(KEYS.learned_layout, garbage)
    done = inspect(command)
    assert (done.returncode, done.stdout) == (2, "")
    assert "layout:learned in Redis cannot be read" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_site_that_has_learned_nothing_says_why(
    site: Client, redis_client: Client, inspect: Callable[..., Done]
) -> None:
    done = inspect("layout")
    assert (done.returncode, done.stdout) == (1, "")
    assert "saves it every 20 s" in done.stderr
    publish_site(redis_client, SiteConfig.model_validate(SITE | {"association": {"mode": "reference"}}))
    assert "in association.mode 'reference' nothing is learned" in inspect("layout").stderr


# -- all ------------------------------------------------------------------------------------------------------


def test_the_help_documents_every_field_of_the_json(mtmc: CommandLine) -> None:
    for verb, kinds in (
        ("tracks", (SeenEntry, SeenTrack, BrokenEntry)),
        ("keys", (FoundKey,)),
        ("layout", (LearnedOverlap,)),
    ):
        said = " ".join(mtmc("inspect", verb, "--help").stdout.split())
        for name in [field.name.rstrip("_") for kind in kinds for field in fields(kind)]:
            assert re.search(rf"\b{name}\b", said), name


@pytest.mark.parametrize(
    "words", [("inspect", "keys"), ("inspect", "layout"), ("inspect", "tracks", "gate"), ("config", "show")]
)
def test_a_missing_redis_and_a_wrong_password_are_reported_in_one_line(
    mtmc: CommandLine, redis_process: RedisProcess, words: tuple[str, ...]
) -> None:
    done = mtmc(*words, "--site", "hall", "--redis", f"redis://me:{SECRET}@127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Redis does not answer at redis://***@127.0.0.1" in done.stderr
    client = connect(redis_process.url)
    client.config_set("requirepass", SECRET)
    client.close()
    refused = mtmc(*words, "--site", "hall", "--redis", redis_process.url, MTMC_REDIS_PASSWORD="wrong")  # noqa: S106
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "refused the password" in refused.stderr
    for text in (done.stderr, refused.stderr):
        assert len(text.splitlines()) == 1
        assert SECRET not in text
