"""The resources of `/api/v1` over a real Redis."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import pytest

from services.streamer.api import site as site_resource
from services.streamer.app import create_app
from shared.config import SiteConfig
from shared.keys import Keys
from shared.redis_connection import Client, connect
from shared.site import publish_site
from tests.conftest import RedisProcess
from tests.integration.lively_site import (
    OLD_TRACK,
    OTHER_TRACK,
    T0,
    TRACK,
    S,
    event,
    fill,
    identity,
    publish_lively_site,
    sighting,
)
from tests.integration.streamer_site import KEYS, SLOW, Serving, serving, set_status, site_config, wait_until

API = "/api/v1"
THOROUGH = bool(os.environ.get("MTMC_THOROUGH"))
"""Ask for every path after each damage: minutes instead of seconds."""
GARBAGE: tuple[str | bytes, ...] = (b"\xff\xfe\x00", "", "-1", "1e400", "nan", str(2**63), "[]", "{", "[" * 5000, "0")


@pytest.fixture
def streamer(redis_url: str, redis_client: Client) -> Iterator[Serving]:
    publish_lively_site(redis_url)
    fill(redis_client)
    with serving(redis_url) as running:
        yield running


def problem(streamer: Serving, path: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The problem details of a refused request."""
    status, found, body = streamer.get(path, headers)
    assert found["content-type"] == "application/problem+json", body
    assert found["cache-control"] == "no-store"
    content: dict[str, Any] = json.loads(body)
    assert (content["status"], content["type"]) == (status, "about:blank")
    return content


def gids(streamer: Serving, query: str = "") -> list[int]:
    return [one["gid"] for one in streamer.json(f"{API}/identities{query}")["identities"]]


def numbers(streamer: Serving, query: str = "") -> list[str]:
    return [one["id"] for one in streamer.json(f"{API}/events{query}")["events"]]


# -- errors --------------------------------------------------------------------------------------------------------


def test_errors_are_problem_details(streamer: Serving) -> None:
    assert problem(streamer, f"{API}/nothing")["title"] == "Not Found"
    assert "camera 'west'" in problem(streamer, f"{API}/tracks?camera=west")["detail"]
    assert "camera 'west'" in problem(streamer, f"{API}/cameras/west")["detail"]
    assert problem(streamer, f"{API}/identities/6")["status"] == 404
    assert problem(streamer, f"{API}/identities/{10**30}")["status"] == 404
    assert problem(streamer, f"{API}/cameras/north/crops/1/best.jpg")["status"] == 404
    assert problem(streamer, f"{API}/cameras/north/crops/1/worst.jpg")["status"] == 404
    refused = problem(streamer, f"{API}/site", {"Accept": "text/html"})
    assert (refused["status"], "application/json" in refused["detail"]) == (406, True)
    for accepted in ("*/*", "application/*", "text/html, application/json;q=0.1"):
        assert streamer.get(f"{API}/site", {"Accept": accepted})[0] == 200


def test_wrong_parameters_are_named(streamer: Serving) -> None:
    refused = problem(streamer, f"{API}/identities?camra=north&limit=0&since=yesterday&present=yes&limit=1")
    assert refused["status"] == 400
    assert {one["parameter"] for one in refused["errors"]} == {"camra", "limit", "since", "present"}
    assert "RFC 3339" in refused["detail"]
    for path in ("/site?x=1", "/events?cursor=x", "/events?gid=-1", "/events?gid=1.0", "/identities?limit=%201"):
        assert problem(streamer, API + path)["status"] == 400, path


def test_other_methods_are_refused_with_those_that_are_allowed(streamer: Serving) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", streamer.port, timeout=60)
    for method in ("POST", "DELETE", "PUT", "PATCH"):
        connection.request(method, f"{API}/identities/7")
        response = connection.getresponse()
        assert json.loads(response.read())["status"] == response.status == 405
        assert "GET" in response.headers["Allow"]
    connection.request("GET", f"{API}/site", body=b"x" * 40_000)
    response = connection.getresponse()
    assert json.loads(response.read())["status"] == response.status == 413
    connection.close()


