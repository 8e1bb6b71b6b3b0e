"""`POST /api/v1/sources/test` in a running site: a real worker tries real servers."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import requests
from structlog.testing import capture_logs

from services.streamer.api import asking, sources
from shared.keys import Keys
from shared.questions import NotTaken, ask
from shared.redis_connection import Client
from tests import rtsp_server
from tests.http_server import Exchange, serving_http
from tests.integration.lively_site import publish_lively_site
from tests.integration.streamer_site import serving
from tests.running_hall import RunningHall, still_hall
from tests.stopwatch import pulse

SECRET = "geh3im+Wort"  # noqa: S105
PICTURE = cv2.imencode(".jpg", np.full((720, 1280, 3), (40, 160, 90), np.uint8))[1].tobytes()


@pytest.fixture
def hall(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningHall]:
    with still_hall(redis_client, redis_url, tmp_path, monkeypatch) as running:
        yield running


def tried(hall: RunningHall, source: str, **more: Any) -> Any:
    url = f"http://127.0.0.1:{hall.pages.port}/api/v1/sources/test"
    answer = requests.post(url, json={"source": source, **more}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text
    return answer.json()


def camera(exchange: Exchange) -> None:
    """Serves /video to those who log in, and pages, errors and silence under other paths."""
    if exchange.path.startswith("/hang"):
        exchange.wait(60)
    elif exchange.path.startswith("/page"):
        exchange.begin("text/html")
        exchange.send(b"<html>the secret page of the intranet</html>")
    elif exchange.path == "/text":
        exchange.begin("text/plain", Content_Length="30")
        exchange.send(b"root:x:0:0:the secret file....")
    elif (
        "Authorization" not in exchange.headers
        or "wrong" in base64.b64decode(exchange.headers["Authorization"].split()[1]).decode()
    ):
        exchange.begin(None, 401, WWW_Authenticate='Basic realm="camera"')
    else:
        exchange.begin("multipart/x-mixed-replace; boundary=x")
        while exchange.wait(0.05):
            exchange.send(b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n")


def test_a_camera_shows_its_first_picture_or_the_reason_and_no_password_gets_anywhere(
    hall: RunningHall, redis_client: Client
) -> None:
    with socket.socket() as unused, serving_http(camera) as address, capture_logs() as logs:
        unused.bind(("127.0.0.1", 0))
        host = address.removeprefix("http://")
        sources = {
            "works": f"http://admin:{SECRET}@{host}/video?token={SECRET}",
            "wrong password": f"http://admin:wrong{SECRET}@{host}/video",
            "no password": f"{address}/video",
            "a page": f"{address}/page?{SECRET}",
            "a text": f"{address}/text",
            "refused": f"rtsp://admin:{SECRET}@127.0.0.1:{unused.getsockname()[1]}/{SECRET}",
        }
        with ThreadPoolExecutor(2) as pool:
            found = dict(zip(sources, pool.map(lambda source: tried(hall, source), sources.values()), strict=True))
    works = found.pop("works")
    assert (works["works"], works["reason"], works["kind"], works["codec"]) == (True, None, "stream", "mjpeg")
    assert (works["width"], works["height"]) == (1280, 720)
    assert 1 <= works["fps"] <= 21
    kind, _, packed = works["picture"].partition(",")
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(packed), np.uint8), cv2.IMREAD_COLOR)
    assert kind == "data:image/jpeg;base64"
    assert picture is not None
    assert picture.shape == (360, 640, 3)
    assert np.abs(picture.mean((0, 1)) - (40, 160, 90)).max() < 10
    assert [(one["works"], one["picture"]) for one in found.values()] == [(False, None)] * 5
    says = {"wrong password": "401", "no password": "401", "a page": "web page", "a text": "video", "refused": "port"}
    assert {name: found[name]["reason"] for name, word in says.items() if word not in found[name]["reason"]} == {}
    assert "secret" not in json.dumps(found), "what else is on the network is not shown"
    assert logs
    assert SECRET not in str(logs)
    assert not redis_client.xlen(Keys("hall").questions("try_source"))
    assert not redis_client.keys("*answer*")
    everything = [redis_client.dump(key) for key in redis_client.keys("*")]
    assert not [one for one in everything if one and SECRET.encode() in one]


def test_a_source_that_hangs_holds_up_neither_the_ticks_nor_another_trial(hall: RunningHall) -> None:
    with serving_http(camera) as address, ThreadPoolExecutor(2) as pool:
        hanging = [pool.submit(tried, hall, f"{address}/hang") for _ in range(2)]
        stalls = pulse()
        first, longest_s, moved_at = hall.progress()["a"], 0.0, time.monotonic()
        while not all(one.done() for one in hanging):
            time.sleep(0.01)
            if (now := hall.progress()["a"]) != first:
                first, moved_at = now, time.monotonic()
            now_s = time.monotonic()
            longest_s = max(longest_s, now_s - moved_at - stalls.stalled_s(moved_at, now_s))
        assert ["did not answer within 5 s" in one.result()["reason"] for one in hanging] == [True, True]
    assert longest_s < 4, "a trial takes 6 s"
    hall.wait_until_healthy("the trials")


@pytest.mark.skipif(not rtsp_server.is_available(), reason="GStreamer's RTSP server is not installed")
def test_a_stream_over_rtsp_is_tried_with_its_settings(hall: RunningHall) -> None:
    with rtsp_server.serving_rtsp(login=("admin", "geheim")) as server:
        found = tried(hall, server.url("/cam", "admin:geheim"), transport="tcp")
        assert (found["works"], found["kind"], found["codec"]) == (True, "stream", "h264"), found
        assert (found["width"], found["height"]) == (320, 240)
        assert "401" in tried(hall, server.url("/cam", "admin:falsch"))["reason"]


def test_a_playlist_cannot_show_a_file_of_the_worker(hall: RunningHall, tmp_path: Path) -> None:
    file = tmp_path / "part.ts"
    with av.open(str(file), "w") as output:
        stream = output.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(50):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "bgr24")))
        output.mux(stream.encode(None))

    def playlist(exchange: Exchange) -> None:
        if exchange.path == "/part.ts":
            exchange.begin("video/mp2t")
            exchange.send(file.read_bytes())
            return
        part = f"file://{file}" if "file" in exchange.path else "/part.ts"
        exchange.begin("application/vnd.apple.mpegurl")
        exchange.send(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{part}\n#EXT-X-ENDLIST\n".encode())

    with serving_http(playlist) as address, ThreadPoolExecutor(2) as pool:
        fetched, local = pool.map(lambda name: tried(hall, f"{address}/{name}.m3u8"), ("fetched", "file"))
    assert (fetched["width"], bool(fetched["picture"])) == (64, True), fetched
    assert (local["works"], local["picture"]) == (False, None), local


def test_a_worker_with_the_labels_of_the_camera_tries_it(hall: RunningHall) -> None:
    url = f"http://127.0.0.1:{hall.pages.port}/api/v1/sources/test"
    refused = requests.post(url, json={"source": "rtsp://127.0.0.1:1/", "labels": ["door"]}, timeout=60)
    assert (refused.status_code, "no live worker has the label door" in refused.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("/etc/passwd", "not the URL of a stream"),
        ("recording.mp4", "mtmc cameras add"),
        ("/dev/video0", "not the URL of a stream"),
        ("device:0", "not the URL of a stream"),
        ("0", "not the URL of a stream"),
        ("file:///etc/passwd", "not the URL of a stream"),
        ("FILE:///etc/passwd", "not the URL of a stream"),
        ("concat:/etc/passwd", "not the URL of a stream"),
        ("/x/rtsp://host", "not the URL of a stream"),
        ("gopher://host/", "not the URL of a stream"),
        ("rtsp://", "no host"),
        ("rtsp://admin:${PASSWORD}@host/", "variables"),
    ],
)
def test_only_streams_are_accepted(redis_client: Client, redis_url: str, source: str, says: str) -> None:
    publish_lively_site(redis_url)
    with serving(redis_url) as streamer:
        url = f"http://127.0.0.1:{streamer.port}/api/v1/sources/test"
        answer = requests.post(url, json={"source": source}, timeout=30)
    assert (answer.status_code, says in answer.json()["detail"]) == (400, True), answer.text
    assert answer.json()["errors"][0]["parameter"] == "source"


def take_a_question(client: Client, keys: Keys) -> None:
    """Takes a question like a worker that dies then."""
    stream = keys.questions("try_source")
    while not (entries := client.xrange(stream)):
        time.sleep(0.01)
    ((entry_id, fields),) = entries
    assert client.xdel(stream, entry_id)
    client.hset(keys.answer(fields[b"id"].decode()), "taken_by", "worker-1")


def test_without_a_worker_or_an_answer_the_page_says_so(
    redis_client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TAKE_S", 0.1)
    monkeypatch.setattr(sources, "LONGEST_S", 0.2)
    publish_lively_site(redis_url)
    with serving(redis_url) as streamer:
        url = f"http://127.0.0.1:{streamer.port}/api/v1/sources/test"
        body = {"source": f"rtsp://admin:{SECRET}@host/"}
        nobody = requests.post(url, json=body, timeout=30)
        redis_client.zadd(Keys("yard").workers, {"worker-1": (redis_client.time()[0] + 3600) * 1000})
        time.sleep(0.5)  # The state of the site is read again after 0.4 s.
        busy = requests.post(url, json=body, timeout=30)
        dying = threading.Thread(target=take_a_question, args=(redis_client, Keys("yard")))
        dying.start()
        monkeypatch.setattr(asking, "TAKE_S", 60)
        dead = requests.post(url, json=body, timeout=30)
        dying.join()
    assert (nobody.status_code, "no worker is running" in nobody.json()["detail"]) == (503, True)
    assert (busy.status_code, "every worker is busy" in busy.json()["detail"]) == (503, True)
    assert (dead.status_code, "worker-1 has taken the request" in dead.json()["detail"]) == (504, True), dead.text
    assert not [key for key in redis_client.keys("*") if SECRET.encode() in (redis_client.dump(key) or b"")]


def test_questions_that_nobody_takes_are_bounded(redis_client: Client) -> None:
    def give_up() -> None:
        with pytest.raises(NotTaken):
            ask(redis_client, Keys("yard"), "try_source", {}, take_s=5, answer_s=0)

    askers = [threading.Thread(target=give_up) for _ in range(16)]
    for one in askers:
        one.start()
    while redis_client.xlen(Keys("yard").questions("try_source")) < 16:
        time.sleep(0.01)
    with pytest.raises(NotTaken, match="16 requests"):
        ask(redis_client, Keys("yard"), "try_source", {}, take_s=60, answer_s=0)
    for one in askers:
        one.join()
    assert not redis_client.xlen(Keys("yard").questions("try_source"))
