from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from shared.camera_config import CameraConfig
from shared.camera_settings import add_camera, read_cameras, set_paused
from shared.config import SiteConfig
from shared.errors import ConfigError, RedisUnusable
from shared.gate import Gate, Handled
from shared.keys import Keys
from shared.redis_connection import Client, connect, open_redis, server_time_ns
from shared.scripts import Scripts
from shared.site import is_published, publish_site, read_site, restart_files
from shared.site_copy import SiteCopy
from shared.site_layout import site_layout
from shared.site_time import SiteTime

KEYS = Keys("yard")
SECRET = "s3cr3t"  # noqa: S105
LAYOUT = """
fps
10 10
scales
1 0.8
offset
0 -1.64
compatibility
1 1
1 1
dtmin
0 -2
-inf 0
dtmax
0 9
inf 0
"""


def site_config(**sections: Any) -> SiteConfig:
    return SiteConfig.model_validate(
        {
            "site": "yard",
            "redis": {"url": f"redis://:{SECRET}@127.0.0.1:6379", "password": SECRET},
            "detector": {"model": "detector.onnx"},
            "embedder": {"model": "embedder.onnx"},
            "cameras": [{"name": "north", "source": "north.mp4"}, {"name": "south", "source": "south.mp4"}],
        }
        | sections
    )


def test_a_published_site_is_read_back_unchanged(redis_client: Client, tmp_path: Path) -> None:
    mask = tmp_path / "mask.png"
    cv2.imwrite(str(mask), np.full((4, 6), 255, np.uint8))
    layout = tmp_path / "layout.txt"
    layout.write_text(LAYOUT)
    cameras = [
        {"name": "north", "source": "rtsp://u:p@cam/1", "mask": str(mask), "labels": ["gpu"]},
        {"name": "south", "source": "south.mp4", "loop": True},
    ]
    config = site_config(cameras=cameras, layout={"file": str(layout)})
    publish_site(redis_client, config)
    site = read_site(redis_client, "yard")
    assert site is not None
    assert site.config.cameras == config.cameras
    assert site.config.clock == config.clock
    assert site.masks == {"north": mask.read_bytes()}
    expected = site_layout(config)
    for name in ("compatible", "dtmin", "dtmax", "fps", "scales", "offset"):
        np.testing.assert_array_equal(getattr(site.layout, name), getattr(expected, name), name)
    assert read_cameras(redis_client, KEYS) == {camera.name: camera for camera in config.cameras}


def test_a_site_that_is_not_published_is_none(redis_client: Client) -> None:
    assert read_site(redis_client, "yard") is None
    assert read_cameras(redis_client, KEYS) == {}


def test_the_revision_increases_only_with_new_content_and_an_operators_changes_are_kept(redis_client: Client) -> None:
    assert publish_site(redis_client, site_config()) == 1
    redis_client.hset(KEYS.cameras, "north", '{"name": "north", "source": "north.mp4", "paused": true}')
    assert publish_site(redis_client, site_config()) == 1
    assert read_cameras(redis_client, KEYS)["north"].paused
    assert publish_site(redis_client, site_config(clock={"target_fps": 5})) == 2
    assert not read_cameras(redis_client, KEYS)["north"].paused


def test_a_camera_that_is_no_longer_configured_is_removed(redis_client: Client) -> None:
    publish_site(redis_client, site_config())
    publish_site(redis_client, site_config(cameras=[{"name": "east", "source": "east.mp4"}]))
    assert list(read_cameras(redis_client, KEYS)) == ["east"]


def test_the_keys_of_a_removed_camera_expire_unless_it_is_added_again(
    redis_client: Client,
) -> None:
    publish_site(redis_client, site_config())
    own = KEYS.camera("south"), KEYS.tracks("south"), KEYS.gids("south")
    redis_client.hset(own[0], mapping={"state": "live", "seq": 5})
    redis_client.xadd(own[1], {"n": 0})
    redis_client.hset(own[2], mapping={"1": "1"})
    redis_client.zadd(KEYS.seen, {"south": 4})
    publish_site(redis_client, site_config(cameras=[{"name": "north", "source": "north.mp4"}]))
    assert all(0 < redis_client.ttl(key) <= 60 for key in own)
    assert not redis_client.exists(KEYS.seen)
    publish_site(redis_client, site_config())
    assert [redis_client.ttl(key) for key in own] == [-1, -1, -1]
    assert redis_client.hgetall(own[0]) == {b"seq": b"5"}


def test_a_camera_with_unreadable_settings_is_left_out(redis_client: Client) -> None:
    publish_site(redis_client, site_config())
    redis_client.hset(KEYS.cameras, "south", '{"name": "south", "colour": 7}')
    assert list(read_cameras(redis_client, KEYS)) == ["north"]


