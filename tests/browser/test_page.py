from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from redis.exceptions import RedisError
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Key
from selenium.webdriver.remote.webdriver import WebDriver

from shared.redis_connection import Client, connect
from tests.browser.wall import health
from tests.conftest import RedisProcess
from tests.free_ports import free_port
from tests.integration.streamer_site import (
    KEYS,
    Serving,
    numbered_jpeg,
    publish,
    publish_picture,
    serving,
    set_status,
    wait_until,
)

CAMERAS = [f"camera-{number}" for number in range(1, 9)]

_PICTURES = "return Object.fromEntries([...tiles.values()].map(tile => [tile.name, tile.canvas.toDataURL()]))"
_STATES = "return Object.fromEntries([...tiles.values()].map(tile => [tile.name, tile.element.dataset.state]))"
_SET_HIDDEN = """
Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});
document.dispatchEvent(new Event('visibilitychange'));
"""


class Feed:
    """Publishes numbered pictures of all cameras five times a second, like workers that outlive Redis."""

    def __init__(self, client: Client, cameras: list[str]) -> None:
        self.client, self.cameras = client, set(cameras)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        tick = 0
        while not self._stop.wait(0.2):
            tick += 1
            for camera in sorted(self.cameras):
                try:
                    set_status(self.client, camera)
                    publish_picture(self.client, camera, tick, numbered_jpeg(tick, camera))
                    self.client.set(KEYS.tick, tick)
                except RedisError:
                    continue

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def feed(redis_process: RedisProcess) -> Iterator[Feed]:
    """A site of eight cameras that all give pictures."""
    publish(redis_process.url, list(CAMERAS))
    client = connect(redis_process.url)
    running = Feed(client, CAMERAS)
    yield running
    running.close()
    client.close()


@pytest.fixture
def streamer(redis_process: RedisProcess, feed: Feed) -> Iterator[Serving]:
    with serving(redis_process.url) as running:
        yield running


def all_change(browser: WebDriver, cameras: list[str], times: int = 3) -> Callable[[], bool]:
    """A condition: each of these cameras has shown `times` different pictures since now."""
    shown: dict[str, set[str]] = {camera: set() for camera in cameras}

    def condition() -> bool:
        for camera, picture in browser.execute_script(_PICTURES).items():  # type: ignore[no-untyped-call]
            if camera in shown:
                shown[camera].add(picture)
        return all(len(pictures) >= times for pictures in shown.values())

    return condition


def states(browser: WebDriver) -> dict[str, str]:
    answer: dict[str, str] = browser.execute_script(_STATES)  # type: ignore[no-untyped-call]
    return answer


def script(browser: WebDriver, text: str, *arguments: Any) -> Any:
    return browser.execute_script(text, *arguments)  # type: ignore[no-untyped-call]


def test_a_tile_has_the_title_of_its_camera_and_says_what_is_wrong_with_its_picture(
    browser: WebDriver, redis_process: RedisProcess
) -> None:
    titled = {"name": "gate", "source": "rtsp://camera/1", "title": "Käfertaler Straße"}
    publish(redis_process.url, [titled, "yard", "roof"])
    client = connect(redis_process.url)
    shown = "return [...tiles.values()].map(t => [t.name, t.element.innerText, getComputedStyle(t.canvas).filter])"

    def tiles() -> dict[str, tuple[str, bool]]:
        """Camera → the text of its tile, and whether its picture is as bright as it is."""
        for camera, state in (("gate", "live"), ("yard", "frozen"), ("roof", "moved")):
            set_status(client, camera, state=state, fault="" if state == "live" else f"{state} since noon")
            publish_picture(client, camera, 1, numbered_jpeg(1))
        return {name: (text, bright == "none") for name, text, bright in script(browser, shown)}

    with serving(redis_process.url) as streamer:
        browser.get(streamer.streamer.url)
        wait_until(lambda: "moved since noon" in tiles()["roof"][0], "the states")
        wait_until(lambda: tiles()["roof"][1] and not tiles()["yard"][1], "the frozen picture alone is dimmed")
        found = tiles()
        assert "Käfertaler Straße" in found["gate"][0]
        assert "frozen since noon" in found["yard"][0]
        for camera, state in (("gate", "live"), ("yard", "frozen"), ("roof", "moved")):
            assert streamer.metric(f'mtmc_camera_state{{camera="{camera}",state="{state}"}}') == 1
        cameras = streamer.json("/api/v1/cameras")["cameras"]
        assert [camera["title"] for camera in cameras] == ["Käfertaler Straße", "yard", "roof"]
    client.close()


