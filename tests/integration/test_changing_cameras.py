from __future__ import annotations

from benchmarks.changing_cameras import ChangingCameras
from launcher.address import RedisAddress
from launcher.site_access import OpenSite
from shared.camera_settings import read_cameras
from shared.config import SiteConfig
from shared.keys import Keys
from shared.redis_connection import Client
from shared.site import publish_site, read_site

KEYS = Keys("yard")


def test_cameras_come_and_go_and_what_is_left_of_them_is_found(redis_url: str, redis_client: Client) -> None:
    config = {
        "site": "yard",
        "detector": {"model": "/d.onnx"},
        "embedder": {"model": "/e.onnx"},
        "cameras": [{"name": "north", "source": "rtsp://camera/1"}],
    }
    publish_site(redis_client, SiteConfig.model_validate(config))
    published = read_site(redis_client, "yard")
    assert published is not None
    changing = ChangingCameras(OpenSite(KEYS, redis_client, RedisAddress(redis_url), published), ["rtsp://nobody/1"])
    for _ in range(20):
        assert changing.change()
    assert changing.added == 20
    assert sorted(read_cameras(redis_client, KEYS)) == ["extra-17", "extra-19", "extra-again-4", "north"]
    changing.remove_all()
    assert (list(read_cameras(redis_client, KEYS)), changing.leftovers()) == (["north"], [])
    redis_client.hset(KEYS.camera("extra-3"), "state", "live")
    redis_client.zadd(KEYS.seen, {"extra-5": 1})
    redis_client.xadd(KEYS.frames("extra-7"), {"tick": 1})
    redis_client.xadd(KEYS.frames("extra-9"), {"tick": 1})
    redis_client.expire(KEYS.frames("extra-9"), 3600)
    assert changing.leftovers() == sorted([KEYS.camera("extra-3"), KEYS.frames("extra-7"), f"{KEYS.seen} extra-5"]), (
        "a picture that expires is not counted"
    )
