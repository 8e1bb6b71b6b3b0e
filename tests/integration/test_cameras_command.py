"""`mtmc cameras`: what it writes and prints, and its effect on a running site."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from cli.asking import user_at_host
from cli.cameras.listing import ListedCamera
from shared.camera_config import CameraConfig
from shared.camera_settings import add_camera, read_cameras, read_settings, set_paused
from shared.config import SiteConfig
from shared.keys import Keys
from shared.operator_commands import OperatorCommand
from shared.redis_connection import Client, connect
from shared.site import publish_site, read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import CameraState
from tests.command_line import CommandLine, Done, command_line
from tests.free_ports import free_port
from tests.running_site import ROOT, RunningSite, environment
from tests.unit.vision.model_files import write_constant_model, write_mean_model

KEYS = Keys("room")
SECRET = "hunter2"  # noqa: S105


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """`mtmc` as typed on a command line."""
    return command_line(monkeypatch, capsys)


def write_video(path: Path, colour: int = 120, frames: int = 20) -> Path:
    """Writes a video file of plain pictures at 10 fps."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(frames):
        video.write(np.full((48, 64, 3), colour, np.uint8))
    video.release()
    return path


def site_settings(folder: Path, **sections: Any) -> dict[str, Any]:
    """A site of two looped files, whose detector finds one person in the middle of every picture."""
    if not (folder / "detector.onnx").exists():
        output = np.zeros((5, 21), np.float32)
        output[:, 0] = (16, 12, 8, 10, 0.9)  # centre, size and score, in a picture of 32 × 32
        person = {"names": "{0: 'person'}"}
        write_constant_model(folder / "detector.onnx", output, ("batch", 3, 32, 32), metadata=person)
        write_mean_model(folder / "embedder.onnx")
        for name in ("a", "b", "c"):
            write_video(folder / f"{name}.avi")
    return {
        "site": "room",
        "clock": {"target_fps": 10},
        "detector": {"model": str(folder / "detector.onnx")},
        "embedder": {"model": str(folder / "embedder.onnx")},
        "cameras": [{"name": name, "source": str(folder / f"{name}.avi"), "loop": True} for name in ("a", "b")],
        "layout": {"overlaps": [["a", "b"]]},
        "streamer": {"port": free_port()},
    } | sections


@pytest.fixture
def published(redis_client: Client, tmp_path: Path) -> Callable[..., SiteConfig]:
    """Publishes the site, with `sections` replacing its own."""

    def publish(**sections: Any) -> SiteConfig:
        config = SiteConfig.model_validate(site_settings(tmp_path, **sections))
        publish_site(redis_client, config)
        return config

    return publish


@pytest.fixture
def cameras(mtmc: CommandLine, redis_url: str) -> CommandLine:
    """`mtmc cameras VERB --site room …`."""

    def run(*words: str | Path, **environment: str) -> Done:
        return mtmc("cameras", words[0], "--site", "room", "--redis", redis_url, *words[1:], **environment)

    return run


# -- in a running site ----------------------------------------------------------------------------------------


class Page:
    """What the page of the running site answers."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        try:
            with urllib.request.urlopen(self._url + path, timeout=10) as answer:  # noqa: S310
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                return error.code, dict(error.headers), b""

    def states(self) -> dict[str, str]:
        answer = json.loads(self.get("api/v1/cameras")[2])
        return {camera["name"]: camera["state"] for camera in answer["cameras"]}

    def live_tracks(self, camera: str) -> list[Any]:
        return list(json.loads(self.get(f"api/v1/tracks?camera={camera}")[2])["cameras"][0]["tracks"])

    def cameras_on_the_wall(self) -> set[str]:
        """The cameras whose pictures arrive within a few messages of the wall's stream."""
        seen = set()
        with urllib.request.urlopen(self._url + "wall.stream", timeout=10) as stream:  # noqa: S310
            for _ in range(40):
                header, body = struct.unpack("<II", stream.read(8))
                message = json.loads(stream.read(header))
                stream.read(body)
                seen |= {message["camera"]} if message["type"] == "picture" else set()
        return seen


