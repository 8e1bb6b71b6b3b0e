from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest

from services.streamer import connections
from services.streamer.app import Parts, create_app
from services.streamer.http_server import listen
from shared.camera_settings import add_camera, read_cameras, remove_cameras, set_paused
from shared.errors import MtmcError
from shared.gate import VIEWER_MS
from shared.redis_connection import Client, connect
from tests.conftest import RedisProcess
from tests.integration.streamer_site import (
    KEYS,
    SITE,
    SLOW,
    WAIT_S,
    Serving,
    Viewer,
    bulky_jpeg,
    numbered_jpeg,
    publish,
    publish_picture,
    serving,
    set_status,
    track_entry,
    wait_until,
)
from tests.slow_link import SlowLink
from tests.stopwatch import Stopwatch, pulse

LOGIN = "admin:p4ss%2Fw@rd-hunter2"
SECRETS = (b"p4ss", b"hunter2", b"admin:")


@pytest.fixture
def streamer(redis_url: str, redis_client: Client) -> Iterator[Serving]:
    """A streamer of a site with the cameras north and south."""
    publish(redis_url, ["north", "south"])
    with serving(redis_url) as running:
        yield running


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Width and height; fails if it is not a picture."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.shape[1], image.shape[0]


def begin(client: Client, viewer: Viewer, camera: str = "north", tick: int = 0) -> None:
    """Publishes one picture, and reads the stream up to it."""
    set_status(client, camera)
    publish_picture(client, camera, tick, numbered_jpeg(tick))
    assert any(part.tick == tick for part in viewer.parts())


def test_a_viewer_gets_every_picture_once_and_in_order(streamer: Serving, redis_client: Client) -> None:
    viewer = streamer.watch("north")
    begin(redis_client, viewer)
    for tick in range(1, 21):
        jpeg = numbered_jpeg(tick)
        publish_picture(redis_client, "north", tick, jpeg)
        part = viewer.picture()
        assert (part.tick, part.jpeg) == (tick, jpeg)


def test_a_small_picture_does_not_wait_for_the_next_one(streamer: Serving, redis_client: Client) -> None:
    viewer = streamer.watch("north")
    begin(redis_client, viewer)
    publish_picture(redis_client, "north", 1, bulky_jpeg(1, 100))
    watch = Stopwatch()
    assert viewer.picture().tick == 1
    assert watch.within(1.5), "it came when the camera counted as stalled"


def test_a_slow_viewer_skips_pictures_and_does_not_delay_others(streamer: Serving, redis_client: Client) -> None:
    fast, slow = streamer.watch("north"), streamer.watch("north", receive_bytes=8192)
    begin(redis_client, fast)
    begin(redis_client, slow)
    memory_before = psutil.Process().memory_info().rss
    last, size = 150, 200_000
    delays_s = []
    for tick in range(1, last + 1):
        published_at = time.monotonic()
        publish_picture(redis_client, "north", tick, bulky_jpeg(tick, size))
        while (fast.part().tick or 0) < tick:
            pass
        delays_s.append(time.monotonic() - published_at)
    grown = psutil.Process().memory_info().rss - memory_before
    assert sorted(delays_s)[len(delays_s) // 2] < 0.2
    assert grown < last * size / 2, "what the slow viewer does not read is kept"
    ticks = []
    for part in slow.parts():
        ticks.append(part.tick or 0)
        if part.tick == last:
            break
    assert all(earlier < later for earlier, later in pairwise(tick for tick in ticks if tick))
    assert len(ticks) < last / 3
    skipped = streamer.metric("mtmc_streamer_frames_skipped_total", 'camera="north"', 'reason="slow_viewer"')
    assert skipped >= last - len(ticks)


def test_a_viewer_that_was_slow_gets_the_newest_picture_and_no_backlog(streamer: Serving, redis_client: Client) -> None:
    fast, slow = streamer.watch("north"), streamer.watch("north", receive_bytes=8192)
    begin(redis_client, fast)
    begin(redis_client, slow)
    last = 60
    for tick in range(1, last + 1):
        publish_picture(redis_client, "north", tick, bulky_jpeg(tick, 30_000))
        while (fast.part().tick or 0) < tick:
            pass
    ticks = [tick for tick in iter(lambda: slow.part().tick, last) if tick]
    assert len(ticks) <= 4, "old pictures waited in the kernel"


def test_two_viewers_get_the_same_bytes_and_redis_is_read_once(streamer: Serving, redis_client: Client) -> None:
    viewers = [streamer.watch("north"), streamer.watch("north")]
    begin(redis_client, viewers[0])
    while viewers[1].part().tick is None:
        pass
    sent_before = redis_client.info("stats")["total_net_output_bytes"]
    jpegs = [bulky_jpeg(tick, 300_000) for tick in range(1, 11)]
    for tick, jpeg in enumerate(jpegs, 1):
        publish_picture(redis_client, "north", tick, jpeg)
        assert [viewer.picture().jpeg for viewer in viewers] == [jpeg, jpeg]
    sent = redis_client.info("stats")["total_net_output_bytes"] - sent_before
    assert sum(map(len, jpegs)) <= sent < 1.3 * sum(map(len, jpegs))
    assert streamer.metric("mtmc_streamer_frames_fetched_total", 'camera="north"') == 11


def test_without_viewers_nothing_is_fetched(streamer: Serving, redis_client: Client) -> None:
    viewer = streamer.watch("north")
    begin(redis_client, viewer)
    viewer.close()
    wait_until(lambda: streamer.metric("mtmc_streamer_viewers", 'camera="north"') == 0, "the viewer is gone")

    def reads() -> int:
        return int(redis_client.info("commandstats").get("cmdstat_xread", {"calls": 0})["calls"])

    def quiet() -> bool:
        before = reads()
        time.sleep(0.3)
        return reads() == before

    wait_until(quiet, "no more reads")
    sent_before = redis_client.info("stats")["total_net_output_bytes"]
    for tick in range(1, 6):
        publish_picture(redis_client, "north", tick, bulky_jpeg(tick, 200_000))
    assert quiet()
    assert redis_client.info("stats")["total_net_output_bytes"] - sent_before < 100_000


@pytest.mark.parametrize("path", ["/west.mjpg", "/west.jpg", "/nothing"])
def test_an_unknown_path_is_404(streamer: Serving, path: str) -> None:
    assert streamer.get(path)[0] == 404


def test_a_single_request_gets_the_newest_picture(streamer: Serving, redis_client: Client) -> None:
    set_status(redis_client, "north")
    jpegs = [numbered_jpeg(7), numbered_jpeg(8)]
    publish_picture(redis_client, "north", 7, jpegs[0])
    status, headers, body = streamer.get("/north.jpg")
    assert (status, headers["content-type"], body) == (200, "image/jpeg", jpegs[0])
    assert (headers["x-mtmc-state"], headers["x-mtmc-tick"]) == ("live", "7")
    assert headers["cache-control"] == "no-store"
    assert streamer.get("/north.jpg", {"If-None-Match": headers["etag"]})[0] == 304
    publish_picture(redis_client, "north", 8, jpegs[1])
    wait_until(lambda: streamer.get("/north.jpg", {"If-None-Match": headers["etag"]})[2] == jpegs[1], "the new one")


def test_a_camera_without_a_picture_shows_that_it_waits(streamer: Serving) -> None:
    status, headers, body = streamer.get("/north.jpg")
    assert (status, headers["x-mtmc-state"]) == (200, "waiting")
    assert size_of(body) == (640, 360)
    part = streamer.watch("north").part()
    assert part.tick is None
    assert part.jpeg == body


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"state": "down", "error": "no route to host"}, "down"),
        ({"state": "ended"}, "ended"),
        ({"state": "released"}, "waiting"),
        ({"state": "starting"}, "starting"),
    ],
)
def test_the_reason_for_missing_pictures_is_shown_instead_of_them(
    streamer: Serving, redis_client: Client, fields: dict[str, str], state: str
) -> None:
    viewer = streamer.watch("north")
    begin(redis_client, viewer)
    set_status(redis_client, "north", **fields)
    part = viewer.part()
    assert part.tick is None
    assert size_of(part.jpeg) == (320, 180)
    assert streamer.get("/north.jpg")[1]["x-mtmc-state"] == state


