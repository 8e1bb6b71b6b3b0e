"""The live wall in a real browser: boxes in step with pictures, what is streamed, the pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Key
from selenium.webdriver.remote.webdriver import WebDriver

from shared.redis_connection import Client, connect
from tests.browser.wall import health
from tests.integration.streamer_site import (
    KEYS,
    Serving,
    publish,
    publish_picture,
    serving,
    set_status,
    track_entry,
    wait_until,
)
from tests.slow_link import SlowLink
from tests.stopwatch import Stopwatch

CAMERAS = [f"camera-{number}" for number in range(1, 9)]
WIDTH, HEIGHT = 640, 360
BOX = 60


def place_of(tick: int) -> tuple[int, int]:
    """Where the object is: the left and the top edge of its box."""
    return 40 + tick * 70 % 480, 60 + tick * 50 % 200


def picture_of(tick: int, background: npt.NDArray[np.uint8]) -> bytes:
    """A picture with a white object."""
    image = background.copy()
    left, top = place_of(tick)
    image[top : top + BOX, left : left + BOX] = 255
    return bytes(cv2.imencode(".jpg", image)[1].tobytes())


class Feed:
    """Publishes pictures of all cameras ten times a second; identity 7 is in the cameras `seen_by`."""

    def __init__(self, client: Client) -> None:
        self.client, self.seen_by = client, {"camera-1"}
        self.tick = 0
        self.background = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self.tick += 1
            left, top = place_of(self.tick)
            box = [left, top, left + BOX, top + BOX, "car"]
            jpeg = picture_of(self.tick, self.background)
            for camera in CAMERAS:
                set_status(self.client, camera)
                boxes = [[7 if camera in self.seen_by else None, *box]]
                of_picture = {"width": WIDTH, "height": HEIGHT, "time_ns": time.time_ns()}
                publish_picture(self.client, camera, self.tick, jpeg, boxes=boxes, **of_picture)
            # The other cameras are on screen in all tests, so their tracks are not asked for.
            tracks = track_entry("camera-8", [5] if "camera-8" in self.seen_by else [])
            self.client.xadd(KEYS.tracks("camera-8"), tracks, maxlen=50)
            self.client.set(KEYS.tick, self.tick)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def feed(redis_url: str, redis_client: Client) -> Iterator[Feed]:
    publish(redis_url, list(CAMERAS))
    client = connect(redis_url)
    running = Feed(client)
    yield running
    running.close()
    client.close()


@pytest.fixture
def streamer(redis_url: str, feed: Feed) -> Iterator[Serving]:
    with serving(redis_url) as running:
        yield running


def script(browser: WebDriver, text: str, *arguments: Any) -> Any:
    return browser.execute_script(text, *arguments)  # type: ignore[no-untyped-call]


def drawn(browser: WebDriver) -> dict[str, int]:
    """Camera → how many pictures were drawn."""
    found: dict[str, int] = script(
        browser, "return Object.fromEntries([...tiles.values()].map(tile => [tile.name, tile.drawn]))"
    )
    return found


def open_wall(browser: WebDriver, streamer: Serving, place: str = "") -> None:
    browser.get(f"{streamer.streamer.url}/{place}")
    wait_until(lambda: script(browser, "return [...tiles.values()].some(tile => tile.drawn > 2)"), "pictures")


def set_window(browser: WebDriver, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # type: ignore[no-untyped-call]


def sent(streamer: Serving, camera: str) -> float:
    return streamer.metric("mtmc_streamer_frames_sent_total", f'camera="{camera}"')


def goes_on(browser: WebDriver, cameras: set[str]) -> bool:
    """Whether exactly these cameras get pictures, as seen over some pictures of theirs."""
    before = drawn(browser)
    wait_until(
        lambda: all(drawn(browser)[name] > before[name] + 2 for name in cameras), f"pictures of {sorted(cameras)}"
    )
    after = drawn(browser)
    return {name for name in after if after[name] > before[name]} == cameras


BRIGHTNESS = """
// The point of the picture in the middle of the glow: a part of the white object, if they belong together.
const tile = tiles.get('camera-1'), glow = tile.element.querySelector('.glow');
const view = tile.canvas.getBoundingClientRect(), box = glow.getBoundingClientRect();
const x = (box.left + box.width / 2 - view.left) / view.width * tile.canvas.width;
const y = (box.top + box.height / 2 - view.top) / view.height * tile.canvas.height;
return tile.context.getImageData(x, y, 1, 1).data[0];
"""
WATCH_GLOW = f"""
window.seen = [];
const brightness = () => {{ {BRIGHTNESS} }};
document.getElementById('wall').addEventListener('picture', (event) => {{
  if (event.detail.name === 'camera-1') window.seen.push(brightness());
}});
"""


def test_the_glow_is_in_step_with_the_picture_and_asks_for_nothing(
    browser: WebDriver, streamer: Serving, feed: Feed
) -> None:
    open_wall(browser, streamer, "#follow=7")
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".tile[data-followed] .glow"), "its box glows")
    script(browser, WATCH_GLOW)
    seen = wait_until(lambda: len(found := script(browser, "return window.seen")) > 15 and found, "pictures")
    assert min(seen) > 200, "a glow that is not where the object is"
    addresses = script(browser, "return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert not [address for address in addresses if "/tracks" in address]
    browser.find_element(By.ID, "pause").click()
    browser.find_element(By.ID, "panel-toggle").click()
    wait_until(lambda: browser.find_element(By.ID, "panel").is_displayed(), "the views are smaller")
    assert script(browser, BRIGHTNESS) > 200, "the glow did not move with the view"
    browser.find_element(By.ID, "pause").click()
    feed.seen_by = {"camera-5", "camera-6"}
    following = browser.find_element(By.ID, "following")
    wait_until(lambda: "camera-5, camera-6" in following.text, "it went to two other cameras")
    glow = "[data-camera='camera-1'] .glow"
    wait_until(lambda: not browser.find_elements(By.CSS_SELECTOR, glow), "the next picture of the first one has none")


def test_a_click_on_an_object_opens_its_journey_and_a_click_elsewhere_enlarges(
    browser: WebDriver, streamer: Serving, feed: Feed
) -> None:
    open_wall(browser, streamer)
    feed.close()
    wait_until(lambda: script(browser, "return tiles.get('camera-2').picture.tick") == feed.tick, "the last picture")
    assert point_at(browser, "camera-1", place_of(feed.tick)) == "pointer"
    ActionChains(browser).click().perform()
    wait_until(lambda: script(browser, "return location.hash") == "#gid=7", "its journey")
    browser.find_element(By.ID, "panel-close").click()
    wait_until(lambda: not browser.find_element(By.ID, "panel").is_displayed(), "the panel is closed")
    assert point_at(browser, "camera-2", place_of(feed.tick)) == "zoom-in", "an object without an id"
    ActionChains(browser).click().perform()
    wait_until(lambda: script(browser, "return location.hash") == "#camera=camera-2", "it is large")
    assert browser.find_elements(By.CSS_SELECTOR, ".large")


def point_at(browser: WebDriver, camera: str, corner: tuple[int, int]) -> str:
    """Moves the pointer onto the object with this corner in the picture of a camera; the shape of the pointer there."""
    place = script(browser, "return tiles.get(arguments[0]).place()", camera)
    button = browser.find_element(By.CSS_SELECTOR, f"[data-camera='{camera}'] .open")
    x = place["left"] + (corner[0] + BOX / 2) * place["scale"] - button.size["width"] / 2
    y = place["top"] + (corner[1] + BOX / 2) * place["scale"] - button.size["height"] / 2
    ActionChains(browser).move_to_element_with_offset(button, round(x), round(y)).perform()
    return str(script(browser, "return getComputedStyle(arguments[0]).cursor", button))


NEAR = """
return [...tiles.values()].filter(tile => {
  const view = tile.element.getBoundingClientRect();
  const wall = document.getElementById('wall').getBoundingClientRect();
  return view.bottom > wall.top - 80 && view.top < wall.bottom + 80;
}).map(tile => tile.name)
"""


def test_what_is_off_screen_is_not_streamed(browser: WebDriver, streamer: Serving, redis_client: Client) -> None:
    set_window(browser, 390, 700)
    open_wall(browser, streamer)
    assert sent(streamer, "camera-8") == 0
    assert redis_client.zscore(KEYS.viewers, "camera-8") is None, "it counts as watched"
    script(browser, "const wall = document.getElementById('wall'); wall.scrollTo(0, wall.scrollHeight)")
    wait_until(lambda: drawn(browser)["camera-8"] > 2, "it is streamed once it is on screen")
    near = set(script(browser, NEAR))
    assert 3 <= len(near) < 6
    wait_until(lambda: goes_on(browser, near), "those on screen alone")
    assert not browser.find_element(By.ID, "notice").is_displayed()
    wait_until(lambda: streamer.metric("mtmc_streamer_wall_viewers") == 1, "the stream of before is closed")


def test_a_followed_identity_is_found_off_screen_and_moves_to_the_front(
    browser: WebDriver, streamer: Serving, feed: Feed, redis_client: Client
) -> None:
    redis_client.hset(KEYS.gids("camera-8"), "5", "7")
    set_window(browser, 390, 700)
    open_wall(browser, streamer, "#follow=7")
    following = browser.find_element(By.ID, "following")
    wait_until(lambda: "not in view" in following.text or "camera-1" in following.text, "it is looked for")
    feed.seen_by = {"camera-8"}
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-camera='camera-8'] .glow"), "its box glows")
    assert script(browser, "return tiles.get('camera-8').element.getBoundingClientRect().top") < 300
    wait_until(lambda: following.text.startswith("Following #7 in camera-8"), "the line says so")


def test_only_the_large_camera_is_streamed(browser: WebDriver, streamer: Serving) -> None:
    open_wall(browser, streamer, "#camera=camera-3")
    wait_until(lambda: goes_on(browser, {"camera-3"}), "the large one alone")
    browser.find_element(By.CSS_SELECTOR, "body").send_keys(Key.ESCAPE)
    wait_until(lambda: goes_on(browser, set(CAMERAS)), "all of them")


def test_a_paused_wall_gets_no_pictures_and_goes_on_with_the_newest(
    browser: WebDriver, streamer: Serving, feed: Feed
) -> None:
    open_wall(browser, streamer)
    browser.find_element(By.CSS_SELECTOR, "body").send_keys(Key.SPACE)
    status, button = browser.find_element(By.ID, "paused"), browser.find_element(By.ID, "pause")
    wait_until(lambda: "Paused" in status.text, "the wall says so")
    assert button.get_dom_attribute("aria-pressed") == "true"

    def is_quiet() -> bool:
        before = sent(streamer, "camera-1")
        time.sleep(0.5)
        return sent(streamer, "camera-1") == before

    # At first, the one stream that is open may still be the one of before.
    wait_until(is_quiet, "no pictures are sent")
    wait_until(lambda: streamer.metric("mtmc_streamer_wall_viewers") == 1, "one stream is open")
    before, at_tick, sent_before = drawn(browser), feed.tick, sent(streamer, "camera-1")
    wait_until(lambda: int(health(browser, "tick").replace(",", "")) > at_tick + 10, "the state of the site goes on")
    assert (drawn(browser), sent(streamer, "camera-1")) == (before, sent_before)
    at_tick = feed.tick
    button.send_keys(Key.SPACE)
    wait_until(lambda: drawn(browser)["camera-1"] > before["camera-1"], "it goes on")
    assert script(browser, "return tiles.get('camera-1').picture.tick") >= at_tick - 3, "an old picture"
    assert not status.is_displayed()


WATCH_AGES = """
window.ages = [];
document.getElementById('wall').addEventListener('picture', (event) => {
  window.ages.push((Date.now() - Number(event.detail.picture.time_ns) / 1e6) / 1000);
});
"""


def test_over_a_slow_connection_pictures_are_smaller_and_fewer_but_not_old(
    browser: WebDriver, streamer: Serving, feed: Feed
) -> None:
    feed.background = np.random.default_rng(1).integers(0, 90, (HEIGHT, WIDTH, 3), np.uint8)
    link = SlowLink(streamer.port, 125_000)  # 1 Mbit/s
    browser.get(f"http://127.0.0.1:{link.port}/")
    width = "return Math.max(...[...tiles.values()].map(tile => tile.canvas.width))"
    wait_until(lambda: min(drawn(browser).values()) > 0 and script(browser, width) <= 240, "smaller pictures")
    script(browser, WATCH_AGES)
    ages = wait_until(lambda: len(found := script(browser, "return window.ages")) > 24 and found, "pictures")
    link.close()
    assert sorted(ages)[len(ages) // 2] < 3, "pictures waited in a queue"


FIRST_MS = """
const all = [...tiles.values()];
return all.every(tile => tile.drawn) && Math.max(...all.map(tile => tile.firstMs))
"""


@pytest.mark.alone
def test_the_first_picture_is_shown_at_once(browser: WebDriver, streamer: Serving) -> None:
    open_wall(browser, streamer)  # the browser and the streamer have warmed up
    browser.get("about:blank")
    watch = Stopwatch()
    browser.get(streamer.streamer.url)
    first_ms = wait_until(lambda: script(browser, FIRST_MS), "a picture of each camera")
    assert watch.within(4.0, first_ms / 1000), f"{first_ms} ms; it should be less than 1000 on an idle machine"