def test_an_unexpected_error_is_a_problem_without_details(
    streamer: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(site_resource, "site_of", broken)
    refused = problem(streamer, f"{API}/site")
    assert refused["status"] == 500
    assert "secret" not in json.dumps(refused)
    assert "ZeroDivisionError" in caplog.text


def test_while_redis_is_away_every_resource_says_so_and_then_recovers(redis_process: RedisProcess) -> None:
    publish_lively_site(redis_process.url)
    client = connect(redis_process.url)
    fill(client)
    with serving(redis_process.url) as streamer:
        paths = ("/site", "/identities", "/identities/7", "/events", "/layout", "/skew", "/cameras/north/crops")
        assert {streamer.get(API + path)[0] for path in paths} == {200}
        redis_process.restart()
        redis_process.stop()
        for path in paths:
            wait_until(lambda path=path: streamer.get(API + path)[0] == 503, f"{path} fails")
            assert "Redis" in problem(streamer, API + path)["detail"]
            assert streamer.get(API + path)[1]["retry-after"] == "1"
        redis_process.start()
        for path in paths:
            wait_until(lambda path=path: streamer.get(API + path)[0] == 200, f"{path} answers again")
    client.close()


# -- site, processes, cameras -----------------------------------------------------------------------------------------


def test_the_processes_and_what_is_wrong_with_them(streamer: Serving) -> None:
    services = {one["id"]: one for one in streamer.json(f"{API}/services")["services"]}
    assert services["clock-1"]["ready"]
    ill = services["aggregator-1"]
    assert (ill["ready"], ill["problem"], ill["not_ready_s"], ill["starting"]) == (False, "it is ill", 4.0, False)
    assert ill["metrics_url"] == "http://127.0.0.1:9101/metrics"
    assert 99 < ill["uptime_s"] < 1000
    (worker,) = streamer.json(f"{API}/workers")["workers"]
    assert (worker["id"], worker["pid"], worker["labels"], worker["fps"]) == ("worker-1", 9, ["door"], 9.8)
    assert worker["cameras"] == ["gate", "north", "south"]

    def codes() -> set[str]:
        return {one["code"] for one in streamer.json(f"{API}/problems")["problems"]}

    wait_until(lambda: {"no_clock", "service_not_ready"} <= codes(), "both problems")
    problems = streamer.json(f"{API}/problems")
    site = streamer.json(f"{API}/site")
    assert (problems["well"], site["well"]) == (False, False)
    assert [one["code"] for one in site["problems"]] == [one["code"] for one in problems["problems"]]


def test_workers_with_another_embedder_have_a_problem(streamer: Serving, redis_client: Client) -> None:
    redis_client.hset(KEYS.worker("worker-2"), mapping={"host": "van", "embedder": "ff00", "pid": "?"})
    redis_client.zadd(KEYS.workers, {"worker-2": (redis_client.time()[0] + 3600) * 1000})
    wait_until(lambda: len(streamer.json(f"{API}/workers")["workers"]) == 2, "the second worker")
    first, second = streamer.json(f"{API}/workers")["workers"]
    assert first["problem"] is None
    assert "another embedder" in second["problem"]
    assert (second["pid"], second["advice"] is None) == (None, False)


def test_skew_names_the_cameras_that_are_behind(streamer: Serving) -> None:
    skew = streamer.json(f"{API}/skew")
    assert (skew["tick"], skew["gate"], skew["skew_ticks"], skew["late_entries"]) == (400, 401, 3, 2)
    assert {one["camera"]: one["lag_ticks"] for one in skew["cameras"]} == {"north": 3, "south": 0, "gate": 1}


def test_one_camera_and_its_tracks(streamer: Serving) -> None:
    camera = streamer.json(f"{API}/cameras/north")
    assert (camera["name"], camera["state"]) == ("north", "live")
    assert camera == next(one for one in streamer.json(f"{API}/cameras")["cameras"] if one["name"] == "north") | {
        "picture_age_s": camera["picture_age_s"]
    }
    (tracks,) = streamer.json(f"{API}/tracks?camera=north")["cameras"]
    assert [(one["track_id"], one["gid"]) for one in tracks["tracks"]] == [(str(TRACK), 7), ("5", None)]


# -- identities ----------------------------------------------------------------------------------------------------


def test_identities_are_listed_newest_first_with_their_names(streamer: Serving) -> None:
    first, second, third = streamer.json(f"{API}/identities")["identities"]
    assert (first["gid"], first["name"], first["class"], first["cameras"]) == (8, None, "car", ["south"])
    assert (second["gid"], second["name"], second["present"]) == (7, "Anna", True)
    assert second["position"] == {"x": 12.3, "y": 4.5, "uncertainty": 0.6, "speed": None}
    assert (third["gid"], third["class"], third["position"]) == (5, "person", None)
    assert (third["first_seen"], third["last_seen_ns"]) == ("2023-11-14T22:13:22.000000+00:00", str(T0 + 20 * S))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?camera=south", [8, 7]),
        ("?camera=west", []),
        ("?class=car", [8, 7]),
        ("?class=0", [5]),
        ("?name=anna", [7]),
        ("?name=ann", []),
        ("?name_contains=NN", [7]),
        ("?name_contains=n", [7, 5]),
        ("?name_contains=n&name=Anna", [7]),
        ("?name=blue%20van&class=car", []),
        ("?present=true", [7]),
        ("?present=false&camera=gate", [5]),
        ("?since=2023-11-14T22:13:45Z", [8, 7]),
        ("?since=2024-01-01T00:00:00Z", [7]),  # in view: still seen
        ("?until=2023-11-14T22:13:21Z", [7]),
        ("?since=2023-11-14T23:13:41%2B01:00&until=2023-11-14T22:13:45.5Z", [7]),
        ("?until=0001-01-01T00:00:00%2B23:59", []),
    ],
)
def test_identities_can_be_filtered(streamer: Serving, query: str, expected: list[int]) -> None:
    assert gids(streamer, query) == expected


