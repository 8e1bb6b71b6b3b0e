"""The banner of the page, with a real clock, aggregator, streamer and Redis that hang."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys as Key
from selenium.webdriver.remote.webdriver import WebDriver

from shared.camera_settings import set_paused
from shared.keys import Keys
from shared.redis_connection import connect
from shared.service_list import read_services
from tests.browser.wall import health
from tests.conftest import RedisProcess
from tests.integration.streamer_site import wait_until
from tests.running_services import services_running, write_hall_site
from tests.small_site import small_site
from tests.stopwatch import Stopwatch

pytestmark = pytest.mark.alone
SAID_WITHIN_S = 3.0


WATCH = """
const [css, words] = arguments, began = performance.now();
window.shownAfterMs = null;
const look = () => {
  const found = document.querySelector(css);
  if (window.shownAfterMs === null && found && !found.hidden && found.textContent.includes(words)) {
    window.shownAfterMs = performance.now() - began;
  }
};
const everything = {subtree: true, childList: true, characterData: true, attributes: true};
new MutationObserver(look).observe(document.body, everything);
"""
"""Script that measures, by the clock of the page, when an element says `words`."""


def watch_for(browser: WebDriver, css: str, words: str) -> Callable[[], float]:
    """To be called just before a fault; the result waits for the words, and says after how many seconds they came."""
    browser.execute_script(WATCH, css, words)  # type: ignore[no-untyped-call]

    def seconds() -> float:
        shown = wait_until(lambda: browser.execute_script("return window.shownAfterMs"), f"{css} says {words}")
        return float(shown) / 1000

    return seconds


def level(browser: WebDriver, part: str) -> str:
    script = "return document.querySelector(`#health [data-part=${arguments[0]}]`)?.dataset.level ?? ''"
    return str(browser.execute_script(script, part))


def test_the_page_says_what_hangs_until_it_goes_on(
    browser: WebDriver, redis_process: RedisProcess, tmp_path: Path
) -> None:
    site_file, log = write_hall_site(tmp_path), tmp_path / "log"
    with services_running(log) as run, connect(redis_process.url) as client:
        services = {
            role: run(role, site_file, "--redis", redis_process.url) for role in ("clock", "aggregator", "streamer")
        }
        served = wait_until(
            lambda: re.search(r"\] serving service=streamer url=(http:\S+)", log.read_text()), "the streamer serves"
        )
        keys = Keys("hall")
        wait_until(lambda: [one.ready for one in read_services(client, keys)] == [True] * 3, "all are ready")
        set_paused(client, keys, ["a"], paused=True)  # so that no worker is missed
        browser.get(served[1])
        banner = browser.find_element(By.ID, "problems")
        notice = browser.find_element(By.ID, "notice")
        wait_until(lambda: health(browser, "cameras") == "0 / 1" and not banner.is_displayed(), "the site is well")

        stopwatch, shown_after_s = Stopwatch(), watch_for(browser, "#problems", "no aggregator does its work")
        services["aggregator"].send_signal(signal.SIGSTOP)
        assert stopwatch.within(SAID_WITHIN_S, shown_after_s())
        assert "This site has a problem" in banner.text
        wait_until(lambda: level(browser, "aggregator") == "bad", "the strip says so, too")
        browser.find_element(By.CSS_SELECTOR, "#health [data-part=aggregator] button").click()
        detail = browser.find_element(By.ID, "health-detail")
        assert "no aggregator does its work" in detail.text
        assert "What to do: restart the aggregator" in detail.text
        ActionChains(browser).send_keys(Key.ESCAPE).perform()
        assert not detail.is_displayed()
        assert (
            f"the aggregator on {os.uname().nodename} (pid {services['aggregator'].pid}) does not answer" in banner.text
        )
        assert "What to do: restart the aggregator" in banner.text
        alert = browser.find_element(By.CSS_SELECTOR, "[role=alert]")
        assert "no aggregator does its work" in (alert.get_attribute("textContent") or "")
        services["aggregator"].send_signal(signal.SIGCONT)
        wait_until(lambda: not banner.is_displayed(), "the banner is gone")

        services["streamer"].send_signal(signal.SIGSTOP)
        wait_until(lambda: "The streamer does not answer" in notice.text, "a streamer that hangs")
        assert health(browser, "cameras") in ("", "–"), "nothing is said to be live"
        services["streamer"].send_signal(signal.SIGCONT)
        wait_until(lambda: not notice.is_displayed() and health(browser, "cameras") == "0 / 1", "the streamer again")

        os.kill(redis_process.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: "Redis does not answer" in notice.text, "a Redis that hangs")
            assert (level(browser, "redis"), level(browser, "tick")) == ("bad", "unknown")
            assert health(browser, "cameras") in ("", "–")
        finally:
            os.kill(redis_process.pid, signal.SIGCONT)
        wait_until(lambda: not notice.is_displayed() and health(browser, "cameras") == "0 / 1", "Redis again")


def test_a_killed_worker_shows_on_the_page(browser: WebDriver, redis_process: RedisProcess, tmp_path: Path) -> None:
    site_file, log = tmp_path / "site.yaml", tmp_path / "log"
    site_file.write_text(yaml.safe_dump(small_site(tmp_path, "a")))
    with services_running(log) as run:
        roles = ("clock", "aggregator", "camera-worker", "streamer")
        services = {role: run(role, site_file, "--redis", redis_process.url) for role in roles}
        served = wait_until(
            lambda: re.search(r"\] serving service=streamer url=(http:\S+)", log.read_text()), "the streamer serves"
        )
        browser.get(served[1])
        state = "return document.querySelector('.tile')?.dataset.state"
        wait_until(lambda: browser.execute_script(state) == "live", "the camera is live")
        stopwatch, shown_after_s = Stopwatch(), watch_for(browser, "#problems", "no camera worker")
        services["camera-worker"].kill()
        assert stopwatch.within(SAID_WITHIN_S, shown_after_s())
        wait_until(lambda: browser.execute_script(state) == "stalled", "the camera is not called live")
        wait_until(lambda: level(browser, "workers") == "bad", "the strip says so")
        reason = browser.find_element(By.CSS_SELECTOR, ".tile .reason").text
        assert "does not answer" in reason
