"""`/api/v1/floor-plan` over a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from shared.floor_plan import BYTES_MOST
from shared.redis_connection import Client
from tests.integration.lively_site import publish_lively_site
from tests.integration.streamer_site import KEYS, Serving, numbered_jpeg, serving

JPEG = {"Content-Type": "image/jpeg"}
PLAN = numbered_jpeg(1, size=(400, 200))


@pytest.fixture
def streamer(redis_url: str) -> Iterator[Serving]:
    publish_lively_site(redis_url)
    with serving(redis_url) as running:
        yield running


def ask(streamer: Serving, method: str, path: str = "", data: bytes | None = None, **headers: str) -> Any:
    url = f"http://127.0.0.1:{streamer.port}/api/v1/floor-plan{path}"
    return requests.request(method, url, data=data, headers=headers or (JPEG if data is not None else {}), timeout=30)


def test_a_plan_is_stored_shown_and_removed(streamer: Serving) -> None:
    assert (ask(streamer, "GET").json(), ask(streamer, "GET", ".jpg").status_code) == ({"plan": None}, 404)
    answer = ask(streamer, "PUT", "?x=-2.5&y=3&width_m=20", PLAN)
    assert answer.json() == {
        "url": "/api/v1/floor-plan.jpg",
        "x": -2.5,
        "y": 3.0,
        "width_m": 20.0,
        "height_m": 10.0,
    }
    assert ask(streamer, "GET").json() == {"plan": answer.json()}
    picture = ask(streamer, "GET", ".jpg?version=7")
    assert (picture.content, picture.headers["Content-Type"]) == (PLAN, "image/jpeg")
    again = requests.get(picture.url, headers={"If-None-Match": picture.headers["ETag"]}, timeout=30)
    assert again.status_code == 304
    assert [ask(streamer, "DELETE").json()["done"] for _ in range(2)] == ["removed", "nothing"]
    assert ask(streamer, "GET").json() == {"plan": None}


@pytest.mark.parametrize(
    ("path", "data", "headers", "status", "words"),
    [
        ("?width_m=20", b"GIF89a", JPEG, 400, "is not a JPEG"),
        ("?width_m=0", PLAN, JPEG, 400, "width_m"),
        ("?width_m=nan", PLAN, JPEG, 400, "must be a number"),
        ("?x=1", PLAN, JPEG, 400, "width_m"),
        ("?width_m=20&scale=2", PLAN, JPEG, 400, "is not a parameter"),
        ("?width_m=20", PLAN, {"Content-Type": "image/png"}, 415, "image/jpeg"),
        ("?width_m=20", PLAN + bytes(BYTES_MOST), JPEG, 413, "bytes"),
        ("?width_m=20", numbered_jpeg(1, size=(8200, 8)), JPEG, 400, "8200 by 8 pixels"),
    ],
)
def test_what_is_no_plan_is_refused(
    streamer: Serving, path: str, data: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = ask(streamer, "PUT", path, data, **headers)
    assert answer.status_code == status
    assert words in answer.text
    assert ask(streamer, "GET").json() == {"plan": None}


def test_a_damaged_plan_counts_as_none_and_can_be_replaced(streamer: Serving, redis_client: Client) -> None:
    redis_client.set(KEYS.floor_plan, "garbage")
    assert ask(streamer, "GET").json() == {"plan": None}
    assert ask(streamer, "PUT", "?width_m=20", PLAN).status_code == 200
    redis_client.hset(KEYS.floor_plan, "width_m", "-1e400")
    assert ask(streamer, "GET").json() == {"plan": None}