@pytest.mark.parametrize("state", ["moving", "moved"])
def test_a_camera_that_moves_or_was_moved_keeps_its_pictures(
    streamer: Serving, redis_client: Client, state: str
) -> None:
    viewer = streamer.watch("north")
    begin(redis_client, viewer)
    set_status(redis_client, "north", state=state)
    wait_until(lambda: streamer.get("/north.jpg")[1]["x-mtmc-state"] == state, state)
    for tick in range(1, 6):
        publish_picture(redis_client, "north", tick, numbered_jpeg(tick))
        assert viewer.picture().tick == tick
        time.sleep(0.5)


def test_a_paused_camera_says_so_before_its_worker_does(streamer: Serving, redis_client: Client) -> None:
    viewer = streamer.watch("north")
    begin(redis_client, viewer)
    set_paused(redis_client, KEYS, ["north"], paused=True)
    assert viewer.part().tick is None
    assert streamer.get("/north.jpg")[1]["x-mtmc-state"] == "paused"


def test_a_camera_named_by_the_clock_is_shown_as_stalled(streamer: Serving, redis_client: Client) -> None:
    viewer = streamer.watch("north")
    begin(redis_client, viewer)
    redis_client.hset(KEYS.skew, mapping={"stalled": "north south"})
    assert viewer.part().tick is None
    cameras = {camera["name"]: camera for camera in streamer.json("/api/v1/cameras")["cameras"]}
    assert cameras["north"]["state"] == "stalled"
    assert "worker" in cameras["north"]["message"]


def test_a_camera_that_stops_is_replaced_at_most_once_a_second_and_resumes(
    streamer: Serving, redis_client: Client
) -> None:
    viewer, before = streamer.watch("north"), Stopwatch()
    begin(redis_client, viewer)
    after = Stopwatch()
    first = viewer.part()
    assert first.tick is None
    assert before.seconds > 1.5
    assert after.within(4)
    for _ in range(2):
        assert viewer.part().tick is None
    assert before.seconds > 1.5 + 2 * 0.9
    jpeg = numbered_jpeg(1)
    publish_picture(redis_client, "north", 1, jpeg)
    part = viewer.picture()
    assert (part.tick, part.jpeg) == (1, jpeg)


