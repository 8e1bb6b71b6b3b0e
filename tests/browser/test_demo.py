"""`mtmc demo` as a newcomer runs it, seen in a real browser."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.wall import pictures_change
from tests.running_site import ROOT, environment

pytestmark = pytest.mark.alone
CAMERAS = ["crossing-southwest", "crossing-northeast"]


def test_two_cameras_of_the_demo_are_live_and_vehicles_bear_one_gid_in_both(tmp_path: Path, browser: WebDriver) -> None:
    words = ["--seed", "11", "--seconds", "20", "--cameras", ",".join(CAMERAS), "--port", "0", "--cache", "rendered"]
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
        wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+/", output.read_text()), 90)
        page = re.findall(r"http://127\.0\.0\.1:\d+/", output.read_text())[0]
        browser.get(page)
        wait_for(pictures_change(browser, CAMERAS), 20)

        def some_vehicle_is_known_in_both() -> set[int]:
            tracks = browser.execute_async_script(
                "fetch('/api/v1/tracks').then(answer => answer.json()).then(arguments[0])"
            )["cameras"]
            gids = [{track["gid"] for track in camera["tracks"] if track["gid"]} for camera in tracks]
            return set.intersection(*gids)

        def some_vehicle_is_in_both_pictures() -> set[str]:
            boxes = "return [...tiles.values()].map(tile => tile.picture.boxes.filter(([gid]) => gid !== null))"
            shown = [{f"{box[0]} {box[5]}" for box in picture} for picture in browser.execute_script(boxes)]
            return set.intersection(*shown)

        wait_for(some_vehicle_is_known_in_both, 30)
        wait_for(some_vehicle_is_in_both_pictures, 30)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "rendered" / "demo-seed-11-20s-crossing-northeast-crossing-southwest" / "ground_truth").is_dir()