def test_eight_cameras_are_live_over_one_connection(browser: WebDriver, streamer: Serving) -> None:
    browser.get(streamer.streamer.url)
    wait_until(all_change(browser, CAMERAS), "eight pictures that change")
    wait_until(lambda: set(states(browser).values()) == {"live"}, "all are said to be live")
    assert streamer.metric("mtmc_streamer_wall_viewers") == 1
    assert streamer.metric("mtmc_streamer_viewers") == 0
    wait_until(lambda: health(browser, "cameras") == "8 / 8", "all are counted as live")
    assert browser.find_element(By.CSS_SELECTOR, "h1").text == "yard"
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    addresses = script(browser, "return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert addresses
    assert all(address.startswith(streamer.streamer.url) for address in addresses)


def test_a_camera_that_stops_shows_so_and_the_others_go_on(browser: WebDriver, streamer: Serving, feed: Feed) -> None:
    browser.get(streamer.streamer.url)
    wait_until(all_change(browser, CAMERAS, times=2), "eight pictures")
    feed.cameras.remove("camera-3")
    wait_until(lambda: states(browser)["camera-3"] == "stalled", "camera-3 is stalled")
    tile = browser.find_element(By.CSS_SELECTOR, "[data-camera='camera-3'] .reason")
    assert "Stalled" in tile.text
    assert "no new picture" in tile.text
    others = [camera for camera in CAMERAS if camera != "camera-3"]
    wait_until(all_change(browser, others), "the others")
    wait_until(
        lambda: [camera for camera, state in states(browser).items() if state != "live"] == ["camera-3"], "only it"
    )
    feed.cameras.add("camera-3")
    wait_until(all_change(browser, ["camera-3"]), "camera-3 again")
    wait_until(lambda: states(browser)["camera-3"] == "live", "camera-3 is live again")


def test_the_page_recovers_when_redis_comes_back(
    browser: WebDriver, streamer: Serving, redis_process: RedisProcess
) -> None:
    browser.get(streamer.streamer.url)
    wait_until(all_change(browser, CAMERAS, times=2), "eight pictures")
    notice = browser.find_element(By.ID, "notice")
    redis_process.kill()
    wait_until(lambda: "Redis" in notice.text, "the page says that Redis is away")
    assert set(states(browser).values()) == {"stalled"}
    browser.refresh()
    notice = browser.find_element(By.ID, "notice")
    wait_until(lambda: "Redis" in notice.text, "a page that is opened meanwhile says it too")
    redis_process.start()
    wait_until(all_change(browser, CAMERAS), "eight pictures again")
    wait_until(lambda: not notice.is_displayed(), "the notice is gone")


def test_the_page_recovers_when_the_streamer_comes_back(
    browser: WebDriver, redis_process: RedisProcess, feed: Feed
) -> None:
    with serving(redis_process.url, free_port()) as first:
        port = first.port
        browser.get(first.streamer.url)
        wait_until(all_change(browser, CAMERAS, times=2), "eight pictures")
    notice = browser.find_element(By.ID, "notice")
    wait_until(lambda: "streamer" in notice.text, "the page says that the streamer is away")
    with serving(redis_process.url, port):
        wait_until(all_change(browser, CAMERAS), "eight pictures again")
        wait_until(lambda: not notice.is_displayed(), "the notice is gone")


def test_a_camera_added_while_the_page_is_open_appears(
    browser: WebDriver, streamer: Serving, redis_process: RedisProcess, feed: Feed
) -> None:
    browser.get(streamer.streamer.url)
    wait_until(all_change(browser, CAMERAS, times=2), "eight pictures")
    publish(redis_process.url, [*CAMERAS, "camera-9"])
    feed.cameras.add("camera-9")
    wait_until(lambda: "camera-9" in states(browser), "the ninth tile")
    wait_until(all_change(browser, ["camera-9"]), "the ninth picture")


def test_a_camera_can_be_seen_large(browser: WebDriver, streamer: Serving) -> None:
    browser.get(streamer.streamer.url)
    tile = browser.find_element(By.CSS_SELECTOR, "[data-camera='camera-5']")
    wait_until(all_change(browser, CAMERAS, times=1), "pictures")
    wait_until(lambda: health(browser, "cameras"), "the state of the site, with its problems above the wall")
    small = tile.size["width"]
    tile.find_element(By.CSS_SELECTOR, "button").click()
    wait_until(lambda: tile.size["width"] > 2 * small, "camera-5 fills the window")
    wait_until(all_change(browser, ["camera-5"]), "it is live")
    browser.find_element(By.CSS_SELECTOR, "body").send_keys(Key.ESCAPE)
    wait_until(lambda: tile.size["width"] == small, "it is small again")
    browser.get(f"{streamer.streamer.url}/#camera=camera-2")
    browser.refresh()
    wait_until(
        lambda: browser.find_element(By.CSS_SELECTOR, ".large .name").text == "camera-2", "the address names a camera"
    )


def test_a_page_that_nobody_sees_costs_nothing(browser: WebDriver, streamer: Serving) -> None:
    browser.get(streamer.streamer.url)
    wait_until(lambda: streamer.metric("mtmc_streamer_wall_viewers") == 1, "the page is connected")
    script(browser, _SET_HIDDEN, True)
    wait_until(lambda: streamer.metric("mtmc_streamer_wall_viewers") == 0, "the hidden page has hung up")
    script(browser, _SET_HIDDEN, False)
    wait_until(all_change(browser, CAMERAS), "it goes on")


@pytest.mark.parametrize(("width", "columns"), [(345, 1), (1400, 3), (3840, 4)])
def test_the_pictures_fit_the_window(browser: WebDriver, streamer: Serving, width: int, columns: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # type: ignore[no-untyped-call]
    browser.get(streamer.streamer.url)
    wait_until(all_change(browser, CAMERAS, times=1), "eight pictures")
    boxes = script(
        browser,
        "return [...document.querySelectorAll('.tile')].map(tile => {"
        "const box = tile.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom]})",
    )
    assert len({box[0] for box in boxes}) == columns
    assert all(0 <= box[0] < box[2] <= width for box in boxes)
    rows = sorted({(box[1], box[3]) for box in boxes})
    assert all(above[1] <= below[0] for above, below in pairwise(rows)), "rows overlap"
    if columns > 1:
        assert rows[-1][1] <= 800
    assert script(browser, "return document.documentElement.scrollWidth") <= width
    right = "return Math.max(...[...document.querySelectorAll('header *')].map(e => e.getBoundingClientRect().right))"
    assert script(browser, right) <= width
