"""An operator corrects identities on the page of a running site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from shared.redis_connection import Client
from tests.browser.test_panel import click, errors, text, texts
from tests.integration.streamer_site import wait_until
from tests.running_hall import KEYS, RunningHall, still_hall


@pytest.fixture
def hall(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningHall]:
    with still_hall(redis_client, redis_url, tmp_path, monkeypatch) as running:
        yield running


def type_into(browser: WebDriver, label: str, value: str) -> None:
    script = (
        "const input = document.querySelector(arguments[0]); input.value = arguments[1]; input.form.requestSubmit()"
    )
    browser.execute_script(script, f".corrections input[aria-label='{label}']", value)


def test_an_identity_is_named_merged_and_separated_again(browser: WebDriver, hall: RunningHall) -> None:
    def gids() -> list[int]:
        return sorted({int(gid) for camera in "ab" for gid in hall.client.hvals(KEYS.gids(camera))})

    # The same grey object in both cameras: one identity or two.
    wait_until(lambda: all(hall.client.hlen(KEYS.gids(camera)) for camera in "ab"), "both cameras have a gid")
    # In the first seconds, nobody knows whether the two views overlap: what was joined may be separated again.
    wait_until(lambda: (hall.progress()["cycle"] or 0) > 100, "the identities have been revised")
    first, *others = gids()
    browser.get(f"http://127.0.0.1:{hall.pages.port}/#gid={first}")
    wait_until(lambda: text(browser, ".corrections summary") == "Correct this identity", "the forms")
    type_into(browser, "name", "the red van")
    wait_until(lambda: "the red van" in text(browser, ".who"), "the name")
    assert hall.client.hget(KEYS.names, str(first)) == b"the red van"
    click(browser, ".corrections", "Undo")
    wait_until(lambda: f"#{first}" in text(browser, ".who"), "the name is taken back")
    if not others:
        click(browser, ".stays li", "This is another object")
        wait_until(lambda: len(gids()) == 2, "two identities")
        click(browser, ".corrections", "Undo")
        wait_until(lambda: gids() == [first], "one identity again")
    else:
        type_into(browser, "the other identity", str(others[0]))
        wait_until(lambda: gids() == [first], "one identity")
        wait_until(lambda: len(texts(browser, ".lane-name")) == 3, "the journey has both cameras")  # and the axis
        click(browser, ".corrections", "Undo")
        wait_until(lambda: len(gids()) == 2, "two identities again")
    type_into(browser, "the other identity", "999999")
    wait_until(lambda: "Not done: " in text(browser, ".said"), "why it is refused")
    assert [one for one in errors(browser) if "409" not in one] == []
