"""The panel beside the wall, in a real browser: who is in view, following, the journey of one identity, and events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Key
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from shared.floor_plan import read_floor_plan
from shared.redis_connection import Client
from tests.integration.canned_answers import canned_answers
from tests.integration.lively_site import CAMERAS, T0, event, fill, identity, publish_lively_site, sighting
from tests.integration.streamer_site import KEYS, Serving, numbered_jpeg, publish_picture, serving, wait_until

SCRIPT = "<img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture
def page(redis_client: Client, redis_url: str) -> Iterator[Serving]:
    publish_lively_site(redis_url)
    fill(redis_client)
    with serving(redis_url) as running:
        yield running


def open_page(browser: WebDriver, page: Serving, place: str = "") -> None:
    browser.get(f"http://127.0.0.1:{page.port}/{place}")


def text(browser: WebDriver, css: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", css))


def texts(browser: WebDriver, css: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(element => element.textContent)"
    return [str(one) for one in browser.execute_script(script, css)]


def button(browser: WebDriver, css: str, label: str) -> WebElement:
    def found() -> list[WebElement]:
        return [one for one in browser.find_elements(By.CSS_SELECTOR, f"{css} button") if one.text == label]

    return wait_until(found, f"a button {label}")[0]


def click(browser: WebDriver, css: str, label: str) -> None:
    """By script: the panel may draw its buttons again between finding one and clicking it."""

    def clicked() -> bool:
        return bool(
            browser.execute_script(
                "const found = [...document.querySelectorAll(arguments[0] + ' button')]"
                ".find(one => one.textContent === arguments[1]); found?.click(); return Boolean(found)",
                css,
                label,
            )
        )

    wait_until(clicked, f"a button {label}")


def errors(browser: WebDriver) -> list[str]:
    log = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in log if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]


def test_who_is_in_view_is_listed_and_can_be_followed(browser: WebDriver, page: Serving, redis_client: Client) -> None:
    open_page(browser, page)
    wait_until(lambda: browser.find_elements(By.ID, "panel-toggle"), "the page")
    assert not browser.find_element(By.ID, "panel").is_displayed()
    browser.find_element(By.ID, "panel-toggle").send_keys(Key.ENTER)
    wait_until(lambda: "Anna" in text(browser, ".card .who"), "the identity in view, with its name")
    assert text(browser, ".sum") == "1 identity in view"
    # One tab is a stop of the keyboard, and the arrows lead to the others and back.
    browser.find_element(By.CSS_SELECTOR, "[role=tab][tabindex='0']").send_keys(Key.ARROW_RIGHT)
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".map .spot"), "the map")
    browser.switch_to.active_element.send_keys(Key.ARROW_LEFT)
    wait_until(lambda: "Anna" in text(browser, ".card .who"), "the identities in view again")
    wait_until(
        lambda: browser.execute_script("return document.querySelector('.card img')?.naturalWidth > 0"), "its crop"
    )
    click(browser, ".card", "Follow")

    def goes_on(*gids: int) -> None:
        """The next tick, in which the north sees these identities."""
        tick = redis_client.incr(KEYS.tick)
        boxes = [[gid, 20, 30, 90, 120, "car"] for gid in gids]
        publish_picture(redis_client, "north", tick, numbered_jpeg(tick), boxes=boxes)

    def glows() -> bool:
        goes_on(7)
        return bool(browser.find_elements(By.CSS_SELECTOR, ".tile[data-followed] .glow"))

    wait_until(glows, "its box glows")
    followed = browser.find_elements(By.CSS_SELECTOR, ".tile[data-followed]")
    assert [one.get_dom_attribute("data-camera") for one in followed] == ["north"]
    assert "in north" in text(browser, "#following")
    assert browser.execute_script(
        "const [bar, wall] = ['following', 'wall'].map(id => document.getElementById(id).getBoundingClientRect());"
        "return bar.bottom <= wall.top"
    ), "the bar covers no picture"
    wait_until(lambda: texts(browser, ".card .follow") == ["Following"], "the button says so")
    goes_on()
    wait_until(lambda: "not in view now" in text(browser, "#following"), "it left")
    assert not browser.execute_script("return document.getElementById('wall').hasAttribute('data-following')")
    click(browser, "#following", "Stop")
    wait_until(lambda: not browser.find_element(By.ID, "following").is_displayed(), "it is no longer followed")
    # It leaves, and comes back in another camera: name and number are as before.
    record = redis_client.hgetall(KEYS.identity(7))
    redis_client.hset(KEYS.identity(7), mapping={"present": "0"})
    wait_until(lambda: "Nobody is in view" in text(browser, ".sum"), "it is not listed")
    redis_client.hset(KEYS.identity(7), mapping={**record, b"cameras": b"north south gate"})
    wait_until(lambda: "Anna" in text(browser, ".card .who"), "its name")
    assert "gate" in text(browser, ".card .about")
    assert errors(browser) == []


def test_the_journey_says_where_when_and_why(browser: WebDriver, page: Serving, redis_client: Client) -> None:
    open_page(browser, page, "#gid=7")
    wait_until(lambda: text(browser, ".who") == "Anna · car" or "Anna" in text(browser, ".who"), "the identity")
    assert texts(browser, ".lane-name") == ["north", ""]
    assert "south" in text(browser, ".moved .stays li"), "the stay in the south belongs to another identity now"
    stays = texts(browser, ".journey > .stays li")
    assert len(stays) == len(browser.find_elements(By.CSS_SELECTOR, ".lane .stay"))
    assert "appearance" in stays[0]
    assert "position" in stays[0]
    assert not browser.find_elements(By.CSS_SELECTOR, ".handover"), "the stay in the south belongs to another identity"
    # The reason of the first stay: nobody was like it.
    assert "too unlike" in stays[-1]
    click(browser, ".journey > .stays li:last-child", "#5")
    wait_until(lambda: "blue van" in text(browser, ".who"), "the other identity")
    browser.back()
    wait_until(lambda: "Anna" in text(browser, ".who"), "back leads to the one before")
    # The other half of an identity is chosen by its picture.
    browser.execute_script("document.querySelector('.corrections').open = true")
    wait_until(lambda: texts(browser, ".offered button") == ["#8"], "another identity with a picture")
    browser.execute_script("document.querySelector('.offered button').focus()")
    ActionChains(browser).send_keys(Key.ENTER).perform()
    chosen = "return document.querySelector('[aria-label=\"the other identity\"]').value"
    assert browser.execute_script(chosen) == "8"
    assert browser.find_elements(By.CSS_SELECTOR, ".offered [aria-pressed=true] img")
    sighting(redis_client, 7, "gate", 12, 42, 50, score="0.000", terms="")
    wait_until(lambda: len(browser.find_elements(By.CSS_SELECTOR, ".handover")) == 1, "it went over to the gate")
    assert "nothing to decide" in texts(browser, ".journey > .stays li")[0], "no known identity could be this one"
    # After a merge, each track has the reason for which it joined, and the merge is a line of its own.
    merge = {"score": "3.100", "terms": "appearance=3.100", "runner_up": 0, "margin": "3.100"}
    sighting(redis_client, 6, "gate", 13, 53, 54, score="6.600", terms="position=6.600", runner_up=0, margin="6.600")
    for track in (13, 14):
        sighting(redis_client, 7, "gate", track, 40 + track, 56, **merge)
    newest = int(redis_client.xinfo_stream(KEYS.events)["last-generated-id"].split(b"-")[0])
    event(redis_client, newest + 1, "merged", 7, 55, other_gid=6, **merge)
    wait_until(lambda: "#6 was merged into this one" in text(browser, ".changes"), "the merge")
    fourteen, thirteen = texts(browser, ".journey > .stays li")[:2]
    assert "joined #6, which was merged into this one later" in thirteen
    assert "score 6.6" in thirteen
    assert "joined #6" in fourteen
    assert "why" not in fourteen
    assert "nothing to decide" not in fourteen
    sighting(redis_client, 7, "gate", 15, 57, 58)
    wait_until(lambda: "not known why" in texts(browser, ".journey > .stays li")[0], "a track without a reason")
    open_page(browser, page, "#gid=999")
    browser.refresh()
    wait_until(lambda: "no identity 999" in text(browser, "#panel-body"), "that there is none")


def test_events_are_listed_as_they_happen(browser: WebDriver, page: Serving, redis_client: Client) -> None:
    open_page(browser, page, "#view=events")
    wait_until(lambda: len(texts(browser, ".events li")) >= 2, "the events until now")
    before = len(texts(browser, ".events li"))
    newest = int(redis_client.xrevrange(KEYS.events, count=1)[0][0].split(b"-")[0])
    event(redis_client, newest + 1, "handover", 7, 60, camera="south", from_camera="north")
    wait_until(lambda: len(texts(browser, ".events li")) == before + 1, "the new event")
    wait_until(lambda: "Anna (car) moved from north to south" in texts(browser, ".events li")[0], "with its name")
    choose(browser, "class", "car")
    wait_until(lambda: all("(car)" in one for one in texts(browser, ".events li")), "events of cars")
    choose(browser, "class", "")
    type_into(browser, "name or number", "anna")
    wait_until(lambda: all("Anna" in one for one in texts(browser, ".events li")), "events of Anna")
    type_into(browser, "name or number", "")
    choose(browser, "kind of event", "left")
    wait_until(lambda: len(texts(browser, ".events li")) == 1, "the streamer chooses by kind")
    event(redis_client, newest + 2, "handover", 7, 61, camera="north", from_camera="south")
    event(redis_client, newest + 3, "left", 7, 62)
    wait_until(lambda: len(texts(browser, ".events li")) == 2, "only new events of this kind follow")
    choose(browser, "kind of event", "")
    choose(browser, "time", "600")
    wait_until(lambda: texts(browser, ".events li") == ["No event is like this."], "they are years old")
    choose(browser, "time", "between")
    for number, at_s in enumerate((10, 25)):
        time = datetime.fromtimestamp(T0 / 1e9 + at_s, UTC).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
        script = (
            "const field = document.querySelectorAll('.filters [type=datetime-local]')[arguments[0]];"
            "field.value = arguments[1]; field.dispatchEvent(new Event('change'))"
        )
        browser.execute_script(script, number, time)
    wait_until(lambda: len(texts(browser, ".events li")) == 3, "the events within this time")
    choose(browser, "time", "")
    wait_until(lambda: len(texts(browser, ".events li")) > 3, "all again")
    choose(browser, "camera", "gate")
    wait_until(lambda: all("gate" in one for one in texts(browser, ".events li")), "events at the gate")
    assert errors(browser) == []


def test_identities_are_found_by_number_name_class_and_camera(browser: WebDriver, page: Serving) -> None:
    open_page(browser, page, "#view=find")
    wait_until(lambda: len(texts(browser, ".found .card")) == 3, "all that are remembered")
    type_into(browser, "number or name", "VAN")
    submit(browser)
    wait_until(lambda: ["blue van" in one for one in texts(browser, ".found .card")] == [True], "the one of this name")
    assert "last seen at" in text(browser, ".found .card")
    type_into(browser, "number or name", "")
    choose(browser, "camera", "gate")
    submit(browser)
    wait_until(lambda: texts(browser, ".found .sum") == ["1 found, the highest number first"], "the one at the gate")
    choose(browser, "camera", "")
    type_into(browser, "seen before", "2023-11-14T00:00:01")
    submit(browser)
    wait_until(lambda: "Nothing is remembered" in text(browser, ".found"), "that there was none")
    type_into(browser, "number or name", "#7")
    submit(browser)
    wait_until(lambda: "Anna" in text(browser, ".facts .who"), "the journey of number 7")
    assert errors(browser) == []


def test_identities_are_found_by_a_picture(
    browser: WebDriver, page: Serving, redis_client: Client, tmp_path: Path
) -> None:
    picture, text_file = tmp_path / "car.png", tmp_path / "car.txt"
    cv2.imwrite(str(picture), np.full((90, 1600, 3), 90, np.uint8))
    text_file.write_text("a car")
    with canned_answers(redis_client):
        open_page(browser, page, "#view=find")
        wait_until(lambda: texts(browser, ".found .card"), "all that are remembered")
        browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(picture))
        wait_until(lambda: len(texts(browser, ".found .card")) == 2, "the nearest")
        first, second = texts(browser, ".found .card")
        assert "Anna" in first
        assert "very likely the same (score 4.3)" in first
        assert "rather another one (score -3.5)" in second
        browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(text_file))
        wait_until(lambda: "cannot read this file as a picture" in text(browser, ".found"), "what is wrong")
    assert errors(browser) == []


def test_look_alikes_of_an_identity_are_found(browser: WebDriver, page: Serving, redis_client: Client) -> None:
    with canned_answers(redis_client):
        open_page(browser, page, "#gid=7")
        click(browser, ".bar-of-journey", "Find similar")
        wait_until(lambda: "blue van" in " ".join(texts(browser, ".found .card")), "the nearest")
        assert "very likely the same" in texts(browser, ".found .card")[0]
        assert "like=7" in browser.current_url
    assert errors(browser) == []


def test_the_list_keeps_the_place_of_who_uses_it(browser: WebDriver, page: Serving, redis_client: Client) -> None:
    def cards() -> list[str]:
        found: list[str] = browser.execute_script(
            "return [...document.querySelectorAll('.card')].map(card => card.dataset.gid)"
        )
        return found

    def present(gid: int, yes: bool) -> None:
        redis_client.hset(KEYS.identity(gid), "present", int(yes))

    open_page(browser, page, "#view=now")
    wait_until(lambda: cards() == ["7"], "one in view")
    browser.execute_script("document.querySelector('.card .follow').focus()")
    present(8, yes=True)
    wait_until(lambda: cards() == ["7", "8"], "a newer one does not push the others away")
    present(7, yes=False)
    wait_until(lambda: cards() == ["8"], "it left")
    focused = "return document.activeElement.dataset.key ?? document.activeElement.id"
    assert browser.execute_script(focused) == "follow-8", "the focus goes to the neighbour"
    ActionChains(browser).send_keys(Key.ESCAPE).perform()
    wait_until(lambda: not browser.find_element(By.ID, "panel").is_displayed(), "Escape closes the panel")
    assert browser.execute_script(focused) == "panel-toggle"


def submit(browser: WebDriver) -> None:
    browser.execute_script("document.querySelector('.filters').requestSubmit()")


def choose(browser: WebDriver, label: str, value: str) -> None:
    def chosen() -> bool:
        return bool(
            browser.execute_script(
                "const found = document.querySelector(`[aria-label='${arguments[0]}']`);"
                "found.value = arguments[1]; found.dispatchEvent(new Event('input', {bubbles: true}));"
                "found.dispatchEvent(new Event('change', {bubbles: true})); return found.value === arguments[1]",
                label,
                value,
            )
        )

    wait_until(chosen, f"{label} can be {value}")


type_into = choose


def test_the_map_shows_views_and_positions(browser: WebDriver, page: Serving) -> None:
    open_page(browser, page, "#view=map")
    wait_until(lambda: texts(browser, ".map .spot text") == ["Anna"], "the identity on the ground")
    assert texts(browser, ".map .view text") == ["north"]
    assert "Without calibration: south, gate" in text(browser, ".ground .sum")
    spot = browser.find_element(By.CSS_SELECTOR, ".map .object")
    assert (float(spot.get_dom_attribute("cx") or 0), float(spot.get_dom_attribute("cy") or 0)) == (12.3, -4.5)
    # The way from north to gate was learned, the overlap of north and south configured.
    assert texts(browser, ".as-list li") == ["north and south overlap", "north to gate: 9 s"]
    browser.execute_script("document.querySelector('.map .spot').focus()")
    ActionChains(browser).send_keys(Key.ENTER).perform()
    wait_until(lambda: texts(browser, ".lane-name") == ["north", ""], "its journey")
    assert errors(browser) == []


def test_no_name_on_the_map_covers_another_and_zoom_makes_room(
    browser: WebDriver, page: Serving, redis_client: Client
) -> None:
    crowd = range(20, 32)
    for number, gid in enumerate(crowd):
        near = {"x": f"{1 + number / 10:.2f}", "y": f"{2 + number % 4 / 10:.2f}", "uncertainty": "0.1"}
        identity(redis_client, gid, 1, 30, 40, ["north"], present=True, **near)
    open_page(browser, page, "#view=map")
    wait_until(lambda: len(browser.find_elements(By.CSS_SELECTOR, ".map .spot")) == len(crowd) + 1, "the crowd")
    few = names_on_the_map(browser)
    assert 1 <= len(few) < len(crowd)
    browser.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})  # type: ignore[attr-defined]
    browser.execute_script("document.querySelector('.map .spot[data-crowded]').focus()")
    assert len(names_on_the_map(browser, apart=False)) == len(few) + 1, "the name of the one in focus is shown"
    for _ in range(6):
        browser.find_element(By.CSS_SELECTOR, "[aria-label='zoom in']").click()
    wait_until(lambda: len(names_on_the_map(browser)) > len(few), "more names")
    browser.execute_script("document.querySelector('.map').focus()")
    whole = "return Number(document.querySelector('.map').getAttribute('viewBox').split(' ')[2])"
    left = "return Number(document.querySelector('.map').getAttribute('viewBox').split(' ')[0])"
    width, before = browser.execute_script(whole), browser.execute_script(left)
    ActionChains(browser).send_keys(Key.ARROW_LEFT).perform()
    assert browser.execute_script(left) < before
    ActionChains(browser).send_keys("0").perform()
    assert browser.execute_script(whole) > 5 * width
    # A drag moves the map, and opens no journey.
    browser.find_element(By.CSS_SELECTOR, "[aria-label='zoom in']").click()
    before = browser.execute_script(left)
    spot = browser.find_element(By.CSS_SELECTOR, ".map .spot[data-gid='25'] .object")
    ActionChains(browser).move_to_element(spot).click_and_hold().move_by_offset(30, 0).release().perform()
    assert browser.execute_script(left) < before
    assert "gid" not in browser.current_url
    assert errors(browser) == []


def names_on_the_map(browser: WebDriver, apart: bool = True) -> list[str]:
    """The names that are shown; none covers another one."""
    script = (
        "return [...document.querySelectorAll('.map .spot text')]"
        ".filter(one => getComputedStyle(one).display !== 'none')"
        ".map(one => { const box = one.getBoundingClientRect();"
        "return [one.textContent, box.left, box.top, box.right, box.bottom] })"
    )
    shown = browser.execute_script(script)
    for index, (_, *a) in enumerate(shown if apart else ()):
        for _, *b in shown[:index]:
            assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3], (a, b)
    return [name for name, *_ in shown]


def test_a_floor_plan_lies_under_the_map(
    browser: WebDriver, page: Serving, redis_client: Client, tmp_path: Path
) -> None:
    picture = tmp_path / "plan.png"
    cv2.imwrite(str(picture), np.full((200, 400, 3), 230, np.uint8))
    open_page(browser, page, "#view=map")
    wait_until(lambda: texts(browser, ".map .view text"), "the map")
    browser.find_element(By.CSS_SELECTOR, ".plan-form summary").click()
    browser.find_element(By.CSS_SELECTOR, ".plan-form input[type=file]").send_keys(str(picture))
    left, lower, width = browser.find_elements(By.CSS_SELECTOR, ".plan-form input[type=number]")
    for field, value in ((left, "-10"), (lower, "2"), (width, "40")):
        field.clear()
        field.send_keys(value)
    click(browser, ".plan-form", "Save")
    plan = wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, ".map image.plan"), "the plan")[0]
    assert [plan.get_dom_attribute(name) for name in ("x", "y", "width", "height")] == ["-10", "-22", "40", "20"]
    stored = read_floor_plan(redis_client, KEYS)
    assert stored is not None
    assert (stored.x, stored.y, stored.width_m, stored.size) == (-10.0, 2.0, 40.0, (400, 200))
    browser.find_element(By.CSS_SELECTOR, ".plan-form summary").click()
    click(browser, ".plan-form", "Remove")
    wait_until(lambda: not browser.find_elements(By.CSS_SELECTOR, ".map image.plan"), "it is gone")
    assert errors(browser) == []


@pytest.mark.parametrize("place", ["#view=now", "#view=map", "#gid=7"])
def test_a_name_with_markup_stays_text(browser: WebDriver, page: Serving, redis_client: Client, place: str) -> None:
    redis_client.hset(KEYS.names, "7", SCRIPT)
    open_page(browser, page, place)
    wait_until(lambda: SCRIPT in text(browser, ".who, .map .spot text"), "the name as text")
    assert "hacked" not in browser.title


def test_it_fits_a_phone(browser: WebDriver, page: Serving) -> None:
    browser.set_window_size(375, 800)
    open_page(browser, page, "#view=now")
    wait_until(lambda: "Anna" in text(browser, ".card .who"), "the identity in view")
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert len(CAMERAS) == len(browser.find_elements(By.CSS_SELECTOR, ".tile"))
    # What is well is hidden here, but can be reached.
    parts = wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "#health li"), "the strip")
    assert {one.get_dom_attribute("data-part") for one in parts if not one.is_displayed()} <= {"skew", "services"}
    browser.find_element(By.ID, "health-more").click()
    assert all(one.is_displayed() for one in parts)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
