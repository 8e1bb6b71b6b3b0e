"""A live site of three real cameras whose worker is slower than the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shared.keys import Keys
from shared.redis_connection import Client
from tests.running_site import RunningSite

KEYS = Keys("room")
CAMERAS = [f"cam{i}" for i in range(4)]
OSNET = {"min_similarity": 0.6}


@pytest.mark.alone
def test_a_worker_slower_than_the_clock_skips_ticks_and_stays_up_to_date(
    start: Callable[..., RunningSite],
    four_cameras_site: Callable[..., Path],
    shared_data: Path,
    tmp_path: Path,
    redis_url: str,
    redis_client: Client,
) -> None:
    recordings = shared_data / "data" / "ufes-four-cameras"
    # 60 new pictures a second from each of three cameras: more than two networks manage without a GPU. From four, two
    # slow cores would hardly do anything but decode.
    names = CAMERAS[:3]
    cameras = [{"name": name, "source": str(recordings / f"{name}.mp4"), "loop": True, "fps": 60} for name in names]
    site_file = four_cameras_site(
        tmp_path, clock={"target_fps": 60}, association=OSNET, cameras=cameras, layout={"overlaps": [names]}
    )
    site = start(site_file, "--redis", redis_url)
    site.wait_for(lambda: int(redis_client.hget(KEYS.skew, "skipped") or 0) > 100, 60)
    skipped = int(redis_client.hget(KEYS.skew, "skipped"))
    behind = []
    for _ in range(20):
        with redis_client.pipeline(transaction=True) as pipe:
            pipe.get(KEYS.tick)
            pipe.xrevrange(KEYS.tracks("cam0"), count=1)
            now, newest = pipe.execute()
        behind.append(int(now) - int(newest[0][1][b"tick"]))
        time.sleep(0.25)
    assert int(redis_client.hget(KEYS.skew, "skipped")) > skipped, "the worker keeps up, so this shows nothing"
    entries = [fields for _, fields in redis_client.xrange(KEYS.tracks("cam0"))]
    # In ticks: the longest that the worker took for one of its own rounds, and how old its newest result ever was.
    interval = max(np.diff([int(fields[b"tick"]) for fields in entries]))
    assert max(behind) <= 2 * interval, (behind, interval)
    # One look may come at the end of a moment in which the whole machine was held up.
    assert sorted(behind)[-2] < 60, "it is more than a second behind"
    assert sum(int(fields[b"n"]) for fields in entries) > 0, "no picture is decoded in time"
    assert int(redis_client.xrevrange(KEYS.frames("cam0"), count=1)[0][1][b"tick"]) > 0