def test_workers_learn_which_cameras_are_watched(streamer: Serving, redis_client: Client) -> None:
    def now_ms() -> float:
        seconds, microseconds = redis_client.time()
        return float(seconds * 1000 + microseconds / 1000)

    redis_client.zadd(KEYS.viewers, {"south": now_ms() - 61_000})
    streamer.watch("north")
    score = wait_until(lambda: redis_client.zscore(KEYS.viewers, "north"), "north is watched")
    assert abs(now_ms() - score) < VIEWER_MS / 2
    assert redis_client.zscore(KEYS.viewers, "south") is None
    later = wait_until(
        lambda: (new := redis_client.zscore(KEYS.viewers, "north")) != score and new, "it is still watched"
    )
    assert later - score >= 900
    streamer.get("/south.jpg")
    assert wait_until(lambda: redis_client.zscore(KEYS.viewers, "south"), "south was looked at")


def test_a_viewer_that_disconnects_is_noticed_even_without_pictures(streamer: Serving, redis_client: Client) -> None:
    viewers = [streamer.watch("north") for _ in range(3)]
    wait_until(lambda: streamer.metric("mtmc_streamer_viewers", 'camera="north"') == 3, "three viewers")
    for viewer in viewers:
        viewer.close()
    wait_until(lambda: streamer.metric("mtmc_streamer_viewers", 'camera="north"') == 0, "all have left")


