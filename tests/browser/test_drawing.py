"""An operator draws the mask of a camera, and calibrates it, on its picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from shared.camera_settings import read_settings
from shared.floor_plan import FloorPlan, write_floor_plan
from shared.redis_connection import Client
from tests.browser.test_panel import click, errors, open_page, text, texts
from tests.integration.lively_site import fill, publish_lively_site
from tests.integration.streamer_site import KEYS, Serving, serving, wait_until

GROUND = [(0.1, 0.9, 0, 0), (0.9, 0.9, 6, 0), (0.7, 0.3, 6, 20), (0.3, 0.3, 0, 20)]
"""Places in the picture, in fractions, and on the ground, in metres."""


@pytest.fixture
def page(redis_client: Client, redis_url: str) -> Iterator[Serving]:
    publish_lively_site(redis_url)
    fill(redis_client)
    with serving(redis_url) as running:
        yield running


def open_editor(browser: WebDriver, page: Serving, place: str) -> None:
    open_page(browser, page, place)
    shown = "return document.querySelector('.drawing')?.getAttribute('viewBox') === '0 0 320 180'"
    wait_until(lambda: browser.execute_script(shown), "the picture")


def click_at(browser: WebDriver, x: float, y: float) -> None:
    """Clicks at fractions of the picture."""
    picture = browser.find_element(By.CSS_SELECTOR, ".drawing")
    right, down = round((x - 0.5) * picture.rect["width"]), round((y - 0.5) * picture.rect["height"])
    ActionChains(browser).move_to_element_with_offset(picture, right, down).click().perform()


def fill_in(browser: WebDriver, css: str, values: list[Any]) -> None:
    script = (
        "document.querySelectorAll(arguments[0]).forEach((input, index) => { input.value = arguments[1][index];"
        "input.dispatchEvent(new Event('change')); })"
    )
    browser.execute_script(script, css, values)


def test_the_mask_is_drawn_on_the_picture(browser: WebDriver, page: Serving, redis_client: Client) -> None:
    open_page(browser, page, "#view=cameras")
    click(browser, ".camera-list [data-camera=south]", "Mask")
    open_editor(browser, page, "#view=cameras&mask=south")
    for x, y in [(0.1, 0.1), (0.5, 0.1)]:
        click_at(browser, x, y)
    click(browser, ".editor", "Close the area")
    assert "at least 3 corners" in text(browser, ".editor .said")
    click_at(browser, 0.1, 0.5)
    click(browser, ".editor", "Close the area")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".drawing polygon.area")) == 1
    click(browser, ".editor", "Save")
    wait_until(lambda: "Saved" in text(browser, ".editor .said"), "it is saved")
    (drawn,) = read_settings(redis_client, KEYS)["south"].mask_polygons
    assert [[round(value, 1) for value in point] for point in drawn] == [[0.1, 0.1], [0.5, 0.1], [0.1, 0.5]]
    open_editor(browser, page, "#view=cameras&mask=south")
    browser.refresh()
    wait_until(lambda: "Area 1, 3 corners" in text(browser, ".areas li"), "the mask is shown again")
    click_at(browser, 0.7, 0.7)
    click(browser, ".editor", "Cancel")
    wait_until(lambda: texts(browser, ".camera-list .who"), "the cameras")
    assert len(read_settings(redis_client, KEYS)["south"].mask_polygons) == 1, "nothing was saved"
    click(browser, ".camera-list [data-camera=south]", "Mask")
    wait_until(lambda: "Area 1, 3 corners" in text(browser, ".areas li"), "the mask as it was saved")
    assert len(texts(browser, ".areas > li")) == 1
    click(browser, ".areas", "Delete")
    click(browser, ".editor", "Save")
    wait_until(lambda: not read_settings(redis_client, KEYS)["south"].mask_polygons, "it is deleted")
    assert errors(browser) == []


def test_a_camera_is_calibrated_on_its_picture(browser: WebDriver, page: Serving, redis_client: Client) -> None:
    open_editor(browser, page, "#view=cameras&calibrate=south")
    wait_until(lambda: "not calibrated yet" in text(browser, ".state-of-calibration"), "the state")
    for number, (x, y, *_) in enumerate(GROUND[:3], start=1):
        click_at(browser, x, y)
        wait_until(lambda number=number: len(texts(browser, ".points li")) == number, "the point")
    click(browser, ".editor", "Try")
    wait_until(lambda: "at least 4 points" in text(browser, ".editor .said"), "that some are missing")
    # Without a mouse: a point in the middle, moved by its numbers.
    click(browser, ".editor", "Add a point")
    wait_until(lambda: len(texts(browser, ".points li")) == 4, "the point")
    fill_in(browser, ".points > li:last-child > label input", [30, 30])
    click(browser, ".editor", "Try")
    wait_until(lambda: "point 1 has no metres" in text(browser, ".editor .said"), "what is missing")
    fill_in(browser, ".points .metres input", [metres for _, _, *pair in GROUND for metres in pair])
    click(browser, ".editor", "Try")
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".ground-grid"), "the grid")
    assert all("off by 0.00 m" in one for one in texts(browser, ".points .error"))
    assert len(texts(browser, ".points .error")) == 4
    assert read_settings(redis_client, KEYS)["south"].calibration_points is None, "it was only tried"
    click(browser, ".editor", "Save")
    wait_until(lambda: "Saved" in text(browser, ".editor .said"), "it is saved")
    assert "It is calibrated by 4 points, with an error of 0.00 m" in text(browser, ".state-of-calibration")
    saved = read_settings(redis_client, KEYS)["south"].calibration_points
    assert saved is not None
    assert [tuple(point.metres) for point in saved.points] == [(0, 0), (6, 0), (6, 20), (0, 20)]
    assert saved.points[0].pixel[0] == pytest.approx(0.1 * saved.width, abs=0.01 * saved.width)
    open_page(browser, page, "#view=map")
    wait_until(lambda: sorted(texts(browser, ".map .view text")) == ["north", "south"], "it is on the map")
    open_editor(browser, page, "#view=cameras&calibrate=south")
    wait_until(lambda: len(texts(browser, ".points li")) == 4, "the points are shown again")
    # Two points are swapped.
    fill_in(browser, ".points .metres input", [6, 0, 0, 0, 6, 20, 0, 20])
    click(browser, ".editor", "Try")
    wait_until(lambda: "Not done" in text(browser, ".editor .said"), "what is wrong")
    assert [one for one in errors(browser) if "calibration" not in one] == []


def test_the_places_of_points_are_clicked_on_the_map(browser: WebDriver, page: Serving, redis_client: Client) -> None:
    jpeg = cv2.imencode(".jpg", np.full((100, 200, 3), 200, np.uint8))[1].tobytes()
    write_floor_plan(redis_client, KEYS, FloorPlan(-20.0, -10.0, 40.0, (200, 100), jpeg))
    open_editor(browser, page, "#view=cameras&calibrate=north")
    wait_until(lambda: "calibrated already, by a file" in text(browser, ".state-of-calibration"), "the state")
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".places .map image.plan"), "the floor plan")
    click_at(browser, 0.2, 0.8)
    click_metres(browser, 10, 5)
    assert metres(browser) == [[10, 5]]
    click_at(browser, 0.8, 0.8)
    click_metres(browser, -10, 5)
    assert metres(browser) == [[10, 5], [-10, 5]]
    # The first one was wrong; and by keyboard, the map is as large as one likes.
    click(browser, ".points li:first-child", "Place")
    browser.execute_script("document.querySelector('.places .map').focus()")
    ActionChains(browser).send_keys("+").perform()
    click_metres(browser, 2, -3)
    assert metres(browser) == [[2, -3], [-10, 5]]
    assert texts(browser, ".places .corner text") == ["1", "2"]
    assert errors(browser) == []


def click_metres(browser: WebDriver, x: float, y: float) -> None:
    """Clicks a place on the map."""
    script = (
        "const map = document.querySelector('.places .map'); map.scrollIntoView({block: 'nearest'});"
        "const point = new DOMPoint(arguments[0], -arguments[1]).matrixTransform(map.getScreenCTM());"
        "return [point.x, point.y]"
    )
    right, down = browser.execute_script(script, x, y)
    pointer = ActionBuilder(browser)
    pointer.pointer_action.move_to_location(round(right), round(down)).click()
    pointer.perform()


def metres(browser: WebDriver) -> list[list[float]]:
    """The metres of each point, to whole ones: a pixel of the map is some centimetres."""
    values = browser.execute_script(
        "return [...document.querySelectorAll('.points .metres input')].map(one => one.value)"
    )
    numbers = [round(float(value)) if value else None for value in values]
    return [[*numbers[index : index + 2]] for index in range(0, len(numbers), 2)]
