"""Barriers for people who use the page with a keyboard, a screen reader, or a small screen, as axe-core finds them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from shared.redis_connection import Client
from tests.browser.test_panel import open_page, text
from tests.integration.lively_site import fill, publish_lively_site
from tests.integration.streamer_site import Serving, serving, wait_until

VIEWS = {
    "": "return document.querySelectorAll('#health li').length > 0",
    "#view=now": "return document.querySelector('.card') !== null",
    "#view=map": "return document.querySelector('.map .spot') !== null",
    "#view=events": "return document.querySelectorAll('.events li .link').length > 0",
    "#view=find": "return document.querySelectorAll('.found .card').length > 0",
    "#view=cameras&add=1": (
        "for (const one of document.querySelectorAll('.of-networks')) one.open = true;"
        "return document.querySelectorAll('.camera-list li').length > 1 && document.querySelector('.networks p')"
    ),
    "#view=cameras&calibrate=north": "return document.querySelector('.editor .places .map') !== null",
    "#gid=7": (
        "for (const one of document.querySelectorAll('.corrections')) one.open = true;"
        "return document.querySelectorAll('.stays li').length > 0 && document.querySelector('.offered img')"
    ),
    "#camera=north": "return document.querySelector('.tile.large') !== null",
}
"""Part of the address → script that says whether the view is there."""


@pytest.fixture
def page(redis_client: Client, redis_url: str) -> Iterator[Serving]:
    publish_lively_site(redis_url)
    fill(redis_client)
    with serving(redis_url) as running:
        yield running


def barriers(browser: WebDriver, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe-core finds with its `rules` (none: with all), one line for each element."""
    if not browser.execute_script("return typeof axe === 'object'"):  # type: ignore[no-untyped-call]
        package = find_spec("axe_playwright_python")
        assert package is not None
        assert package.origin is not None
        browser.execute_script(  # type: ignore[no-untyped-call]
            (Path(package.origin).parent / "axe.min.js").read_text(encoding="utf-8")
        )
    found: dict[str, Any] = browser.execute_async_script(  # type: ignore[no-untyped-call]
        "const [rules, done] = arguments, options = rules.length ? {runOnly: rules} : {};"
        "axe.run(document, options).then(done, error => done({error: String(error)}))",
        list(rules),
    )
    assert "error" not in found, found
    assert len(found["passes"]) > (0 if rules else 10), "it has looked"
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:160]} ({node['failureSummary']})"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_no_view_has_a_barrier(browser: WebDriver, page: Serving, theme: str) -> None:
    rules = ("color-contrast",) if theme == "light" else ()  # nothing else is different
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})  # type: ignore[attr-defined]
    found = []
    for width in (1400, 360):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)  # type: ignore[attr-defined]
        for place, is_there in VIEWS.items():
            open_page(browser, page, place)
            browser.refresh()
            wait_until(lambda is_there=is_there: browser.execute_script(is_there), f"the view {place}")
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, place
            found += [f"{theme} {width} {place}: {line}" for line in barriers(browser, rules)]
    assert not found, "\n".join(found)


def test_the_login_has_no_barrier(browser: WebDriver, redis_url: str) -> None:
    publish_lively_site(redis_url)
    with serving(redis_url, published="0.0.0.0") as site:
        browser.get(f"{site.streamer.url}/")
        wait_until(lambda: browser.find_elements(By.NAME, "token"), "the login")
        assert barriers(browser) == []


def test_a_barrier_is_found(browser: WebDriver, page: Serving) -> None:
    open_page(browser, page, "#view=now")
    wait_until(lambda: "Anna" in text(browser, ".card .who"), "the identity in view")
    browser.execute_script("document.querySelector('.card img').removeAttribute('alt')")  # type: ignore[no-untyped-call]
    assert any("image-alt" in line for line in barriers(browser))