def test_ten_thousand_identities_are_paged_without_reading_them_all(streamer: Serving, redis_client: Client) -> None:
    with redis_client.pipeline(transaction=False) as pipe:
        for gid in range(10, 10_010):
            identity(pipe, gid, gid % 2, gid, gid + 5, ["north" if gid % 100 else "gate"])
        pipe.execute()
    redis_client.xadd(KEYS.cycles, {"tick": 401, "next_gid": 10_010}, id="401-0")
    streamer.json(f"{API}/identities?limit=1")
    redis_client.config_resetstat()
    page = streamer.json(f"{API}/identities?limit=50")
    reads = {name: int(stats["calls"]) for name, stats in redis_client.info("commandstats").items()}
    assert [one["gid"] for one in page["identities"]] == list(range(10_009, 9_959, -1))
    assert "cmdstat_scan" not in reads
    assert reads["cmdstat_hgetall"] < 100
    identity(redis_client, 10_010, 1, 0, 0, ["north"])
    redis_client.xadd(KEYS.cycles, {"tick": 402, "next_gid": 10_011}, id="402-0")
    assert gids(streamer, "?limit=2") == [10_010, 10_009], "a new one is there at once"
    redis_client.delete(KEYS.identity(10_009))
    assert gids(streamer, "?limit=2") == [10_010, 10_008], "and one that is gone is not"
    seen, pages, cursor = list[int](), 0, ""
    while cursor is not None:
        page = streamer.json(f"{API}/identities?camera=gate&limit=40{cursor and '&cursor=' + cursor}")
        seen += [one["gid"] for one in page["identities"]]
        assert len(page["identities"]) <= 40
        pages, cursor = pages + 1, page["next"]
    assert seen == [*range(10_000, 9, -100), 5]
    assert 3 <= pages <= 8


def test_pages_are_stable_while_identities_come_and_go(streamer: Serving, redis_client: Client) -> None:
    first = streamer.json(f"{API}/identities?limit=1")
    identity(redis_client, 9, 1, 50, 50, ["north"])
    redis_client.xadd(KEYS.cycles, {"tick": 401, "next_gid": 10}, id="401-0")
    redis_client.delete(KEYS.identity(8))
    second = streamer.json(f"{API}/identities?limit=1&cursor={first['next']}")
    third = streamer.json(f"{API}/identities?limit=5&cursor={second['next']}")
    assert [page["identities"][0]["gid"] for page in (first, second, third)] == [8, 7, 5]
    assert third["next"] is None


