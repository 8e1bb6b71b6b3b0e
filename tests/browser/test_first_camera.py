"""A site without cameras: an operator adds the first one on the page, pauses it, and removes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from shared.redis_connection import Client
from shared.tokens import add_token
from tests.browser.test_login import enter, wait_for_login
from tests.browser.test_panel import click, errors, text, texts
from tests.http_server import Exchange, serving_http
from tests.integration.streamer_site import KEYS as YARD
from tests.integration.streamer_site import publish, serving, wait_until
from tests.running_hall import RunningHall

PICTURE = cv2.imencode(".jpg", np.full((180, 320, 3), (40, 160, 90), np.uint8))[1].tobytes()


@pytest.fixture
def hall(redis_client: Client, redis_url: str, tmp_path: Path) -> Iterator[RunningHall]:
    running = RunningHall(redis_client, redis_url, tmp_path, cameras=())
    try:
        yield running
    finally:
        running.stop()


def camera(exchange: Exchange) -> None:
    if exchange.path != "/video":
        exchange.begin(None, 404)
        return
    exchange.begin("multipart/x-mixed-replace; boundary=x")
    while exchange.wait(0.05):
        exchange.send(b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n")


def type_into(browser: WebDriver, label: str, value: str) -> None:
    script = (
        "const label = [...document.querySelectorAll('.add-camera label')].find(one => "
        "one.textContent.startsWith(arguments[0])); label.querySelector('input').value = arguments[1]"
    )
    browser.execute_script(script, label, value)


def test_the_first_camera_is_tested_saved_paused_and_removed(browser: WebDriver, hall: RunningHall) -> None:
    with serving_http(camera) as address:
        browser.get(f"http://127.0.0.1:{hall.pages.port}/")
        wait_until(lambda: text(browser, "#empty-site h2") == "This site has no camera yet", "what to do first")
        wait_until(lambda: "Detector: detector.onnx." in text(browser, "#empty-site .networks"), "the models")
        assert "mtmc config publish SITE.yaml" in text(browser, "#empty-site pre")
        browser.find_element(By.LINK_TEXT, "Add a camera").click()
        wait_until(lambda: browser.find_element(By.CSS_SELECTOR, ".add-camera form").is_displayed(), "the form")
        type_into(browser, "Address", f"{address}/nothing")
        click(browser, ".add-camera", "Test")
        wait_until(lambda: "It does not work" in text(browser, ".trial"), "the reason")
        assert "404" in text(browser, ".trial")
        type_into(browser, "Address", f"{address}/video")
        click(browser, ".add-camera", "Test")
        wait_until(lambda: "It works: 320 × 180" in text(browser, ".trial"), "what the camera sends")
        shown = "return document.querySelector('.trial img').naturalWidth"
        wait_until(lambda: browser.execute_script(shown) == 320, "its picture")
        type_into(browser, "Name", "lobby")
        type_into(browser, "Title", "<b>Lobby</b>")
        click(browser, ".add-camera", "Save")
        wait_until(lambda: "was added" in text(browser, ".trial"), "that it was added")
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".tile[data-picture=shown]"), "its live picture")
        assert not browser.find_element(By.ID, "empty-site").is_displayed()
        browser.execute_script("document.querySelector('.of-networks').open = true")
        wait_until(lambda: "It looks for person." in text(browser, ".of-networks .networks"), "what is found")
        wait_until(lambda: "<b>Lobby</b> (lobby)" in texts(browser, ".camera-list .who"), "it is listed")
        click(browser, ".camera-list", "Pause")
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".tile[data-state=paused]"), "it is paused")
        wait_until(lambda: "paused" in text(browser, ".said"), "that it is paused")
        click(browser, ".camera-list", "Resume")
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".tile[data-state=live]"), "it is live again")
        click(browser, ".camera-list", "Remove it")
        wait_until(browser.find_element(By.ID, "empty-site").is_displayed, "it is gone")
    assert [one for one in errors(browser) if "/sources/test" not in one] == []
    assert hall.errors == []


def test_a_viewer_cannot_add_cameras(browser: WebDriver, redis_url: str, redis_client: Client) -> None:
    publish(redis_url, [])
    token = add_token(redis_client, YARD, "viewer", "a test", None)[0]
    with serving(redis_url, published="0.0.0.0") as site:
        browser.get(f"{site.streamer.url}/#view=cameras&add=1")
        wait_for_login(browser, "the login")
        enter(browser, token.text)
        wait_until(lambda: "An operator can add one" in text(browser, "#empty-site"), "who can add a camera")
        wait_until(lambda: "Embedder, which" in text(browser, "#empty-site .networks"), "the models")
        assert not browser.find_elements(By.CSS_SELECTOR, "#empty-site pre"), "a viewer cannot change them"
        browser.get(f"{site.streamer.url}/#view=cameras")
        wait_until(lambda: "no camera yet" in text(browser, ".camera-list"), "the list")
        assert not browser.find_elements(By.CSS_SELECTOR, ".add-camera, .camera-list button")
