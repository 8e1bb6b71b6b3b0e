"""A real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1400,900"
)


WINDOW = (1400, 900)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """A headless Chromium for all tests of this process."""
    if not (CHROMIUM.exists() and CHROMEDRIVER.exists()):
        reason = f"no browser: {CHROMIUM} and {CHROMEDRIVER} are needed (Debian: chromium, chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: WebDriver) -> Iterator[WebDriver]:
    """A window of this test's own; each test serves its page on another port, so that nothing of it is remembered."""
    before = chromium.current_window_handle
    chromium.switch_to.new_window("window")
    chromium.set_window_size(*WINDOW)
    chromium.get_log("browser")  # type: ignore[no-untyped-call]  # forgets the messages of earlier tests
    yield chromium
    chromium.close()
    chromium.switch_to.window(before)