def test_one_identity_has_its_journey_boxes_crops_and_rivals(streamer: Serving) -> None:
    found = streamer.json(f"{API}/identities/7")
    assert (found["gid"], found["asked"], found["name"], found["class"]) == (7, 7, "Anna", "car")
    journey = [(one["camera"], one["track_id"], one["ended"], one["moved_to"]) for one in found["journey"]]
    assert journey == [
        ("north", str(OLD_TRACK), True, None),
        ("south", str(OTHER_TRACK), False, 8),
        ("north", str(TRACK), False, None),
    ]
    assert found["journey"][2]["decision"] == {
        "score": 8.7,
        "terms": {"appearance": 4.5, "motion": 0.0, "position": 3.9, "class": 0.0, "prior": 0.3},
        "runner_up": 0,
        "margin": 8.7,
    }
    assert [(one["camera"], one["track_id"], one["box_xyxy"]) for one in found["boxes"]] == [
        ("north", str(TRACK), [10.0, 20.0, 110.5, 220.0])
    ]
    assert [one["track_id"] for one in found["crops"]] == [str(TRACK), str(OLD_TRACK)]
    (rival,) = found["rivals"]
    assert (rival["gid"], rival["name"], rival["times"], rival["margin"]) == (5, "blue van", 2, 0.4)
    assert [(one["kind"], one["gid"], one["other_gid"]) for one in found["changes"]] == [("split", 8, 7)]


def test_a_merged_gid_answers_with_the_surviving_identity(streamer: Serving, redis_client: Client) -> None:
    status, headers, body = streamer.get(f"{API}/identities/4")
    found = json.loads(body)
    assert (status, found["gid"], found["asked"]) == (200, 5, 4)
    assert headers["content-location"] == f"{API}/identities/5"
    assert [one["kind"] for one in found["changes"]] == ["merged"]
    merge = {"score": "3.100", "terms": "appearance=3.100", "runner_up": 0, "margin": "3.100"}
    event(redis_client, 8, "merged", 5, 60, other_gid=3, **merge)
    sighting(redis_client, 3, "gate", 33, 52, 53, score="6.600", terms="position=6.600", runner_up=0, margin="6.600")
    sighting(redis_client, 5, "gate", 33, 52, 53, **merge)
    track = streamer.json(f"{API}/identities/5")["journey"][-1]
    assert (track["track_id"], track["merged_from"], track["decision"]["score"]) == ("33", 3, 6.6)
    redis_client.hset(KEYS.aliases, "5", "4")  # a loop, which no aggregator writes
    assert streamer.get(f"{API}/identities/4")[0] in (200, 404)


def test_changes_are_read_once_and_kept_up_to_date(streamer: Serving, redis_client: Client) -> None:
    streamer.json(f"{API}/identities/7")
    redis_client.config_resetstat()
    event(redis_client, 8, "merged", 7, 50, other_gid=6)
    assert [one["kind"] for one in streamer.json(f"{API}/identities/7")["changes"]] == ["split", "merged"]
    redis_client.delete(KEYS.events)
    event(redis_client, 1, "merged", 7, 51, other_gid=3)
    assert [one["other_gid"] for one in streamer.json(f"{API}/identities/7")["changes"]] == [3]


# -- events --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["7-0", "6-0", "5-0", "4-0", "3-0", "2-0", "1-0"]),
        ("?kind=merged&kind=split", ["6-0", "4-0"]),
        ("?gid=7", ["6-0", "3-0", "1-0"]),
        ("?gid=4", ["4-0"]),
        ("?camera=north", ["3-0", "1-0"]),
        ("?since=2023-11-14T22:13:32Z&until=2023-11-14T22:13:40Z", ["5-0", "4-0", "3-0"]),
        ("?kind=nothing", []),
    ],
)
def test_events_can_be_filtered(streamer: Serving, query: str, expected: list[str]) -> None:
    assert numbers(streamer, query) == expected


def test_an_event_says_what_happened_and_why(streamer: Serving) -> None:
    found = streamer.json(f"{API}/events?kind=handover")["events"][0]
    assert (found["gid"], found["camera"], found["from_camera"], found["tick"]) == (7, "south", "north", 120)
    assert (found["time"], found["decision"]) == ("2023-11-14T22:13:32.000000+00:00", None)
    assert streamer.json(f"{API}/events?kind=merged")["events"][0]["decision"]["margin"] == 1.1
    assert streamer.json(f"{API}/events?kind=gap")["events"][0]["counts"] == {"after_seq": 3, "next_seq": 9}


