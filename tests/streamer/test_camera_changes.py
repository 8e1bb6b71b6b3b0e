"""Cameras are added, changed and removed over HTTP, each exactly once; nothing of the host can be named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from services.camera_worker import preparation
from services.streamer.api.camera_requests import settings_of
from shared.camera_config import CameraConfig
from shared.camera_settings import change_camera, read_cameras
from shared.operator_commands import OperatorCommand
from shared.redis_connection import Client, connect
from shared.site import publish_site
from shared.tokens import add_token
from tests.integration.streamer_site import KEYS, Serving, publish_picture, serving, set_status, site_config, wait_until
from tests.integration.worker_parts import StillSource
from tests.running_hall import RunningHall

URL = "rtsp://bob:geheim@192.0.2.1:554/s1?channel=2"


@pytest.fixture
def yard(redis_url: str, redis_client: Client) -> Iterator[Serving]:
    north: dict[str, Any] = {"name": "north", "source": URL, "detector": {"min_score": 0.3, "nms_iou": 0.5}}
    publish_site(redis_client, site_config([north, {"name": "file", "source": "/videos/a.mp4", "loop": True}]))
    with serving(redis_url) as running:
        yield running


def ask(streamer: Serving, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{streamer.port}/api/v1{path}"
    answer = requests.request(method, url, json=body, headers=headers, timeout=60)
    assert "geheim" not in answer.text
    assert "geheim" not in str(answer.headers)
    return answer.status_code, answer.json()


def errors(answer: tuple[int, Any]) -> dict[str, str]:
    assert answer[0] == 400, answer
    return {one["parameter"]: one["message"] for one in answer[1]["errors"]}


def notes(client: Client) -> list[tuple[str, str, str, str]]:
    every = [OperatorCommand.decode(fields) for _, fields in client.xrange(KEYS.commands)]
    return [(one.kind, one.camera, one.by, one.settings) for one in every]


def test_a_camera_is_added_once_however_often_the_request_is_sent(yard: Serving, redis_client: Client) -> None:
    body = {"name": "gate", "source": URL, "title": "Gate", "labels": ["roof"], "detector": {"classes": ["car"]}}
    for _ in range(2):
        status, answer = ask(yard, "POST", "/cameras", {**body, "id": "add-1"})
        assert (status, answer["done"], answer["id"]) == (200, "added", "add-1")
        assert answer["settings"]["address"] == "rtsp://192.0.2.1:554"
        assert answer["settings"]["detector"]["classes"] == ["car"]
    added = read_cameras(redis_client, KEYS)["gate"]
    assert (added.source, added.title, added.labels, added.paused) == (URL, "Gate", ("roof",), False)
    assert notes(redis_client) == [("camera_added", "gate", "anybody", "")], "one note, for one event"
    assert ask(yard, "GET", "/commands/add-1")[1]["outcome"] == "done"
    assert ask(yard, "GET", "/commands/add-1")[1]["camera"] == "gate"
    status, answer = ask(yard, "POST", "/cameras", body)
    assert (status, "already has a camera 'gate'" in answer["detail"]) == (409, True)
    status, answer = ask(yard, "PATCH", "/cameras/gate", {"paused": True, "id": "add-1"})
    assert (status, "another request had the id" in answer["detail"]) == (409, True)
    assert len(notes(redis_client)) == 1, "what was refused is not recorded"


def test_settings_are_changed_one_by_one_and_null_is_the_default(yard: Serving, redis_client: Client) -> None:
    status, answer = ask(yard, "PATCH", "/cameras/north", {"title": "North", "detector": {"min_score": None}})
    assert (status, answer["done"], answer["settings"]["title"]) == (200, "changed", "North")
    changed = read_cameras(redis_client, KEYS)["north"]
    assert changed.source == URL
    assert changed.detector is not None
    assert (changed.detector.min_score, changed.detector.nms_iou) == (None, 0.5)
    assert ask(yard, "PATCH", "/cameras/north", {"title": "North"})[1]["done"] == "nothing"
    assert ask(yard, "PATCH", "/cameras/north", {"title": None, "detector": None})[1]["settings"]["title"] is None
    assert ask(yard, "PATCH", "/cameras/file", {"loop": None})[1]["settings"]["address"] == "file"
    publish_picture(redis_client, "north", 1, b"old")
    for paused in (True, False):
        assert ask(yard, "PATCH", "/cameras/north", {"paused": paused})[1]["settings"]["paused"] is paused
    assert not redis_client.exists(KEYS.frames("north")), "the picture is from before the pause"
    assert notes(redis_client) == [
        ("camera_changed", "north", "anybody", "title detector"),
        ("camera_changed", "north", "anybody", "title detector"),
        ("camera_changed", "file", "anybody", "loop"),
        ("camera_paused", "north", "anybody", ""),
        ("camera_resumed", "north", "anybody", ""),
    ]
    assert ask(yard, "GET", "/cameras/north/settings")[1]["detector"]["min_score"] is None
    assert ask(yard, "PATCH", "/cameras/nobody", {"paused": True})[0] == 404
    assert ask(yard, "GET", "/cameras/nobody/settings")[0] == 404


def test_a_mask_is_drawn_and_deleted(yard: Serving, redis_client: Client) -> None:
    corner = [[0, 0], [0.25, 0], [0, 0.5]]
    status, answer = ask(yard, "PUT", "/cameras/north/mask", {"polygons": [corner], "id": "mask-1"})
    assert (status, answer["done"], answer["settings"]["mask_polygons"]) == (200, "changed", [corner])
    assert read_cameras(redis_client, KEYS)["north"].mask_polygons == (((0, 0), (0.25, 0), (0, 0.5)),)
    assert ask(yard, "PUT", "/cameras/north/mask", {"polygons": [corner]})[1]["done"] == "nothing"
    assert (
        "covers"
        in errors(ask(yard, "PUT", "/cameras/north/mask", {"polygons": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}))[
            "mask_polygons"
        ]
    )
    assert errors(ask(yard, "PUT", "/cameras/north/mask", {"polygons": []}))
    assert ask(yard, "PUT", "/cameras/nobody/mask", {"polygons": [corner]})[0] == 404
    assert ask(yard, "DELETE", "/cameras/north/mask?id=mask-2")[1]["settings"]["mask_polygons"] == []
    assert read_cameras(redis_client, KEYS)["north"].mask_polygons == ()
    assert [note[0::3] for note in notes(redis_client)] == [("camera_changed", "mask_polygons")] * 2


CORNERS = [
    {"at": [0, 0], "metres": [0, 0]},
    {"at": [1, 0], "metres": [6.4, 0]},
    {"at": [1, 1], "metres": [6.4, 7.2]},
    {"at": [0, 1], "metres": [0, 7.2]},
    {"at": [0.5, 0.5], "metres": [3.2, 3.5]},
]


def test_a_camera_is_calibrated_after_a_trial(yard: Serving, redis_client: Client) -> None:
    path = "/cameras/north/calibration"
    status, answer = ask(yard, "PUT", path, {"points": CORNERS})
    assert (status, "give width and height" in answer["detail"]) == (409, True)
    set_status(redis_client, "north", width=640, height=360)
    body = {"points": CORNERS, "id": "ground-1"}
    wait_until(lambda: ask(yard, "PUT", f"{path}?try=true", body)[0] == 200, "the size of the picture")
    status, tried = ask(yard, "PUT", f"{path}?try=true", body)
    assert (status, tried["done"], tried["id"], tried["width"], tried["height"]) == (200, "tried", None, 640, 360)
    errors_m = [one["error_m"] for one in tried["points"]]
    assert errors_m.index(max(errors_m)) == 4
    assert 0.02 < max(errors_m) < 0.15
    assert 1 < tried["points"][4]["error_px"] < 8
    assert read_cameras(redis_client, KEYS)["north"].calibration_points is None, "it was only tried"
    for _ in range(2):
        status, answer = ask(yard, "PUT", path, body)
        assert (status, answer["done"], answer["id"]) == (200, "changed", "ground-1")
    assert answer["image_to_ground"] == tried["image_to_ground"]
    (shown,) = ask(yard, "GET", "/calibration")[1]["cameras"]
    assert (shown["camera"], shown["width"]) == ("north", 640)
    assert ask(yard, "GET", "/cameras/north/settings")[1]["calibration_points"]["points"][1]["at"] == [1, 0]
    assert ask(yard, "DELETE", path)[1]["settings"]["calibration_points"] is None
    assert ask(yard, "GET", "/calibration")[1]["cameras"] == []
    on_a_line = [{"at": [x / 10, x / 10], "metres": [x, x]} for x in range(5)]
    assert "on a line" in errors(ask(yard, "PUT", path, {"points": on_a_line}))["points"]
    wild = [*CORNERS[:4], {"at": [0.5, 0.5], "metres": [90, 3.5]}]
    assert "do not fit one plane" in errors(ask(yard, "PUT", f"{path}?try=true", {"points": wild}))["points"]
    assert errors(ask(yard, "PUT", path, {"points": CORNERS[:3]}))
    assert ask(yard, "PUT", "/cameras/nobody/calibration", body)[0] == 404
    assert [note[0::3] for note in notes(redis_client)] == [("camera_changed", "calibration_points")] * 2


def test_cameras_are_removed_to_the_last_one(yard: Serving, redis_client: Client) -> None:
    publish_picture(redis_client, "north", 1, b"old")
    for camera in ("north", "file"):
        for _ in range(2):
            status, answer = ask(yard, "DELETE", f"/cameras/{camera}?id=gone-{camera}")
            assert (status, answer["done"], answer["settings"]) == (200, "removed", None)
    assert ask(yard, "DELETE", "/cameras/north")[0] == 404
    assert not redis_client.exists(KEYS.cameras, KEYS.frames("north"))
    assert [note[:2] for note in notes(redis_client)] == [("camera_removed", "north"), ("camera_removed", "file")]
    assert ask(yard, "DELETE", "/cameras/north?x=1")[0] == 400


@pytest.mark.parametrize(
    ("wrong", "place", "says"),
    [
        ({"source": "/etc/passwd"}, "source", "must be the URL of a stream"),
        ({"source": "/dev/video0"}, "source", "must be the URL of a stream"),
        ({"source": "file:///etc/passwd"}, "source", "must be the URL of a stream"),
        ({"source": "rtsp://${USER}@camera/1"}, "source", "cannot be sent over HTTP"),
        ({"source": "http://evil/${file:/etc/passwd}"}, "source", "cannot be sent over HTTP"),
        ({"ffmpeg_options": {"user_agent": "${HOME}"}}, "ffmpeg_options.user_agent", "cannot be sent over HTTP"),
        ({"ffmpeg_options": {"i": "/etc/passwd"}}, "ffmpeg_options", ""),
        ({"mask": "/etc/passwd"}, "mask", "is a file of the host"),
        ({"calibration": "/etc/passwd"}, "calibration", "is a file of the host"),
        ({"detector": {"model": "/m.onnx"}}, "detector.model", "cannot be named over HTTP"),
        ({"detector": {"min_score": 2}}, "detector.min_score", "less than or equal to 1"),
        ({"detector": 5}, "detector", "must be a mapping of settings"),
        ({"secrets": ["x"]}, "secrets", "there is no such setting"),
        ({"titel": "x"}, "titel", "there is no such setting"),
        ({"fps": "fast"}, "fps", "valid number"),
        ({"labels": "roof"}, "labels", "must be a list"),
        ({"id": "a b"}, "id", "letters, digits"),
        ({"mask_polygons": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, "mask_polygons", "covers the whole picture"),
        ({"mask_polygons": [[[0, 0], [1, 0]]]}, "mask_polygons.0", "at least three corners"),
        ({"mask_polygons": [[[0, 0], [1, 0], [1, 2]]]}, "mask_polygons.0.2.1", "less than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused_in_the_words_of_the_site_file(
    yard: Serving, redis_client: Client, wrong: dict[str, Any], place: str, says: str
) -> None:
    before = redis_client.hgetall(KEYS.cameras)
    for answer in (
        ask(yard, "POST", "/cameras", {"name": "gate", "source": "rtsp://camera/1", **wrong}),
        ask(yard, "PATCH", "/cameras/north", wrong),
    ):
        found = errors(answer)
        (key,) = [name for name in found if name.startswith(place)]
        assert says in found[key]
    assert redis_client.hgetall(KEYS.cameras) == before
    assert notes(redis_client) == []


def test_a_camera_needs_a_name_and_a_source_and_keeps_its_name(yard: Serving) -> None:
    assert errors(ask(yard, "POST", "/cameras", {})) == {"name": "is required", "source": "is required"}
    assert "letters, digits" in errors(ask(yard, "POST", "/cameras", {"name": "a b", "source": URL}))["name"]
    assert "keeps its name" in errors(ask(yard, "PATCH", "/cameras/north", {"name": "south"}))["name"]
    assert errors(ask(yard, "PATCH", "/cameras/north", {"source": None})) == {"source": "is required"}
    assert "body" in errors(ask(yard, "POST", "/cameras", [1]))


def test_only_operators_of_this_page_change_cameras_and_are_named(redis_url: str, redis_client: Client) -> None:
    publish_site(redis_client, site_config([{"name": "north", "source": URL}]))
    operator, viewer = (add_token(redis_client, KEYS, role, role, None)[0].text for role in ("operator", "viewer"))
    with serving(redis_url, published="0.0.0.0") as closed:

        def pause(token: str, **headers: str) -> tuple[int, Any]:
            return ask(closed, "PATCH", "/cameras/north", {"paused": True}, Authorization=f"Bearer {token}", **headers)

        assert ask(closed, "PATCH", "/cameras/north", {"paused": True})[0] == 401
        assert pause(viewer)[0] == 403
        assert pause(operator, Origin="https://evil.example")[0] == 403
        assert notes(redis_client) == []
        assert pause(operator)[1]["settings"]["address"] == "rtsp://192.0.2.1:554"
        (note,) = notes(redis_client)
        assert note[:2] == ("camera_paused", "north")
        assert note[2].startswith("operator")
        shown = ask(closed, "GET", "/cameras/north/settings", Authorization=f"Bearer {viewer}")[1]
        assert shown["address"] is None


def test_in_virtual_time_cameras_cannot_be_changed(redis_url: str, redis_client: Client) -> None:
    config = site_config(["north"])
    publish_site(redis_client, config.model_copy(update={"clock": config.clock.model_copy(update={"mode": "virtual"})}))
    with serving(redis_url) as streamer:
        status, answer = ask(streamer, "DELETE", "/cameras/north")
    assert (status, "virtual time" in answer["detail"]) == (409, True)


def test_a_change_that_cannot_be_recorded_is_not_made(yard: Serving, redis_client: Client) -> None:
    for number in range(1_000):
        redis_client.xadd(KEYS.commands, {"waiting": number})
    status, answer = ask(yard, "DELETE", "/cameras/north")
    assert (status, "wait for the aggregator" in answer["detail"]) == (409, True)
    assert "north" in read_cameras(redis_client, KEYS)


def test_of_two_changes_at_once_none_is_lost(yard: Serving, redis_url: str, redis_client: Client) -> None:
    other = connect(redis_url)

    def meanwhile(before: Any) -> Any:
        if before.title is None:  # at the first attempt, another change comes first
            assert ask(yard, "PATCH", "/cameras/north", {"title": "North"})[0] == 200
        return before.model_copy(update={"paused": True})

    found = change_camera(other, KEYS, "north", meanwhile)
    other.close()
    assert found is not None
    now = read_cameras(redis_client, KEYS)["north"]
    assert (now.title, now.paused) == ("North", True)


def test_a_mask_that_is_drawn_over_an_object_hides_it_in_a_running_site(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: StillSource())
    hall = RunningHall(redis_client, redis_url, tmp_path, cameras=("a",))
    try:

        def tracks() -> int | None:
            found = ask(hall.pages, "GET", "/cameras/a")[1]
            return found["live_tracks"] if found["state"] == "live" else None

        wait_until(lambda: hall.errors or tracks() == 1, "the object")
        middle = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]
        assert ask(hall.pages, "PUT", "/cameras/a/mask", {"polygons": [middle]})[1]["done"] == "changed"
        wait_until(lambda: hall.errors or tracks() == 0, "no object")
        assert ask(hall.pages, "DELETE", "/cameras/a/mask")[1]["done"] == "changed"
        wait_until(lambda: hall.errors or tracks() == 1, "the object again")
        assert hall.errors == []
        events = ask(hall.pages, "GET", "/events?kind=camera_changed")[1]["events"]
        assert [(one["camera"], one["by"], one["gid"]) for one in events] == [("a", "anybody", None)] * 2
    finally:
        hall.stop()


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("rtsp://bob:geheim@camera:554/1", "rtsp://camera:554"),
        ("rtsp://bob:ge@he/im@camera/1", "rtsp://***"),
        ("http://camera/video?user=bob&password=geheim", "http://camera"),
        ("http://camera?password=geheim@home", "http://***"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443"),
        ("/videos/geheim.mp4", "file"),
        ("/dev/video0", "device"),
    ],
)
def test_the_address_of_a_source_shows_no_password(source: str, address: str) -> None:
    shown = settings_of(CameraConfig(name="a", source=source), with_address=True)
    assert shown.address == address
    assert settings_of(CameraConfig(name="a", source=source), with_address=False).address is None
