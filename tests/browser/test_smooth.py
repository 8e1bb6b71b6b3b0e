"""Sixteen cameras in two windows stay smooth, and take no more and more memory.

Measures for 8 s; `make soak-page` for a minute.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from shared.redis_connection import Client, connect
from tests.integration.streamer_site import KEYS, Serving, numbered_jpeg, publish, serving, set_status, wait_until

CAMERAS = [f"camera-{number:02}" for number in range(1, 17)]
SECONDS = float(os.environ.get("MTMC_SMOOTH_SECONDS", "8"))
FPS = 5.0
SIZE = (960, 540)
BOXES = "[" + ",".join(f'[{gid},{40 * gid},100,{40 * gid + 30},200,"person"]' for gid in range(1, 11)) + "]"
MB = 1 << 20


class Feed:
    """Publishes prepared pictures of all cameras `FPS` times per second."""

    def __init__(self, client: Client) -> None:
        self.client, self.published = client, 0
        self._jpegs = [numbered_jpeg(number, size=SIZE) for number in range(20)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        began, tick = time.monotonic(), 0
        while not self._stop.wait(max(0.0, began + tick / FPS - time.monotonic())):
            tick += 1
            fields = {"tick": tick, "time_ns": time.time_ns(), "width": SIZE[0], "height": SIZE[1], "boxes": BOXES}
            fields["jpeg"] = self._jpegs[tick % len(self._jpegs)]
            with self.client.pipeline(transaction=False) as pipe:
                for camera in CAMERAS:
                    pipe.xadd(KEYS.frames(camera), fields, maxlen=2, approximate=False)
                pipe.set(KEYS.tick, tick)
                pipe.execute()
            self.published = tick

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def feed(redis_url: str, redis_client: Client) -> Iterator[Feed]:
    publish(redis_url, list(CAMERAS))
    for camera in CAMERAS:
        set_status(redis_client, camera)
    client = connect(redis_url)
    running = Feed(client)
    yield running
    running.close()
    client.close()


@pytest.fixture
def streamer(redis_url: str, feed: Feed) -> Iterator[Serving]:
    with serving(redis_url) as running:
        yield running


DRAWN = "return [...tiles.values()].map(tile => tile.drawn)"
WATCH_FRAMES = """
window.gaps = [];
let before = performance.now();
requestAnimationFrame(function next(now) {
  window.gaps.push(now - before);
  before = now;
  requestAnimationFrame(next);
});
"""


class Window:
    """One of the windows."""

    def __init__(self, browser: WebDriver, handle: str) -> None:
        self.browser, self.handle = browser, handle

    def script(self, text: str) -> Any:
        self.browser.switch_to.window(self.handle)
        return self.browser.execute_script(text)  # type: ignore[no-untyped-call]

    def heap_bytes(self) -> int:
        """What JavaScript keeps, after the garbage was collected."""
        self.browser.switch_to.window(self.handle)
        self.browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})  # type: ignore[no-untyped-call]
        return int(self.browser.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"])  # type: ignore[no-untyped-call]


@pytest.mark.alone
def test_sixteen_cameras_in_two_windows_stay_smooth(browser: WebDriver, streamer: Serving, feed: Feed) -> None:
    first = browser.current_window_handle
    browser.get(f"{streamer.streamer.url}/#follow=3")
    browser.switch_to.new_window("window")
    browser.set_window_size(1400, 900)
    windows = [Window(browser, first), Window(browser, browser.current_window_handle)]
    try:
        browser.get(f"{streamer.streamer.url}/#follow=3")
        for window in windows:
            wait_until(lambda window=window: min(window.script(DRAWN)) > 10, "pictures of all cameras")
        heaps = [window.heap_bytes() for window in windows]
        for window in windows:
            window.script(WATCH_FRAMES)
        began, published = time.monotonic(), feed.published
        drawn = [window.script(DRAWN) for window in windows]
        wait_until(lambda: time.monotonic() - began > SECONDS, "the time is over", SECONDS + 60)
        published = feed.published - published
        drawn = [
            [a - b for a, b in zip(window.script(DRAWN), drawn[i], strict=True)] for i, window in enumerate(windows)
        ]
        gaps = [window.script("return window.gaps") for window in windows]
        heaps = [window.heap_bytes() - heap for window, heap in zip(windows, heaps, strict=True)]
    finally:
        browser.switch_to.window(windows[1].handle)
        browser.close()
        browser.switch_to.window(first)
    shares = [min(each) / published for each in drawn]
    late = [sum(gap for gap in each if gap > 100) / sum(each) for each in gaps]
    sys.stdout.write(
        f"drawn {[f'{share:.0%}' for share in shares]} of {published} pictures of each camera; "
        f"{[len(each) for each in gaps]} frames, {[f'{share:.0%}' for share in late]} of the time in gaps over 100 ms; "
        f"heap grew by {[f'{grown / MB:.1f}' for grown in heaps]} MB\n"
    )
    assert published > 0.7 * SECONDS * FPS, "the test itself was too slow"
    assert min(shares) > 0.4
    assert max(late) < 0.5
    assert max(heaps) < 4 * MB