def test_events_are_paged(streamer: Serving, redis_client: Client) -> None:
    for number in range(8, 3_000):
        event(redis_client, number, "appeared" if number % 1000 else "left", number, number)
    for query, expected in (("", list(range(2_999, 0, -1))), ("&kind=left", [2000, 1000, 5])):
        seen, cursor = list[int](), ""
        while cursor is not None:
            page = streamer.json(f"{API}/events?limit=700{query}{cursor and '&cursor=' + cursor}")
            seen += [int(one["id"].partition("-")[0]) for one in page["events"]]
            cursor = page["next"]
        assert seen == expected


def test_the_models_are_named_with_what_they_find(redis_url: str, redis_client: Client) -> None:
    """Numbers of classes are named as soon as a camera runs; one with a detector of its own tells nothing."""
    own = {"name": "south", "source": "rtsp://camera/2", "detector": {"model": "own.onnx"}}
    site = site_config([own, "north"]).model_dump(mode="json", exclude={"redis"})
    detector = {"model": "/models/yolox_s.onnx", "classes": ["car", 0, 90]}
    publish_site(
        redis_client,
        SiteConfig.model_validate({**site, "detector": detector, "preselected": ["detector"]}),
    )
    with serving(redis_url) as streamer:
        set_status(redis_client, "south", class_names='["cat"]', **SLOW)
        models = streamer.json(f"{API}/models")
        assert models["classes"] == ["car", "class0", "class90"]
        set_status(redis_client, "north", class_names='["person", "car"]', **SLOW)
        wait_until(lambda: streamer.json(f"{API}/models")["classes"] == ["car", "person", "class90"], "the names")
    assert models["detector"]["what"].startswith("COCO's 80 classes")
    of_demo = {name: (models[name]["name"], models[name]["of_demo"]) for name in ("detector", "embedder")}
    assert of_demo == {"detector": ("yolox_s", False), "embedder": ("embedder.onnx", False)}
    assert [models[name]["preselected"] for name in ("detector", "embedder")] == [True, False]


# -- geometry ------------------------------------------------------------------------------------------------------


def test_the_layout_is_shown_as_configured_and_as_learned(streamer: Serving) -> None:
    layout = streamer.json(f"{API}/layout")
    assert layout["cameras"] == ["north", "south", "gate"]
    assert layout["overlaps"] == [["north", "south"]]
    assert layout["transitions"] == [{"from": "north", "to": "gate", "min_seconds": 5.0, "max_seconds": 20.0}]
    assert layout["unknown"] == []
    learned = layout["learned"]
    assert (learned["tick"], learned["overlaps"][0]["is_mapped"]) == (390, True)
    assert learned["steps"] == [{"from": "north", "to": "gate", "handovers": 4, "seconds": [6.0, 8.5, 12.0]}]


def test_without_a_layout_every_pair_is_unknown(redis_url: str, redis_client: Client) -> None:
    publish_site(redis_client, site_config(["north", "south"]))
    with serving(redis_url) as streamer:
        layout = streamer.json(f"{API}/layout")
        assert (layout["overlaps"], layout["transitions"], layout["unknown"]) == ([], [], [["north", "south"]])
        assert layout["learned"] is None
        assert streamer.json(f"{API}/identities") == {"identities": [], "next": None}
        assert streamer.json(f"{API}/events") == {"events": [], "next": None}


def test_the_calibration_is_shown(streamer: Serving) -> None:
    found = streamer.json(f"{API}/calibration")
    (north,) = found["cameras"]
    assert (north["camera"], north["width"], north["error_m"], north["intrinsic"]) == ("north", 640, 0.25, None)
    assert north["image_to_ground"][2] == [0.0, 0.001, 1.0]
    assert found["mapped"] == [["north", "south"]]
    assert found["time_offsets"][0]["corrected"] == 0.31


# -- crops ---------------------------------------------------------------------------------------------------------


def test_crops_are_listed_and_served_as_jpeg(streamer: Serving, redis_client: Client) -> None:
    page = streamer.json(f"{API}/cameras/north/crops")
    assert [(one["track_id"], one["gid"]) for one in page["crops"]] == [(str(TRACK), 7), (str(OLD_TRACK), None)]
    assert page["next"] is None
    first = streamer.json(f"{API}/cameras/north/crops?limit=1")
    rest = streamer.json(f"{API}/cameras/north/crops?limit=1&cursor={first['next']}")
    assert [one["track_id"] for one in rest["crops"]] == [str(OLD_TRACK)]
    url = page["crops"][0]["best"]["url"]
    status, headers, jpeg = streamer.get(url)
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "image/jpeg", "private, no-cache")
    assert jpeg == redis_client.hget(KEYS.crops("north"), f"{TRACK}:best")
    assert streamer.get(url, {"If-None-Match": headers["etag"]})[0] == 304
    assert streamer.get(url, {"Accept": "image/*"})[0] == 200
    assert problem(streamer, url, {"Accept": "image/png"})["status"] == 406


