"""`mtmc cameras test` and `mtmc identities search`, for a site whose worker and aggregator give canned answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.redis_connection import Client
from tests.command_line import CommandLine, command_line
from tests.integration.canned_answers import canned_answers
from tests.integration.lively_site import fill, publish_lively_site
from tests.integration.streamer_site import KEYS


@pytest.fixture
def mtmc(
    redis_client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    publish_lively_site(redis_url)
    fill(redis_client)
    mtmc = command_line(monkeypatch, capsys)
    with canned_answers(redis_client):
        yield lambda *words, **environment: mtmc(*words, "--site", "yard", "--redis", redis_url, **environment)


def test_a_worker_tries_a_stream(mtmc: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "geh3im")
    picture = tmp_path / "first.jpg"
    done = mtmc("cameras", "test", "rtsp://admin:${PW}@192.0.2.10/1", "--picture", str(picture), "--labels", "door")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "rtsp://192.0.2.10 works: h264, 1280×720, 25 pictures per second, first picture after 0.41 s "
        "(worker worker-1 on box)\n"
    )
    assert picture.read_bytes().startswith(b"\xff\xd8")
    content = json.loads(mtmc("cameras", "test", "http://192.0.2.11/", "--json").stdout)
    assert (content["works"], content["reason"], content["fps"], content["host"]) == (True, None, 25.0, "box")
    for words, says in (
        (["videos/a.mp4"], "not the URL of a stream"),
        (["rtsp://host/", "--labels", "attic"], "no live worker has the label attic"),
        (["rtsp://host/", "--transport", "pigeon"], "transport"),
    ):
        refused = mtmc("cameras", "test", *words)
        assert (refused.returncode != 0, says in refused.stderr) == (True, True), refused.stderr


def test_a_picture_is_looked_up(mtmc: CommandLine, redis_client: Client, tmp_path: Path) -> None:
    redis_client.hset(KEYS.identity(7), "name", "Anna")
    picture, text = tmp_path / "van.jpg", tmp_path / "van.txt"
    picture.write_bytes(cv2.imencode(".jpg", np.zeros((40, 20, 3), np.uint8))[1].tobytes())
    text.write_text("a van")
    done = mtmc("identities", "search", str(picture))
    assert done.returncode == 0
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert rows[1:] == ["7 Anna car 4.25 0.82 north south", "5 person -3.50 0.11 gate"]
    content = json.loads(mtmc("identities", "search", str(picture), "--limit", "1", "--json").stdout)
    assert (content["site"], content["mode"], [one["gid"] for one in content["matches"]]) == ("yard", "live", [7])
    for words, says in (
        ([str(text)], "is not a JPEG"),
        ([str(tmp_path / "no.jpg")], "cannot be read"),
        ([str(picture), "--crop-camera", "attic"], "no camera 'attic'"),
    ):
        refused = mtmc("identities", "search", *words)
        assert (refused.returncode != 0, says in refused.stderr) == (True, True), refused.stderr


def test_a_site_that_does_not_run_says_so(mtmc: CommandLine, redis_client: Client, tmp_path: Path) -> None:
    redis_client.delete("mtmc:{yard}:workers")
    picture = tmp_path / "van.jpg"
    picture.write_bytes(cv2.imencode(".jpg", np.zeros((40, 20, 3), np.uint8))[1].tobytes())
    for words in (("cameras", "test", "rtsp://host/"), ("identities", "search", str(picture))):
        done = mtmc(*words)
        assert (done.returncode, "no worker is running" in done.stderr) == (2, True), done.stderr
