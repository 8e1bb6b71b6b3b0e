"""`POST /api/v1/identities/search` in a running site: a worker embeds a crop, the aggregator compares it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests

from services.aggregator.search import Search
from services.camera_worker import preparation
from services.streamer.api import asking
from shared.jpeg_size import jpeg_size
from shared.keys import Keys
from shared.redis_connection import Client
from shared.tokens import add_token
from tests.integration.lively_site import fill, publish_lively_site
from tests.integration.streamer_site import SITE, serving, wait_until
from tests.integration.worker_parts import StillSource
from tests.running_hall import RunningHall
from vision.video.source import Frame

JPEG = {"Content-Type": "image/jpeg"}
LEFT, RIGHT = (8, 16, 10, 20), (24, 16, 10, 20)
"""Two objects: centre, width and height in a picture of 32 by 32 pixels."""


class TwoColours(StillSource):
    """The left half of its pictures is red, the right half blue."""

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None:
        frame = super().frame_at(media_time_s, wait_s)
        if frame is None:
            return None
        image = np.zeros((48, 64, 3), np.uint8)
        image[:, :32], image[:, 32:] = (20, 30, 220), (220, 60, 30)
        return Frame(image, frame.time_ns, frame.index, frame.loop)


@pytest.fixture
def hall(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningHall]:
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: TwoColours())
    running = RunningHall(redis_client, redis_url, tmp_path, (LEFT, RIGHT))
    try:
        running.wait_until_healthy("the start")
        yield running
    finally:
        running.stop()


def test_a_crop_finds_the_identity_that_it_shows(hall: RunningHall) -> None:
    url = f"http://127.0.0.1:{hall.pages.port}"

    def crops() -> dict[int, bytes]:
        """Gid → its crop in camera a."""
        found = requests.get(f"{url}/api/v1/cameras/a/crops", timeout=30).json()["crops"]
        shown = {one["gid"]: requests.get(url + one["best"]["url"], timeout=30).content for one in found if one["gid"]}
        return shown if len(shown) == 2 else {}

    def search(jpeg: bytes, query: str = "") -> Any:
        answer = requests.post(f"{url}/api/v1/identities/search{query}", data=jpeg, headers=JPEG, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    for gid, jpeg in wait_until(crops, "crops of two identities").items():
        found = search(jpeg)
        nearest, *others = found["matches"]
        assert found["mode"] == "live"
        assert nearest["identity"]["gid"] == gid
        assert others
        assert nearest["similarity"] > 0.5 > 0.0 > others[0]["similarity"]
        assert nearest["score"] > 0 > others[0]["score"]
        assert search(jpeg, "?crop_camera=a&limit=1")["matches"][0]["identity"]["gid"] == gid
    assert search(jpeg, "?camera=a&present=true&class=person")["matches"][0]["identity"]["class"] == "person"
    assert search(jpeg, "?class=car")["matches"] == []
    damaged = requests.post(
        f"{url}/api/v1/identities/search", data=jpeg[:200] + bytes(30) if len(jpeg) < 200 else jpeg[:200], headers=JPEG,
        timeout=60,
    )  # fmt: skip
    assert (damaged.status_code, damaged.headers["Content-Type"]) == (409, "application/problem+json"), damaged.text
    hall.wait_until_healthy("the searches")
    assert not any(hall.client.xlen(Keys("hall").questions(kind)) for kind in ("embed", "compare"))
    assert not hall.client.keys("*answer*")


@pytest.mark.parametrize(
    ("body", "headers", "query", "status", "says"),
    [
        (b"GIF89a", JPEG, "", 400, "not a JPEG"),
        (b"", JPEG, "", 400, "not a JPEG"),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03", JPEG, "", 400, "65535 by 65535"),
        (bytes(1024 * 1024 + 1), JPEG, "", 413, "1048576 bytes"),
        (b"{}", {"Content-Type": "application/json"}, "", 415, "image/jpeg"),
        (b"", JPEG, "?limit=0", 400, "limit"),
        (b"", JPEG, "?what=1", 400, "what"),
        (None, JPEG, "?crop_camera=attic", 400, "no camera 'attic'"),
        (None, JPEG, "", 503, "no worker is running"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(
    redis_client: Client,
    redis_url: str,
    body: bytes | None,
    headers: dict[str, str],
    query: str,
    status: int,
    says: str,
) -> None:
    picture: bytes = cv2.imencode(".jpg", np.zeros((40, 20, 3), np.uint8))[1].tobytes()
    publish_lively_site(redis_url)
    with serving(redis_url) as streamer:
        url = f"http://127.0.0.1:{streamer.port}/api/v1/identities/search{query}"
        answer = requests.post(url, data=picture if body is None else body, headers=headers, timeout=30)
        chunked = requests.post(url, data=iter([b"x" * 600_000] * 2), headers=JPEG, timeout=30)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text
    assert chunked.status_code in (400, 411, 413), chunked.text


def test_a_viewer_may_search_but_not_try_a_source(
    redis_client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TAKE_S", 0.05)
    publish_lively_site(redis_url)
    fill(redis_client)
    viewer = add_token(redis_client, Keys(SITE), "viewer", "the hall", None)[0].text
    operator = add_token(redis_client, Keys(SITE), "operator", "the office", None)[0].text
    picture: bytes = cv2.imencode(".jpg", np.zeros((40, 20, 3), np.uint8))[1].tobytes()
    with serving(redis_url, published="0.0.0.0") as streamer:
        url = f"http://127.0.0.1:{streamer.port}/api/v1"

        def statuses(token: str, **more: str) -> list[int]:
            headers = {"Authorization": f"Bearer {token}"} | more
            searched = requests.post(f"{url}/identities/search", data=picture, headers=headers | JPEG, timeout=30)
            tried = requests.post(f"{url}/sources/test", json={"source": "rtsp://h/"}, headers=headers, timeout=30)
            return [searched.status_code, tried.status_code]

        assert statuses(viewer) == [503, 403]
        assert statuses(operator) == [503, 503]
        assert statuses("nobody") == [401, 401]
        assert statuses(viewer, Origin="http://elsewhere.example") == [403, 403]


def test_the_size_of_a_jpeg_is_read_from_its_header() -> None:
    for width, height in ((20, 40), (640, 360), (1, 1), (4096, 5)):
        picture = np.zeros((height, width, 3), np.uint8)
        for progressive in (0, 1):
            jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
            assert jpeg_size(jpeg) == (width, height)
            for length in range(len(jpeg)):
                assert jpeg_size(jpeg[:length]) in (None, (width, height))


def test_an_aggregator_on_standby_takes_no_questions(redis_client: Client, redis_url: str) -> None:
    keys, active = Keys("hall"), threading.Event()
    search = Search(redis_client, keys, state=None, owns_site=active.is_set)  # type: ignore[arg-type]
    redis_client.xadd(keys.questions("compare"), {"schema": 1, "id": "0" * 32, "embedder": "x", "payload": b""})
    search.work_off()
    time.sleep(0.3)
    assert redis_client.xlen(keys.questions("compare")) == 1
    active.set()
    search.work_off()
    wait_until(lambda: redis_client.hget(keys.answer("0" * 32), "outcome"), "an answer")
    assert b"no embedding" in redis_client.hget(keys.answer("0" * 32), "reason")
    search.close()