def test_a_viewer_that_stopped_reading_is_disconnected(
    streamer: Serving, redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STUCK_S", 0.5)
    viewer = streamer.watch("north", receive_bytes=8192)
    wait_until(lambda: streamer.metric("mtmc_streamer_viewers", 'camera="north"') == 1, "the viewer")
    set_status(redis_client, "north")

    def cut_off() -> bool:
        publish_picture(redis_client, "north", int(time.monotonic() * 1000), bulky_jpeg(1, 400_000))
        return streamer.metric("mtmc_streamer_viewers", 'camera="north"') == 0

    wait_until(cut_off, "the viewer is cut off")
    assert streamer.metric("mtmc_streamer_viewers_cut_off_total") == 1
    viewer.close()


def test_one_viewer_too_many_is_refused(redis_url: str, streamer: Serving) -> None:
    parts: Parts = streamer.streamer.parts
    app = create_app(parts, max_viewers=1)
    first = app.test_client().get("/north.mjpg", buffered=False)
    refused = app.test_client().get("/south.mjpg")
    assert refused.status_code == 503
    assert "viewers" in refused.text
    assert parts.watching.opened() == {"north": 1}
    first.close()
    assert parts.watching.opened() == {}
    with app.test_client().head("/north.mjpg") as head:
        assert head.status_code == 200
    again = app.test_client().get("/south.mjpg", buffered=False)
    assert again.status_code == 200
    again.close()


def test_viewers_get_the_width_and_the_rate_that_they_ask_for(streamer: Serving, redis_client: Client) -> None:
    full, small, rare = (streamer.watch("north", query=query) for query in ("", "?width=150", "?fps=1&width=160"))
    set_status(redis_client, "north")
    began = time.monotonic()
    ticks: dict[Viewer, list[int]] = {full: [], small: [], rare: []}
    for tick in range(1, 26):
        publish_picture(redis_client, "north", tick, numbered_jpeg(tick))
        while True:  # the slower viewers never delay this one
            part = full.part()
            if part.tick is not None:
                ticks[full].append(part.tick)
                break
        time.sleep(0.05)
    assert ticks[full] == list(range(1, 26))
    for viewer in (small, rare):
        while not ticks[viewer] or ticks[viewer][-1] < 25:
            part = viewer.part()
            if part.tick is not None:
                ticks[viewer].append(part.tick)
                assert size_of(part.jpeg) == (160, 90)
        assert ticks[viewer] == sorted(set(ticks[viewer]))
    assert len(ticks[rare]) <= time.monotonic() - began + 1
    assert len(ticks[small]) > len(ticks[rare])


def test_the_parts_tell_tick_and_capture_time(streamer: Serving, redis_client: Client) -> None:
    viewer = streamer.watch("north")
    begin(redis_client, viewer)
    publish_picture(redis_client, "north", 17_123_456_789, numbered_jpeg(1))
    part = viewer.picture()
    assert (part.tick, part.headers["X-Mtmc-Capture-Time"]) == (17_123_456_789, "1712345678.900000000")
    status, headers, body = streamer.get("/north.jpg?width=160")
    assert (status, headers["x-mtmc-tick"], size_of(body)) == (200, "17123456789", (160, 90))
    assert headers["x-mtmc-capture-time"] == "1712345678.900000000"
    assert headers["etag"] != streamer.get("/north.jpg")[1]["etag"]


@pytest.mark.parametrize("path", ["/north.mjpg?width=wide", "/north.mjpg?fps=0", "/north.jpg?width=99999"])
def test_a_wrong_width_or_rate_is_refused_with_the_reason(streamer: Serving, path: str) -> None:
    status, _, body = streamer.get(path)
    assert status == 400
    assert b"must be a" in body
    assert streamer.streamer.parts.watching.opened() == {}


def test_hundreds_of_viewers_share_a_few_threads_and_one_too_many_is_refused(
    redis_url: str, redis_client: Client
) -> None:
    publish(redis_url, ["north"], max_viewers=300)
    set_status(redis_client, "north")
    before = threading.active_count()  # threads of earlier tests may still end
    with serving(redis_url) as streamer:
        viewers = [streamer.watch("north") for _ in range(300)]
        for viewer in viewers:
            assert viewer.response.status == 200
        status, _, body = streamer.get("/north.mjpg")
        assert status == 503
        assert b"limit of 300 viewers" in body
        assert threading.active_count() < before + 60
        publish_picture(redis_client, "north", 5, numbered_jpeg(5))
        for viewer in viewers:
            assert any(part.tick == 5 for part in viewer.parts())


@pytest.fixture
def north_plays(redis_client: Client) -> Iterator[None]:
    """The camera north has a new picture 20 times a second."""
    set_status(redis_client, "north")
    ended = threading.Event()

    def publish_pictures() -> None:
        for tick in range(1, 10_000):
            publish_picture(redis_client, "north", tick, numbered_jpeg(tick))
            if ended.wait(0.05):
                return

    thread = threading.Thread(target=publish_pictures)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.usefixtures("north_plays")
@pytest.mark.parametrize(("query", "size"), [("", (320, 180)), ("?width=160", (160, 90))])
def test_opencv_and_ffmpeg_read_the_stream(streamer: Serving, query: str, size: tuple[int, int]) -> None:
    address = f"http://127.0.0.1:{streamer.port}/north.mjpg{query}"
    video = cv2.VideoCapture(address)
    for _ in range(5):
        read, image = video.read()
        assert read
        assert (image.shape[1], image.shape[0]) == size
    video.release()
    with av.open(address, format="mpjpeg", timeout=WAIT_S) as container:
        for frame, _ in zip(container.decode(video=0), range(5), strict=False):
            assert (frame.width, frame.height) == size


_GSTREAMER = """
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
pipeline = Gst.parse_launch(sys.argv[1])
pipeline.set_state(Gst.State.PLAYING)
ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
message = pipeline.get_bus().timed_pop_filtered(30 * Gst.SECOND, ends)
print(message.type.first_value_name if message else "nothing")
"""


@pytest.mark.usefixtures("north_plays")
def test_gstreamer_reads_the_stream(streamer: Serving) -> None:
    address = f"http://127.0.0.1:{streamer.port}/north.mjpg"
    pipeline = f"souphttpsrc location={address} ! multipartdemux ! jpegdec ! fakesink num-buffers=5"
    done = subprocess.run(
        ["/usr/bin/python3", "-W", "ignore", "-c", _GSTREAMER, pipeline], capture_output=True, text=True, timeout=WAIT_S
    )
    assert done.stdout.strip() == "GST_MESSAGE_EOS", done.stderr


def test_unreadable_pictures_of_one_camera_do_not_affect_the_others(streamer: Serving, redis_client: Client) -> None:
    viewer = streamer.watch("south")
    begin(redis_client, viewer, "south")
    redis_client.xadd(KEYS.frames("north"), {"tick": "no number", "jpeg": b"\xff\xd8"})
    bad = streamer.watch("north")
    assert bad.part().tick is None
    wait_until(
        lambda: streamer.metric("mtmc_streamer_frames_skipped_total", 'camera="north"', 'reason="malformed"') == 1,
        "the unreadable entry is counted",
    )
    redis_client.delete(KEYS.frames("north"))
    redis_client.set(KEYS.frames("north"), "no stream")
    for tick in range(1, 6):
        publish_picture(redis_client, "south", tick, numbered_jpeg(tick))
        while (part := viewer.part()).tick is None:
            pass
        assert part.tick == tick


def test_tracks_are_served_with_their_global_ids(streamer: Serving, redis_client: Client) -> None:
    track_id = 2**53 - 1
    redis_client.xadd(KEYS.tracks("north"), track_entry("north", [track_id, 5]))
    redis_client.xadd(KEYS.tracks("south"), track_entry("south", [1], payload=b"rubbish"))
    redis_client.hset(KEYS.gids("north"), mapping={str(track_id): "17"})
    set_status(redis_client, "north", class_names=json.dumps(["car"]), **SLOW)
    set_status(redis_client, "south", **SLOW)
    wait_until(lambda: streamer.json("/api/v1/site")["live_tracks"] == 3, "the tracks are counted")
    north, south = streamer.json("/api/v1/tracks")["cameras"]
    assert (north["tick"], north["time_ns"], north["time"]) == (
        42,
        "1700000000123456789",
        "2023-11-14T22:13:20.123456+00:00",
    )
    assert north["tracks"] == [
        {
            "track_id": str(track_id),
            "gid": 17,
            "box_xyxy": [10, 20, 110.5, 220],
            "score": 0.75,
            "class": "car",
            "quality": 0.5,
        },
        {"track_id": "5", "gid": None, "box_xyxy": [10, 20, 110.5, 220], "score": 0.75, "class": 1, "quality": 0.5},
    ]
    assert "unpacked" in south["error"]
    assert south["tracks"] == []
    assert [camera["camera"] for camera in streamer.json("/api/v1/tracks?camera=north")["cameras"]] == ["north"]
    assert streamer.json("/api/v1/site")["live_identities"] == 1


def test_a_camera_slower_than_the_clock_does_not_flicker(streamer: Serving, redis_client: Client) -> None:
    """8 pictures per second at 10 ticks per second: every fifth tick has none, and no information about tracks."""
    set_status(redis_client, "north", **SLOW)
    shown, counts = [], []
    for tick in range(1, 31):
        picture = tick % 5 != 0
        fields = {"tick": tick, "time_ns": tick * 100_000_000}
        redis_client.xadd(KEYS.tracks("north"), track_entry("north", [7] if picture else [], picture=picture, **fields))
        (camera,) = streamer.json("/api/v1/tracks?camera=north")["cameras"]
        shown.append((camera["tick"], camera["width"], [track["track_id"] for track in camera["tracks"]]))
        counts.append(streamer.json("/api/v1/site")["live_tracks"])
    assert shown == [(tick - (tick % 5 == 0), 1280, ["7"]) for tick in range(1, 31)]
    assert set(counts[counts.index(1) :]) == {1}


def test_tracks_disappear_when_they_end_when_the_view_is_empty_and_when_they_are_stale(
    streamer: Serving, redis_client: Client
) -> None:
    set_status(redis_client, "north", fps="0.5")  # two of its intervals are 4 s

    def write(tick: int, track_ids: list[int], *, picture: bool = True, ended: Sequence[int] = ()) -> None:
        fields = {"tick": tick, "time_ns": tick * 500_000_000, "ended": ended}
        redis_client.xadd(KEYS.tracks("north"), track_entry("north", track_ids, picture=picture, **fields))

    def north() -> dict[str, Any]:
        (camera,) = streamer.json("/api/v1/tracks?camera=north")["cameras"]
        return dict(camera)

    write(1, [7])
    write(2, [])
    assert (north()["tick"], north()["tracks"], north()["width"]) == (2, [], 1280)
    write(3, [7, 8])
    for tick in range(4, 8):
        write(tick, [], picture=False, ended=[7] if tick == 5 else [])
    assert (north()["tick"], [track["track_id"] for track in north()["tracks"]]) == (3, ["8"])
    for tick in range(8, 13):
        write(tick, [], picture=False)  # the last one is 4.5 s of site time later than the picture
    camera = north()
    assert (camera["tick"], camera["tracks"], camera["width"], camera["height"]) == (12, [], None, None)
    write(13, [7])
    assert (north()["tick"], len(north()["tracks"])) == (13, 1)
    wait_until(lambda: north()["tracks"] == [], "a camera that writes no more has no tracks")
    assert (north()["tick"], north()["width"]) == (13, None)


def test_cameras_and_site_are_served_as_redis_has_them(streamer: Serving, redis_client: Client) -> None:
    redis_client.set(KEYS.tick, 100)
    redis_client.zadd(KEYS.seen, {"north": 97, "south": 100})
    redis_client.hset(
        KEYS.skew,
        mapping={"tick": 100, "gate": 99, "slowest": "north@97", "fastest": "south@100", "skew": 3, "skipped": 12},
    )
    set_status(redis_client, "north", fps="9.5", width="1280", height="720")
    publish_picture(redis_client, "north", 97, numbered_jpeg(97))
    wait_until(lambda: streamer.json("/api/v1/site")["tick"] == 100, "the tick")
    site = streamer.json("/api/v1/site")
    assert (site["gate"], site["skew_ticks"], site["skipped_ticks"], site["slowest"]) == (99, 3, 12, "north@97")
    assert (site["cameras"], site["cameras_live"]) == (2, 1)
    north, south = streamer.json("/api/v1/cameras")["cameras"]
    assert (north["state"], north["seen_tick"], north["lag_ticks"], north["fps"]) == ("live", 97, 3, 9.5)
    assert (north["width"], north["height"], north["owner"]) == (1280, 720, "worker-1")
    assert 0 <= north["picture_age_s"] < 2
    assert (south["state"], south["owner"], south["lag_ticks"]) == ("waiting", None, 0)
    assert streamer.metric("mtmc_site_skipped_ticks_total") == 12
    assert streamer.metric("mtmc_camera_lag_ticks", 'camera="north"') == 3
    assert streamer.metric("mtmc_camera_state", 'camera="north"', 'state="live"') == 1


def test_problems_are_in_the_api_and_the_metrics_and_a_camera_without_ids_does_not_count_as_live(
    streamer: Serving, redis_client: Client
) -> None:
    seconds = redis_client.time()[0] + 3600
    for id, fields in {
        "clock-7": {"role": "clock", "host": "box", "pid": 7, "problem": "", "starting": 0},
        "clock-8": {"role": "clock", "host": "van", "pid": 8, "problem": "it is ill", "not_ready_s": "4.0"},
    }.items():
        redis_client.zadd(KEYS.services, {id: seconds * 1000})
        redis_client.hset(KEYS.service(id), mapping=fields)
    redis_client.set(KEYS.lease("clock"), "1:x", px=60_000)
    set_status(redis_client, "north")
    redis_client.delete(KEYS.lease("aggregator"))
    publish_picture(redis_client, "north", 1, numbered_jpeg(1))
    redis_client.set(KEYS.tick, 100)
    redis_client.xadd(KEYS.ticks, {"tick": 100, "time_ns": 0, "gate": 101})
    wait_until(
        lambda: (
            [one["code"] for one in streamer.json("/api/v1/site")["problems"]] == ["no_aggregator", "service_not_ready"]
        ),
        "both problems",
    )
    site = streamer.json("/api/v1/site")
    assert (site["well"], site["cameras_live"], site["boxes"], site["boxes_without_gid"]) == (False, 0, 0, 0)
    assert site["problems"][1]["about"] == "clock-8"
    assert site["problems"][1]["text"] == "the clock on van (pid 8) is not ready: it is ill"
    assert [(one["id"], one["ready"]) for one in site["services"]] == [("clock-7", True), ("clock-8", False)]
    north = streamer.json("/api/v1/cameras")["cameras"][0]
    assert (north["state"], north["warning"]) == ("live", "its tracks get their global ids late or not at all")
    assert streamer.metric("mtmc_site_problems", 'code="no_aggregator"') == 1
    assert streamer.metric("mtmc_site_problems", 'code="no_clock"') == 0
    assert streamer.metric("mtmc_site_service_ready", 'service="clock-7"') == 1
    assert streamer.metric("mtmc_site_service_ready", 'service="clock-8"') == 0
    redis_client.set(KEYS.lease("aggregator"), "1:x", px=60_000)
    redis_client.delete(KEYS.service("clock-8"))
    wait_until(lambda: streamer.metric("mtmc_site_problems", 'code="no_aggregator"') == 0, "it is over")


def test_keys_of_the_wrong_type_affect_only_their_camera(streamer: Serving, redis_client: Client) -> None:
    redis_client.xadd(KEYS.tracks("north"), track_entry("north", [1]))
    set_status(redis_client, "north", **SLOW)
    for key in (KEYS.camera("south"), KEYS.gids("south"), KEYS.tracks("south"), KEYS.frames("south")):
        redis_client.set(key, "of no use")
    publish_picture(redis_client, "north", 1, numbered_jpeg(1))
    wait_until(lambda: streamer.json("/api/v1/cameras")["cameras"][0]["state"] == "live", "north is live")
    assert streamer.json("/api/v1/cameras")["cameras"][1]["state"] == "waiting"
    north, south = streamer.json("/api/v1/tracks")["cameras"]
    assert len(north["tracks"]) == 1
    assert "refused" in south["error"]


def test_no_response_contains_a_credential(redis_url: str, redis_client: Client) -> None:
    source = f"rtsp://{LOGIN}@10.0.0.5/stream?password=p4ss-too"
    publish(redis_url, [{"name": "gate", "source": source}, {"name": "yard", "source": source}])
    set_status(redis_client, "gate", state="down", error=f"cannot open {source}: 401 for admin:p4ss/w@rd-hunter2")
    redis_client.xadd(KEYS.tracks("gate"), {"schema": source})
    with serving(redis_url) as streamer:
        wall = Viewer(streamer.port, "/wall.stream")
        answers = [wall.message()[1], json.dumps(wall.message()[0]).encode()]
        wall.close()
        for path in ("/", "/metrics", "/gate.jpg", "/nothing", "/api/v1/tracks", "/api/v1/cameras", "/api/v1/site"):
            _, headers, body = streamer.get(path)
            answers += [body, repr(headers).encode()]
        error = streamer.json("/api/v1/cameras")["cameras"][0]["error"]
    assert "401" in error
    for answer in answers:
        for secret in SECRETS:
            assert secret not in answer, answer


def test_every_response_has_the_security_headers(streamer: Serving) -> None:
    for path in ("/", "/static/wall.js", "/north.jpg", "/api/v1/site", "/nothing"):
        headers = streamer.get(path)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"]
    assert b"http://" not in streamer.get("/")[2]


def test_the_wall_gets_all_cameras_over_one_connection(streamer: Serving, redis_client: Client) -> None:
    wall = Viewer(streamer.port, "/wall.stream")
    header, _ = wall.message()
    assert header["type"] == "state"
    assert [camera["name"] for camera in header["cameras"]] == ["north", "south"]
    wait_until(lambda: redis_client.zcard(KEYS.viewers) == 2, "both cameras are watched")
    expected = []
    seen = []
    for tick in range(5):
        for camera in ("north", "south"):
            jpeg = numbered_jpeg(tick, camera)
            expected.append((camera, tick, jpeg))
            publish_picture(redis_client, camera, tick, jpeg)
            while True:
                header, body = wall.message()
                if header["type"] == "picture":
                    seen.append((header["camera"], header["tick"], body))
                    break
    wall.close()
    assert seen == expected
    wait_until(lambda: streamer.metric("mtmc_streamer_wall_viewers") == 0, "the page was closed")


def test_the_age_of_pictures_is_measured_when_they_are_published(streamer: Serving, redis_client: Client) -> None:
    viewer = streamer.watch("north")
    set_status(redis_client, "north")
    for tick in (1, 2):
        seconds, micros = redis_client.time()
        time_ns = (seconds * 1_000_000 + micros - 300_000) * 1000
        publish_picture(redis_client, "north", tick, numbered_jpeg(tick), time_ns=time_ns)
        assert any(part.tick == tick for part in viewer.parts())
    name = "mtmc_streamer_picture_age_seconds"
    assert streamer.metric(f"{name}_count", 'camera="north"') == 2
    assert 0.59 <= streamer.metric(f"{name}_sum", 'camera="north"') < 5
    assert streamer.metric(f"{name}_bucket", 'camera="north"', 'le="0.2"') == 0


def pictures_of(wall: Viewer) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Header and JPEG of each picture that a page gets."""
    while True:
        header, body = wall.message()
        if header["type"] == "picture":
            yield header, body


def test_a_page_gets_the_boxes_of_the_very_picture(streamer: Serving, redis_client: Client) -> None:
    wall = Viewer(streamer.port, "/wall.stream?width=160")
    seen = pictures_of(wall)
    for tick in range(1, 6):
        boxes = [[7, tick, 20, 110, 120, "car"], [None, 0, 0, 5, 5, ""]]
        publish_picture(redis_client, "north", tick, numbered_jpeg(tick), boxes=boxes)
        header, body = next(seen)
        assert (header["tick"], header["width"], header["height"]) == (tick, 320, 180)
        assert header["time_ns"] == str(tick * 100_000_000)
        assert header["boxes"] == boxes
        assert size_of(body) == (160, 90)
    wall.close()


def test_a_page_gets_only_the_cameras_that_it_shows_and_only_those_are_watched(
    streamer: Serving, redis_client: Client
) -> None:
    walls = {query: Viewer(streamer.port, f"/wall.stream?cameras={query}") for query in ("", "south", "no-such,north")}
    assert {query: walls[query].message()[0]["type"] for query in walls} == dict.fromkeys(walls, "state")
    walls["no-such,north"].close()
    wait_until(lambda: streamer.metric("mtmc_streamer_wall_viewers") == 2, "one page was closed")
    wait_until(lambda: redis_client.zscore(KEYS.viewers, "south"), "the camera is watched")
    for tick in range(1, 4):
        for camera in ("north", "south"):
            publish_picture(redis_client, camera, tick, numbered_jpeg(tick))
        assert next(pictures_of(walls["south"]))[0]["camera"] == "south"
    assert streamer.metric("mtmc_streamer_frames_sent_total", 'camera="north"') == 0
    assert [walls[""].message()[0]["type"] for _ in range(4)] == ["state"] * 4
    redis_client.zrem(KEYS.viewers, "north")
    walls["south"].message()
    assert redis_client.zscore(KEYS.viewers, "north") is None, "nobody shows it"
    for wall in walls.values():
        wall.close()


def test_a_page_gets_no_more_pictures_per_second_than_it_asked_for(streamer: Serving, redis_client: Client) -> None:
    began_s, tick = time.monotonic(), 0
    wall = Viewer(streamer.port, "/wall.stream?fps=2")
    publishing = threading.Event()

    def publish_often() -> None:
        nonlocal tick
        while not publishing.wait(0.03):
            tick += 1
            publish_picture(redis_client, "north", tick, numbered_jpeg(tick))

    thread = threading.Thread(target=publish_often)
    thread.start()
    for _ in range(4):
        header, _ = next(pictures_of(wall))
    took_s = time.monotonic() - began_s
    publishing.set()
    thread.join()
    wall.close()
    assert header["tick"] > 20
    assert took_s > 1.4, "3 pictures after the first take 1.5 s"


def test_a_slow_page_gets_smaller_pictures_that_are_never_old_and_delays_nobody(
    streamer: Serving, redis_client: Client
) -> None:
    link = SlowLink(streamer.port, 125_000)  # 1 Mbit/s
    slow, fast = Viewer(link.port, "/wall.stream?width=1280"), Viewer(streamer.port, "/wall.stream?width=1280")
    noise = np.random.default_rng(1).integers(0, 255, (45, 80, 3), np.uint8)
    detailed = cv2.imencode(".jpg", cv2.resize(noise, (1280, 720)), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    assert len(detailed) > 75_000
    stop = threading.Event()
    ages: dict[str, list[float]] = {"slow": [], "fast": []}
    widths: list[int] = []

    def feed() -> None:
        tick = 0
        while not stop.wait(0.1):
            tick += 1
            for camera in ("north", "south"):
                publish_picture(redis_client, camera, tick, detailed, time_ns=time.time_ns(), width=1280, height=720)

    def read(name: str, wall: Viewer) -> None:
        newest: dict[str, int] = {}
        for header, body in pictures_of(wall):
            assert header["tick"] > newest.get(header["camera"], 0), "an older picture came after a newer one"
            newest[header["camera"]] = header["tick"]
            age_s, now_s = (time.time_ns() - int(header["time_ns"])) / 1e9, time.monotonic()
            ages[name].append(age_s - pulse().stalled_s(now_s - age_s, now_s))
            if name == "slow":
                widths.append(size_of(body)[0])
            if stop.is_set():
                return

    pulse()
    threads = [
        threading.Thread(target=feed),
        *(threading.Thread(target=read, args=pair) for pair in (("slow", slow), ("fast", fast))),
    ]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(widths) > 12 and max(widths[-12:]) <= 480, "smaller pictures")
        fast_until = len(ages["fast"])
        wait_until(lambda: len(ages["fast"]) > fast_until + 40, "the other page goes on")
    finally:
        stop.set()
        threads[0].join()
        for camera in ("north", "south"):
            publish_picture(redis_client, camera, 100_000, detailed, width=1280, height=720)
        for thread in threads[1:]:
            thread.join(WAIT_S)
        slow.close()
        fast.close()
        link.close()
    slow_s, fast_s = sorted(ages["slow"][-12:-2]), sorted(ages["fast"][:-2])
    assert slow_s[len(slow_s) // 2] < 1.5
    assert max(ages["slow"][:-2]) < 6, "pictures waited in a queue"
    assert fast_s[len(fast_s) // 2] < 0.5


def test_nothing_is_kept_of_a_removed_camera_and_its_pictures_are_shown_when_it_is_added_again(
    streamer: Serving, redis_client: Client
) -> None:
    def shown_next() -> tuple[str, int]:
        while (header := wall.message()[0])["type"] != "picture":
            pass
        return header["camera"], header["tick"]

    wall = Viewer(streamer.port, "/wall.stream")
    south = read_cameras(redis_client, KEYS)["south"]
    for ticks in (range(1, 4), range(5, 6)):
        wait_until(lambda: redis_client.zscore(KEYS.viewers, "south"), "the camera is watched")
        for tick in ticks:
            publish_picture(redis_client, "south", tick, numbered_jpeg(tick))
            assert shown_next() == ("south", tick)
        assert streamer.metric("mtmc_streamer_frames_sent_total", 'camera="south"') > 0
        remove_cameras(redis_client, KEYS, ["south"], 60)
        redis_client.delete(KEYS.frames("south"))
        wait_until(lambda: b'"south"' not in streamer.get("/metrics")[2], "its series are gone")
        redis_client.zrem(KEYS.viewers, "south")
        assert add_camera(redis_client, KEYS, south)
    wall.close()


def test_the_streamer_survives_a_restart_of_redis(redis_process: RedisProcess) -> None:
    publish(redis_process.url, ["north", "south"])
    client = connect(redis_process.url)
    with serving(redis_process.url) as streamer:
        viewer = streamer.watch("north")
        begin(client, viewer, tick=50)
        wall = Viewer(streamer.port, "/wall.stream")
        wait_until(lambda: streamer.get("/readyz")[0] == 200, "ready")
        redis_process.stop()
        wait_until(lambda: streamer.get("/readyz")[0] == 503, "not ready")
        wait_until(lambda: streamer.get("/api/v1/site")[0] == 503, "the last answer is too old")
        for path in ("/api/v1/site", "/api/v1/cameras", "/api/v1/tracks"):
            status, _, body = streamer.get(path)
            assert status == 503
            assert "Redis" in json.loads(body)["detail"]
        assert streamer.get("/healthz")[0] == 200
        assert streamer.get("/")[0] == 200
        assert streamer.metric("mtmc_redis_up") == 0
        status, headers, body = streamer.get("/north.jpg")
        assert (status, headers["x-mtmc-state"]) == (200, "stalled")
        assert streamer.get("/west.jpg")[0] == 404
        assert viewer.part().tick is None
        while wall.message()[0].get("redis") is not False:
            pass

        redis_process.forget()
        redis_process.start()  # it comes back without its data, and stream ids restart
        publish(redis_process.url, ["north", "south"])
        set_status(client, "north")
        wait_until(lambda: streamer.get("/readyz")[0] == 200, "ready again")
        publish_picture(client, "north", 3, numbered_jpeg(3), "5-1")
        while (part := viewer.part()).tick is None:
            pass
        assert part.tick == 3
        publish_picture(client, "north", 4, numbered_jpeg(4), "6-1")
        while (part := viewer.part()).tick is None:
            pass
        assert part.tick == 4
        while wall.message()[0].get("redis") is not True:
            pass
        wall.close()
    client.close()


def test_a_picture_is_not_sent_again_after_a_lost_connection(redis_process: RedisProcess) -> None:
    publish(redis_process.url, ["north"])
    client = connect(redis_process.url)
    with serving(redis_process.url) as streamer:
        viewer = streamer.watch("north")
        begin(client, viewer, tick=1)
        fetched = streamer.metric("mtmc_streamer_frames_fetched_total", 'camera="north"')
        before = client.info("clients")["connected_clients"]
        assert before > 1
        client.client_kill_filter(skipme=True, _type="normal")
        for tick in range(2, 5):
            publish_picture(client, "north", tick, numbered_jpeg(tick))
            while (part := viewer.part()).tick is None:
                pass
            assert part.tick == tick
        assert streamer.metric("mtmc_streamer_frames_fetched_total", 'camera="north"') == fetched + 3
    client.close()


def test_a_camera_added_while_running_can_be_watched(streamer: Serving, redis_url: str, redis_client: Client) -> None:
    publish(redis_url, ["north", "south", "west"])
    wait_until(lambda: streamer.get("/west.jpg")[0] == 200, "the new camera")
    publish(redis_url, ["north"])
    wait_until(lambda: streamer.get("/west.jpg")[0] == 404, "it was removed")


def test_a_port_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MtmcError, match=f"port {port} is in use") as error:
            listen("127.0.0.1", port)
    assert error.value.exit_code == 2
    with pytest.raises(MtmcError, match=r"streamer\.host"):
        listen("no.such.host.invalid", 0)


_MAIN = """
import sys
from services.streamer.__main__ import main
from shared.process import ServiceOptions
from shared.service import stop_on_signals
main(ServiceOptions(sys.argv[1], sys.argv[2], host="127.0.0.1", port=int(sys.argv[3]), log_json=True),
     stop_on_signals())
"""


def test_it_stops_in_time_with_viewers_of_every_kind(redis_url: str, redis_client: Client, tmp_path: Path) -> None:
    publish(redis_url, ["north", "south"])
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, SITE, redis_url, "0"], stderr=stderr, cwd=Path(__file__).parents[2]
        )
    viewers: list[Viewer] = []
    try:
        line = wait_until(
            lambda: next((line for line in log.read_text().splitlines() if '"serving"' in line), None), "the address"
        )
        port = int(json.loads(line)["url"].rsplit(":", 1)[1])
        viewers += [Viewer(port, "/north.mjpg") for _ in range(5)]
        viewers += [Viewer(port, "/wall.stream"), Viewer(port, "/north.mjpg", receive_bytes=4096)]
        begin(redis_client, viewers[0])
        stuck = threading.Event()
        for tick in range(1, 40):
            publish_picture(redis_client, "north", tick, bulky_jpeg(tick, 200_000))
            stuck.wait(0.01)
        watch = Stopwatch()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
        assert watch.within(2), watch.seconds
    finally:
        for viewer in viewers:
            viewer.close()
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text(), log.read_text()