def test_a_camera_is_added_paused_resumed_and_removed_while_the_others_keep_running(
    start: Callable[..., RunningSite], mtmc: CommandLine, tmp_path: Path, redis_client: Client, redis_url: str
) -> None:
    site_file = tmp_path / "site.yaml"
    association = {"linger_seconds": 1}
    site_file.write_text(yaml.safe_dump(site_settings(tmp_path, association=association)))
    for name in ("a", "b", "c"):
        write_video(tmp_path / f"{name}.avi", frames=3000)  # Long enough not to loop, which would end the tracks.
    site = start(site_file, "--redis", redis_url)
    page = Page(site.wait_for_words(r"http://127\.0\.0\.1:\d+/").group())

    def change(verb: str, *words: str | Path) -> str:
        done = mtmc("cameras", verb, site_file, *words, "--redis", redis_url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    published = read_site(redis_client, "room")
    assert published is not None
    reader = StateReader(redis_client, redis_client, published)

    def states() -> dict[str, CameraState]:
        return {camera.name: camera for camera in reader.read().cameras}

    # Added: there are pictures, tracks and gids, also on the page.
    cv2.imwrite(str(tmp_path / "blind.png"), np.pad(np.full((1, 1), 255, np.uint8), ((0, 47), (0, 63))))
    message = change("add", "new", tmp_path / "c.avi", "--loop")
    assert "layout does not name it" in message
    assert "worker" not in message
    change("add", "blind", tmp_path / "c.avi", "--loop", "--mask", tmp_path / "blind.png")
    site.wait_for(lambda: page.states() == dict.fromkeys(("a", "b", "new", "blind"), "live"))
    # Nothing says yet that its view overlaps others, so the same object at the same time is another one there.
    site.wait_for(lambda: redis_client.hvals(KEYS.gids("new")))
    site.wait_for(lambda: page.live_tracks("new"))
    site.wait_for(lambda: page.cameras_on_the_wall() == {"a", "b", "new", "blind"})
    status, headers, jpeg = page.get("new.jpg")
    assert (status, headers["X-Mtmc-State"], jpeg[:2]) == (200, "live", b"\xff\xd8")
    site.wait_for(lambda: states()["blind"].seen_tick is not None)
    assert {entry[b"n"] for _, entry in redis_client.xrange(KEYS.tracks("blind"))} == {b"0"}, "its mask hides all"

    # Paused: its tracks end, and its state is `paused` everywhere.
    change("pause", "new")
    site.wait_for(lambda: redis_client.hget(KEYS.camera("new"), "state") == b"paused")
    site.wait_for(lambda: page.states()["new"] == "paused")
    assert redis_client.zscore(KEYS.seen, "new") is None
    assert page.live_tracks("new") == []
    assert states()["new"].state == "paused"
    assert page.get("new.jpg")[1]["X-Mtmc-State"] == "paused"
    before = redis_client.hget(KEYS.camera("new"), "tick")
    tick = int(redis_client.get(KEYS.tick))
    site.wait_for(lambda: (redis_client.zscore(KEYS.seen, "a") or 0) > tick + 5)
    assert redis_client.hget(KEYS.camera("new"), "tick") == before

    # Resumed: as before. Tracks have found themselves in both views three times now, so these overlap.
    change("resume", "new")
    site.wait_for(lambda: page.states()["new"] == "live")

    def in_both() -> set[bytes]:
        return set(redis_client.hvals(KEYS.gids("new"))) & set(redis_client.hvals(KEYS.gids("a")))

    site.wait_for(in_both)

    # Removed: gone everywhere at once, except for keys that expire.
    gid = in_both().pop()
    change("remove", "new", "blind")
    assert set(redis_client.zrange(KEYS.seen, 0, -1)) <= {b"a", b"b"}
    site.wait_for(lambda: page.states() == {"a": "live", "b": "live"})
    site.wait_for(lambda: page.cameras_on_the_wall() == {"a", "b"})
    assert page.get("new.jpg")[0] == 404
    assert list(states()) == ["a", "b"]
    site.wait_for(lambda: not redis_client.exists(KEYS.gids("new")))
    assert not redis_client.exists(KEYS.lease("camera:new"), KEYS.lease("camera:blind"))
    prefix = KEYS.config.removesuffix("config")
    left = {key for key in redis_client.scan_iter(f"{prefix}*") if key.endswith((b":new", b":blind"))}
    assert all(redis_client.ttl(key) > 0 for key in left), left
    # An identity that is seen in another camera stays.
    site.wait_for(lambda: redis_client.hget(KEYS.identity(int(gid)), "present") == b"1")
    assert "Traceback" not in site.output()
    site.wait_for_words("camera new: removed from the site")
    assert site.end()[0] == 0


# -- what is written ------------------------------------------------------------------------------------------


def test_a_camera_is_stored_as_from_a_site_file_and_the_message_says_how_to_keep_it(
    redis_client: Client,
    published: Callable[..., SiteConfig],
    cameras: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published()
    done = cameras(
        *("add", "gate", "rtsp://${USER}:${PW}@192.0.2.1/1", "--labels", "roof,gpu", "--paused"),
        *("--set", "detector.min_score=0.3", "--set", "detector.classes=[person]", "--set", "time_offset_seconds=2"),
        USER="me",
        PW=SECRET,
    )
    assert done.returncode == 0, done.stderr
    assert read_cameras(redis_client, KEYS)["gate"] == CameraConfig.model_validate(
        {
            "name": "gate",
            "source": f"rtsp://me:{SECRET}@192.0.2.1/1",
            "labels": ["roof", "gpu"],
            "paused": True,
            "time_offset_seconds": 2,
            "detector": {"min_score": 0.3, "classes": ["person"]},
        }
    )
    assert SECRET not in done.stdout
    head, _, snippet = done.stdout.partition("under cameras:\n")
    assert "It is paused; start it with: mtmc cameras resume gate" in head
    (kept,) = yaml.safe_load(snippet)
    assert kept["source"] == "rtsp://${USER}:${PW}@192.0.2.1/1"
    assert kept["detector"] == {"min_score": 0.3, "classes": ["person"]}

    monkeypatch.chdir(tmp_path)
    done = cameras("add", "clip", "c.avi", "--from-start")
    assert done.returncode == 0, done.stderr
    assert read_cameras(redis_client, KEYS)["clip"].source == str(tmp_path / "c.avi")
    assert "No worker is running" in done.stdout
    assert redis_client.hget(KEYS.camera("clip"), "origin") == b"10"

    done = cameras("add", "plain", f"rtsp://me:{SECRET}@192.0.2.1/1")
    assert "source: rtsp://***@192.0.2.1/1" in done.stdout
    assert SECRET not in done.stdout


def test_every_problem_of_a_new_camera_is_reported_at_once(
    redis_client: Client, published: Callable[..., SiteConfig], cameras: CommandLine, tmp_path: Path
) -> None:
    published()
    before = redis_client.hgetall(KEYS.cameras)
    done = cameras(
        *("add", "no name", f"ftp://me:{SECRET}@box/x", "--fps", "0", "--mask", "none.png", "--labels", "a/b"),
        *("--set", "colour=red", "--set", "oops"),
    )
    assert done.returncode == 2
    assert SECRET not in done.stderr
    for words in ("name = no name", "ftp:// is not supported", "fps = 0.0", "mask = none.png", "labels.0 = a/b"):
        assert words in done.stderr
    assert "colour: there is no such setting" in done.stderr
    assert "--set = oops: write KEY=VALUE" in done.stderr
    assert all(line.startswith("mtmc: cameras add: ") for line in done.stderr.splitlines())

    (tmp_path / "text.avi").write_text("no video")
    for words, expected in (
        (("a", tmp_path / "c.avi"), "name = a: the site already has a camera of this name"),
        (("x", tmp_path / "text.avi"), "text.avi is not a video"),
        (("x", tmp_path / "c.avi", "--set", "detector.classes=[plane]"), "detector.classes: unknown class 'plane'"),
        (("x", "rtsp://192.0.2.1/1", "--from-start"), "--from-start: works only with video files"),
        (("x", "rtsp://${NOBODY_SET_THIS}@192.0.2.1/1"), "NOBODY_SET_THIS is not set"),
    ):
        done = cameras("add", *words)
        assert done.returncode == 2
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert redis_client.hgetall(KEYS.cameras) == before


def test_a_file_that_would_already_be_over_is_refused_with_what_to_do(
    redis_client: Client, published: Callable[..., SiteConfig], cameras: CommandLine, tmp_path: Path
) -> None:
    published()
    redis_client.mset({KEYS.files_origin: 100, KEYS.tick: 700})
    done = cameras("add", "late", tmp_path / "c.avi")
    assert done.returncode == 2
    assert "start together, here 60 s ago, so this one (2 s long) would already be over" in done.stderr
    assert "--loop, or --from-start" in done.stderr
    assert cameras("add", "late", tmp_path / "c.avi", "--from-start").returncode == 0
    assert redis_client.hget(KEYS.camera("late"), "origin") == b"710"
    assert cameras("add", "looped", tmp_path / "c.avi", "--loop").returncode == 0


def test_pause_resume_and_remove_say_what_they_did_and_how_to_keep_it(
    redis_client: Client, published: Callable[..., SiteConfig], cameras: CommandLine
) -> None:
    published()
    done = cameras("pause", "a")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "camera a paused")
    assert "add 'paused: true' to a in the site file" in done.stdout
    assert cameras("pause", "a", "b").stdout.splitlines()[:2] == ["camera a was already paused", "camera b paused"]
    assert [camera.paused for camera in read_cameras(redis_client, KEYS).values()] == [True, True]
    redis_client.hset(KEYS.cameras, "odd", "{")
    assert "the settings of odd cannot be read; remove" in cameras("resume", "a", "odd").stderr
    assert cameras("remove", "odd").returncode == 0
    assert cameras("resume", "--all").stdout.splitlines() == ["camera a resumed", "camera b resumed"]
    assert "delete a from cameras and layout" in cameras("remove", "a").stdout
    assert list(read_cameras(redis_client, KEYS)) == ["b"]
    for words, expected in (
        (("remove", "a", "x"), "site room has no camera 'a', 'x'; it has b"),
        (("pause", "b", "x"), "site room has no camera 'x'; it has b"),
        (("pause",), "give at least one camera"),
        (("pause", "b", "--all"), "either camera names or --all"),
    ):
        done = cameras(*words)
        assert done.returncode == 2
        assert expected in done.stderr
    assert not read_cameras(redis_client, KEYS)["b"].paused, "all or none"
    assert cameras("remove", "b", "--by", "Ann").returncode == 0
    assert read_cameras(redis_client, KEYS) == {}, "a site may be empty"
    assert "no camera 'b'; it has none" in cameras("pause", "b").stderr
    notes = [OperatorCommand.decode(fields) for _, fields in redis_client.xrange(KEYS.commands)]
    assert [(note.kind, note.camera) for note in notes] == [
        ("camera_paused", "a"),
        ("camera_paused", "b"),
        ("camera_removed", "odd"),
        ("camera_resumed", "a"),
        ("camera_resumed", "b"),
        ("camera_removed", "a"),
        ("camera_removed", "b"),
    ]
    assert [note.by for note in notes[-2:]] == [user_at_host(), "Ann"]


def test_concurrent_changes_of_different_cameras_are_all_kept(redis_client: Client, redis_url: str) -> None:
    names = [f"c{number}" for number in range(8)]
    publish_site(
        redis_client,
        SiteConfig.model_validate(
            {
                "site": "room",
                "detector": {"model": "d.onnx"},
                "embedder": {"model": "e.onnx"},
                "cameras": [{"name": name, "source": "rtsp://nowhere"} for name in names],
            }
        ),
    )

    def work(name: str) -> None:
        client = connect(redis_url)
        for number in range(13):
            assert set_paused(client, KEYS, [name], paused=number % 2 == 0) == []
            assert add_camera(client, KEYS, CameraConfig(name=f"{name}-{number}", source="rtsp://nowhere"))
        client.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_cameras(redis_client, KEYS)
    assert all(found[name].paused for name in names)
    assert len(found) == 8 * 14


@pytest.mark.parametrize("words", [("add", "x", "rtsp://nowhere"), ("pause", "a"), ("resume", "a"), ("remove", "a")])
def test_cameras_cannot_be_changed_in_virtual_time(
    redis_client: Client, published: Callable[..., SiteConfig], cameras: CommandLine, words: Sequence[str]
) -> None:
    published(clock={"mode": "virtual"})
    before = redis_client.hgetall(KEYS.cameras)
    done = cameras(*words)
    assert done.returncode == 2
    assert "virtual time" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert redis_client.hgetall(KEYS.cameras) == before


# -- what is shown --------------------------------------------------------------------------------------------


def test_the_list_shows_what_was_changed_and_hides_secrets(
    redis_client: Client, published: Callable[..., SiteConfig], mtmc: CommandLine, cameras: CommandLine
) -> None:
    config = published()
    add_camera(redis_client, KEYS, CameraConfig(name="gate", source=f"rtsp://me:{SECRET}@192.0.2.1/1", labels=("x",)))
    set_paused(redis_client, KEYS, ["a"], paused=True)
    redis_client.hdel(KEYS.cameras, "b")
    redis_client.hset(KEYS.cameras, "odd", "{")
    assert read_settings(redis_client, KEYS)["odd"] is None
    done = cameras("list", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert set(listed) == {"site", "redis", "revision", "cameras", "removed"}
    by_name = {camera["name"]: camera for camera in listed["cameras"]}
    assert by_name["a"] == {
        "name": "a",
        "source": config.cameras[0].source,
        "state": "paused",
        "stalled": False,
        "owner": None,
        "error": None,
        "paused": True,
        "loop": True,
        "labels": [],
        "change": "paused",
    }
    assert (by_name["gate"]["source"], by_name["gate"]["change"]) == ("rtsp://***@192.0.2.1/1", "added")
    assert "cannot be read" in by_name["odd"]["error"]
    assert listed["removed"] == ["b"]
    shown = cameras("list").stdout
    for words in ("gate", "rtsp://***@192.0.2.1/1", "labels x", "added", "removed since the site was published: b"):
        assert words in shown
    assert SECRET not in shown + done.stdout
    help_text = " ".join(mtmc("cameras", "list", "--help").stdout.split())
    for name in [*listed, *(field.name for field in fields(ListedCamera))]:
        assert name in help_text


def test_publishing_reports_cameras_that_differ_from_the_file_and_changes_that_it_undoes(
    redis_client: Client, redis_url: str, mtmc: CommandLine, tmp_path: Path
) -> None:
    site_file = tmp_path / "site.yaml"
    settings = site_settings(tmp_path)

    def publish() -> list[str]:
        site_file.write_text(yaml.safe_dump(settings))
        done = mtmc("config", "publish", site_file, "--redis", redis_url)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert len(publish()) == 1
    add_camera(redis_client, KEYS, CameraConfig(name="new", source="rtsp://nowhere"))
    set_paused(redis_client, KEYS, ["a"], paused=True)
    _, note = publish()
    assert note.startswith("the running cameras differ from the site file (a paused, new added)")
    assert list(read_cameras(redis_client, KEYS)) == ["a", "b", "new"]
    settings["cameras"][0]["paused"] = True
    _, note = publish()
    assert note.startswith("publishing undid changes made at runtime (new added)")
    assert list(read_cameras(redis_client, KEYS)) == ["a", "b"]
    assert len(publish()) == 1


def test_a_missing_or_wrong_site_is_reported_in_one_line(
    redis_client: Client, redis_url: str, mtmc: CommandLine
) -> None:
    for words, expected in (
        (("pause", "x"), "no site given; give its file first, as in 'mtmc cameras pause site.yaml NAME'"),
        (("pause", "none.yaml", "x"), "none.yaml: there is no such file"),
        (("list", "--site", "hall", "--redis", redis_url), "site hall is not published"),
        (("list", "--site", "hall", "--redis", "redis://127.0.0.1:1"), "Redis does not answer at redis://127.0.0.1:1"),
    ):
        done = mtmc("cameras", *words)
        assert done.returncode == 2
        assert expected in done.stderr
        assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)


def test_a_closed_pipe_prints_no_error(published: Callable[..., SiteConfig], redis_url: str) -> None:
    published()
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "cli", "cameras", "list", "--site", "room", "--redis", redis_url]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert done.stderr == b""
