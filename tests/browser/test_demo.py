"""`mtmc demo` as a newcomer runs it, seen in a real browser.

Takes the pictures of the README: `make screenshots` keeps them, of all six cameras.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.wall import pictures_change
from tests.running_site import ROOT, environment

pytestmark = pytest.mark.alone
CAMERAS = ["crossing-southwest", "crossing-northeast"]
KEPT_IN = os.environ.get("MTMC_SCREENSHOTS")
"""Folder in which the screenshots are kept; then the demo has all of its cameras."""


def test_two_cameras_of_the_demo_are_live_and_vehicles_bear_one_gid_in_both(tmp_path: Path, browser: WebDriver) -> None:
    of_two = ["--seconds", "20", "--cameras", ",".join(CAMERAS)]
    words = ["--seed", "11", "--port", "0", "--cache", "rendered", *(["--seconds", "60"] if KEPT_IN else of_two)]
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "demo", *words],
            cwd=tmp_path,
            env={**environment(), "PYTHONPATH": str(ROOT)},
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
        )

    def wait_for(condition: Callable[[], object], seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < ends, output.read_text()
            time.sleep(0.1)

    try:
        wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+/", output.read_text()), 400 if KEPT_IN else 90)
        page = re.findall(r"http://127\.0\.0\.1:\d+/", output.read_text())[0]
        browser.get(page)
        shown = browser.execute_script("return [...tiles.keys()]")  # type: ignore[no-untyped-call]
        assert set(CAMERAS) <= set(shown)
        wait_for(pictures_change(browser, shown), 20)

        def some_vehicle_is_known_in_both() -> set[int]:
            tracks = browser.execute_async_script(
                "fetch('/api/v1/tracks').then(answer => answer.json()).then(arguments[0])"
            )["cameras"]
            views = Counter(
                gid for camera in tracks for gid in {track["gid"] for track in camera["tracks"] if track["gid"]}
            )
            return {gid for gid, number in views.items() if number >= 2}

        def some_vehicle_is_in_both_pictures() -> set[str]:
            boxes = "return [...tiles.values()].map(tile => tile.picture.boxes.filter(([gid]) => gid !== null))"
            views = Counter(
                one for picture in browser.execute_script(boxes) for one in {f"{box[0]} {box[5]}" for box in picture}
            )
            return {one for one, number in views.items() if number >= 2}

        wait_for(some_vehicle_is_known_in_both, 30)
        wait_for(some_vehicle_is_in_both_pictures, 30)
        tour(browser, page, Path(KEPT_IN) if KEPT_IN else tmp_path, some_vehicle_is_known_in_both, wait_for)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert list((tmp_path / "rendered").glob("demo-seed-11-*/ground_truth"))


def tour(
    browser: WebDriver,
    page: str,
    folder: Path,
    in_two_views: Callable[[], set[int]],
    wait_for: Callable[[Callable[[], object], float], None],
) -> None:
    """Looks at one vehicle in each view of the page, and takes a picture of each."""

    def look(theme: str, place: str, is_there: str, name: str = "", width: int = 1440, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)  # type: ignore[attr-defined]
        features = [{"name": "prefers-color-scheme", "value": theme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})  # type: ignore[attr-defined]
        browser.get(f"{page}#{place}")
        wait_for(lambda: browser.execute_script(f"return {is_there}"), 30)  # type: ignore[no-untyped-call]
        time.sleep(3 if KEPT_IN else 0)  # crops and trails come with time
        if name:
            save(name)

    def save(name: str) -> None:
        image = cv2.imdecode(np.frombuffer(browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        cv2.imwrite(str(folder / f"page-{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 82])

    def follow() -> bool:
        """Whether a vehicle is followed that glows in two views at once, in one colour."""
        gid = max(in_two_views(), default=0)
        browser.get(f"{page}#view=now&follow={gid}")
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            colours = browser.execute_script(
                "return [...document.querySelectorAll('.tile .glow')].map(glow => getComputedStyle(glow).color)"
            )
            if len(colours) >= 2:
                assert len(set(colours)) == 1, "one vehicle has one colour"
                return True
        return False

    look("dark", "", "document.querySelectorAll('#health [data-level=good]').length >= 6", "wall")
    look("dark", "view=now", "document.querySelector('.card img')?.naturalWidth > 0")
    wait_for(follow, 40)
    save("follow")
    journeys = "document.querySelectorAll('.lane .stay').length >= 2"
    wait_for(in_two_views, 30)
    look("light", f"gid={max(in_two_views(), default=1)}", journeys, "journey")
    look("dark", "view=map", "document.querySelectorAll('.map .spot').length > 0", "map")
    look("light", "view=events", "document.querySelectorAll('.events li .link').length > 0")
    look("dark", "view=now", "document.querySelector('.card img')?.naturalWidth > 0", "phone", 390, 844)