def test_no_credential_of_redis_is_published(redis_client: Client) -> None:
    publish_site(redis_client, site_config())
    assert SECRET.encode() not in redis_client.get(KEYS.config)
    assert all(SECRET.encode() not in settings for settings in redis_client.hvals(KEYS.cameras))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("layout"),
        lambda content: content.pop("revision"),
        lambda content: content["site"].update(unknown=1),
        lambda content: content["layout"].update(dtmin=[["x"]]),
        lambda content: content.update(masks={"north": "!"}),
        lambda content: content.update(masks=None),
    ],
)
def test_a_site_of_another_version_is_an_error_that_says_what_to_do(redis_client: Client, change: Any) -> None:
    publish_site(redis_client, site_config())
    content = json.loads(redis_client.get(KEYS.config))
    change(content)
    redis_client.set(KEYS.config, json.dumps(content))
    with pytest.raises(ConfigError, match="publish the site again"):
        read_site(redis_client, "yard")


def test_an_error_about_a_published_site_shows_no_value_of_it(redis_client: Client) -> None:
    publish_site(redis_client, site_config())
    content = json.loads(redis_client.get(KEYS.config))
    content["site"]["cameras"][0] |= {"source": "rtsp://box/T0ken", "secrets": ["T0ken"], "new": "T0ken"}
    redis_client.set(KEYS.config, json.dumps(content))
    with pytest.raises(ConfigError, match=r"cameras\.0\.new: Extra inputs are not permitted") as error:
        read_site(redis_client, "yard")
    assert "T0ken" not in str(error.value)


def test_the_settings_of_a_camera_without_secrets_have_no_field_for_them(redis_client: Client) -> None:
    publish_site(redis_client, site_config())
    assert b"secrets" not in redis_client.get(KEYS.config) + b"".join(redis_client.hvals(KEYS.cameras))


def test_invalid_json_is_an_error_too(redis_client: Client) -> None:
    redis_client.set(KEYS.config, b"\xff{")
    with pytest.raises(ConfigError, match="publish the site again"):
        read_site(redis_client, "yard")


def test_files_restart_and_ticks_continue(redis_client: Client) -> None:
    publish_site(redis_client, site_config())
    redis_client.set(KEYS.tick, 7)
    redis_client.set(KEYS.files_origin, 3)
    redis_client.zadd(KEYS.seen, {"north": 7})
    redis_client.hset(KEYS.camera("north"), mapping={"state": "ended", "error": "x", "seq": 9, "tick": 7})
    restart_files(redis_client, KEYS)
    assert redis_client.get(KEYS.tick) == b"7"
    assert not redis_client.exists(KEYS.files_origin, KEYS.seen)
    assert redis_client.hgetall(KEYS.camera("north")) == {b"seq": b"9", b"tick": b"7"}


