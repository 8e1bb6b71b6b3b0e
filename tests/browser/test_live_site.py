"""`mtmc up` on four real cameras, seen in a real browser."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from shared.keys import Keys
from shared.redis_connection import Client
from tests.browser.wall import pictures_change
from tests.running_site import RunningSite
from tests.stopwatch import Stopwatch

pytestmark = pytest.mark.alone
CAMERAS = [f"cam{i}" for i in range(4)]
_STATES = "return Object.fromEntries([...tiles.values()].map(tile => [tile.name, tile.element.dataset.state]))"


def test_four_live_annotated_pictures_within_fifteen_seconds(
    start: Callable[..., RunningSite],
    four_cameras_site: Callable[..., Path],
    shared_data: Path,
    tmp_path: Path,
    redis_url: str,
    redis_client: Client,
    browser: WebDriver,
) -> None:
    recordings = shared_data / "data" / "ufes-four-cameras"
    cameras = [{"name": name, "source": str(recordings / f"{name}.mp4"), "loop": True} for name in CAMERAS]
    site_file = four_cameras_site(
        tmp_path, cameras=cameras, clock={"target_fps": 5}, association={"min_similarity": 0.6}
    )
    watch = Stopwatch()
    site = start(site_file, "--redis", redis_url)
    page = site.wait_for_words(r"http://127\.0\.0\.1:\d+/").group()
    browser.get(page)
    site.wait_for(pictures_change(browser, CAMERAS))
    site.wait_for(lambda: browser.execute_script(_STATES) == dict.fromkeys(CAMERAS, "live"))
    assert watch.within(15), watch.seconds

    keys = Keys("room")

    def gids(camera: str) -> set[bytes]:
        return set(redis_client.hvals(keys.gids(camera)))

    # The man with the dark shirt walks through all four views.
    site.wait_for(lambda: set.intersection(*(gids(camera) for camera in CAMERAS)))
    if os.environ.get("MTMC_SCREENSHOT"):
        browser.save_screenshot(os.environ["MTMC_SCREENSHOT"])