def test_without_the_redis_for_pictures_an_identity_has_no_crops(redis_process: RedisProcess, redis_url: str) -> None:
    publish_lively_site(redis_url)
    client = connect(redis_url)
    fill(client)
    client.close()
    with serving(redis_url, frames_url=redis_process.url) as streamer:
        assert streamer.json(f"{API}/identities/7")["crops"] == []
        redis_process.stop()
        assert streamer.json(f"{API}/identities/7")["crops"] is None
        assert problem(streamer, f"{API}/cameras/north/crops")["status"] == 503


# -- garbage -------------------------------------------------------------------------------------------------------

PATHS = (
    "/site", "/problems", "/services", "/workers", "/skew", "/cameras", "/cameras/north", "/tracks", "/identities",
    "/identities?class=car&name=anna", "/identities?since=2023-11-14T22:13:41Z", "/identities/7", "/identities/4",
    "/events", "/events?gid=7&since=2023-11-14T22:13:41Z", "/layout", "/calibration", "/cameras/north/crops",
    f"/cameras/north/crops/{TRACK}/best.jpg",
)  # fmt: skip


def _damages(client: Client, key: str) -> Iterator[Callable[[], object]]:
    kind = client.type(key)
    if kind == b"hash":
        for field in client.hkeys(key):
            yield from (lambda field=field, value=value: client.hset(key, field, value) for value in GARBAGE)
        yield lambda: client.hset(key, b"\xff\xfe", b"\xff")
    elif kind == b"string":
        yield from (lambda value=value: client.set(key, value) for value in GARBAGE)
    elif kind == b"stream":
        ((_, fields),) = client.xrevrange(key, count=1)
        for field in fields:
            for value in GARBAGE:
                yield lambda field=field, value=value: client.xadd(key, fields | {field: value})
        yield lambda: client.xadd(key, {b"\xff": b"\xfe"})
        yield lambda: client.xadd(key, {"kind": "left"}, id=f"{2**64 - 1}-{2**64 - 1}")
    yield lambda: (client.delete(key), client.rpush(key, "x"))


def _not_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.timeout(300)
def test_garbage_in_redis_is_never_an_unexpected_error(
    redis_url: str, redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_lively_site(redis_url)
    fill(redis_client)
    kept = {KEYS.config, KEYS.revision}
    turn = cycle(PATHS)
    with serving(redis_url) as streamer:
        monkeypatch.setattr("services.streamer.site_reader.MAX_AGE_S", 0.0)
        monkeypatch.setattr("shared.identity_list._SCANNED_AGAIN_S", 0.0)
        asked = create_app(streamer.streamer.parts, max_viewers=9).test_client()
        keys = sorted(key.decode() for key in redis_client.scan_iter(Keys("yard").everything))
        for key in [key for key in keys if key not in kept]:
            for damage in list(_damages(redis_client, key)):
                damage()
                for path in PATHS if THOROUGH or redis_client.type(key) == b"list" else islice(turn, 2):
                    answer = asked.get(API + path)
                    assert answer.status_code in (200, 404), (key, path, answer.text)
                    if answer.is_json:
                        json.loads(answer.text, parse_constant=_not_json)
            redis_client.flushall()
            publish_lively_site(redis_url)
            fill(redis_client)


def test_credentials_do_not_appear(redis_url: str, redis_client: Client) -> None:
    source = "rtsp://admin:hunter2@10.0.0.5/stream"
    publish_site(redis_client, site_config([{"name": "gate", "source": source}]))
    set_status(redis_client, "gate", state="down", error=f"cannot open {source}")
    redis_client.xadd(KEYS.tracks("gate"), {"schema": source})
    sighting(redis_client, 7, "gate", 11, 0, 0)
    with serving(redis_url) as streamer:
        for path in (*PATHS, "/openapi.json"):
            assert b"hunter2" not in streamer.get(API + path.replace("north", "gate"))[2], path