def test_site_time_follows_redis_and_never_goes_back(redis_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    began_ns = time.monotonic_ns()
    site_time = SiteTime(redis_client)
    doubt_ns = 20_000_000 + time.monotonic_ns() - began_ns
    before_ns, now_ns, after_ns = server_time_ns(redis_client), site_time.now_ns(), server_time_ns(redis_client)
    assert before_ns - doubt_ns < now_ns < after_ns + doubt_ns
    before = site_time.now_ns()
    monkeypatch.setattr("shared.site_time.server_time_ns", lambda _: before - 3_600 * 10**9)
    site_time.measure()
    assert site_time.now_ns() >= before


def test_a_script_in_a_pipeline_costs_one_round_trip_and_survives_a_flush(redis_client: Client) -> None:
    gate = Gate(redis_client, KEYS, site_config().clock)

    def ask() -> Handled:
        with redis_client.pipeline(transaction=True) as pipe:
            gate.queue_handled(pipe)
            return Handled.parse(pipe.execute()[0])

    redis_client.xadd(KEYS.ticks, {"tick": 5, "time_ns": 7, "gate": 6})
    assert ask().tick == 5
    redis_client.script_flush()
    redis_client.config_resetstat()
    assert ask().tick == 5
    calls = redis_client.info("commandstats")
    assert not [name for name in calls if "script" in name], "the driver asked for the script first"


def test_a_script_that_the_server_lost_is_loaded_again(redis_client: Client) -> None:
    scripts = Scripts(redis_client)
    for _ in range(2):
        assert scripts.run("leases", ["lease", "epochs"], ["release", "role", "value"]) == 0
        redis_client.script_flush()


def test_unusable_addresses_say_what_to_do_and_hide_the_password() -> None:
    with pytest.raises(RedisUnusable, match="Redis does not answer") as caught:
        open_redis(f"redis://:{SECRET}@127.0.0.1:1/0")
    assert SECRET not in str(caught.value)
    with pytest.raises(RedisUnusable, match="not a Redis URL") as caught:
        connect(f"http://u:{SECRET}@127.0.0.1")
    assert SECRET not in str(caught.value)


def test_two_publishers_never_share_a_revision(redis_url: str, redis_client: Client) -> None:
    barrier, revisions = threading.Barrier(4), list[int]()

    def publish_often(number: int) -> None:
        client = connect(redis_url)
        for turn in range(25):
            barrier.wait()
            revisions.append(publish_site(client, site_config(clock={"target_fps": 1 + number + 4 * (turn % 2)})))
        client.close()

    threads = [threading.Thread(target=publish_often, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(revisions) == list(range(1, 101))


def test_a_lost_site_is_published_again_with_the_cameras_as_they_were(redis_client: Client) -> None:
    publish_site(redis_client, site_config())
    publish_site(redis_client, site_config(clock={"target_fps": 5}))
    site = read_site(redis_client, "yard")
    assert site is not None
    copy = SiteCopy(redis_client, site)
    assert copy.look() is None
    set_paused(redis_client, KEYS, ["south"], paused=True)
    before = redis_client.hgetall(KEYS.cameras)
    assert copy.look() is None
    redis_client.flushall()
    assert copy.look() == "the site, revision 2, its revision, camera north, camera south"
    again = read_site(redis_client, "yard")
    assert again is not None
    assert again.text == site.text
    assert redis_client.hgetall(KEYS.cameras) == before
    assert copy.look() is None


def test_damage_is_repaired_and_the_site_of_another_version_left_alone(redis_client: Client) -> None:
    publish_site(redis_client, site_config())
    site = read_site(redis_client, "yard")
    assert site is not None
    copy = SiteCopy(redis_client, site)
    copy.look()
    before = {key: redis_client.dump(key) for key in (KEYS.config, KEYS.revision)}
    cameras = redis_client.hgetall(KEYS.cameras)
    for damage in (
        lambda: redis_client.set(KEYS.config, b"\xff\x00"),
        lambda: redis_client.set(KEYS.revision, b"many"),
        lambda: (redis_client.delete(KEYS.config), redis_client.rpush(KEYS.config, "1")),
        lambda: (redis_client.delete(KEYS.cameras), redis_client.set(KEYS.cameras, "1")),
        lambda: redis_client.hset(KEYS.cameras, b"\xff\xfe", b"{}"),
        lambda: redis_client.hset(KEYS.cameras, "north", b"{"),
        lambda: redis_client.hset(KEYS.cameras, "north", cameras[b"south"]),
        lambda: redis_client.set(KEYS.no_cameras, "1"),
    ):
        damage()
        assert copy.look(), damage
        assert {key: redis_client.dump(key) for key in before} == before
        assert redis_client.hgetall(KEYS.cameras) == cameras
        assert not redis_client.exists(KEYS.no_cameras)
        assert copy.look() is None
    other = json.dumps({"revision": 7, "digest": "x", "site": {"of": "another version"}})
    redis_client.set(KEYS.config, other)
    redis_client.set(KEYS.revision, 7)
    assert copy.look() is None
    assert redis_client.get(KEYS.config) == other.encode()


def test_a_publication_repairs_whatever_was_there(redis_client: Client) -> None:
    redis_client.set(KEYS.config, b"\xff")
    redis_client.set(KEYS.revision, "41")
    redis_client.rpush(KEYS.cameras, "x")
    assert publish_site(redis_client, site_config()) == 42
    assert set(read_cameras(redis_client, KEYS)) == {"north", "south"}


def test_other_preselected_models_leave_the_cameras_as_they_are(redis_client: Client) -> None:
    chosen = {"preselected": ("detector", "embedder"), "cameras": []}
    first = publish_site(redis_client, site_config(**chosen))
    add_camera(redis_client, KEYS, CameraConfig(name="lobby", source="rtsp://lobby"))
    assert publish_site(redis_client, site_config(**chosen)) == first
    better = site_config(**chosen, detector={"model": "better.onnx"})
    assert not is_published(redis_client, better)
    assert publish_site(redis_client, better) == first + 1
    assert is_published(redis_client, better)
    published = read_site(redis_client, better.site)
    assert published is not None
    assert (published.revision, published.config.detector.model.name) == (first + 1, "better.onnx")
    assert published.config.preselected == ("detector", "embedder")
    assert list(read_cameras(redis_client, KEYS)) == ["lobby"]
    # A model that the file names is a part of what it says.
    assert publish_site(redis_client, site_config(cameras=[], detector={"model": "better.onnx"})) == first + 2
    assert list(read_cameras(redis_client, KEYS)) == []
