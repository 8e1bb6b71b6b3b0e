"""The login of the page in a real browser."""

from __future__ import annotations

import http.server
import threading
from urllib.parse import urlsplit

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

from shared.redis_connection import Client
from shared.tokens import add_token, revoke_tokens
from tests.integration.streamer_site import (
    KEYS,
    SITE,
    Serving,
    numbered_jpeg,
    publish,
    publish_picture,
    serving,
    set_status,
    wait_until,
)

WRONG = "mtmc_0a1b2c3d_" + "0" * 64


def enter(browser: WebDriver, token: str) -> None:
    field = browser.find_element(By.NAME, "token")
    field.clear()
    field.send_keys(token)
    browser.find_element(By.CSS_SELECTOR, "button").click()


def wait_for_login(browser: WebDriver, what: str) -> None:
    wait_until(lambda: browser.find_elements(By.NAME, "token"), what)


def wait_for_pictures(browser: WebDriver, site: Serving, client: Client) -> None:
    def shown() -> bool:
        set_status(client, "north")
        publish_picture(client, "north", 1, numbered_jpeg(1))
        return bool(browser.find_elements(By.CSS_SELECTOR, ".tile[data-picture=shown]"))

    wait_until(shown, "a picture")


def test_a_person_logs_in_sees_pictures_and_logs_out(browser: WebDriver, redis_url: str, redis_client: Client) -> None:
    publish(redis_url, ["north"])
    token = add_token(redis_client, KEYS, "viewer", "a test", None)[0]
    with serving(redis_url, published="0.0.0.0") as site:
        page = f"{site.streamer.url}/"
        browser.get(page)
        wait_for_login(browser, "the login")
        assert browser.find_element(By.CSS_SELECTOR, "form").value_of_css_property("background-color") == (
            "rgba(21, 26, 32, 1)"
        ), "its style is applied"
        enter(browser, WRONG)
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "[role=alert]"), "the reason")
        assert "not valid" in browser.find_element(By.CSS_SELECTOR, "[role=alert]").text
        assert WRONG not in browser.page_source

        enter(browser, token.text)
        wait_for_pictures(browser, site, redis_client)
        assert browser.current_url == page
        assert browser.execute_script("return document.cookie") == ""  # type: ignore[no-untyped-call]
        assert browser.get_cookie(f"mtmc_{SITE}") is not None
        errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert [message for message in errors if "401" not in message] == []

        browser.find_element(By.ID, "logout").click()
        wait_for_login(browser, "the login after the logout")
        assert browser.get_cookie(f"mtmc_{SITE}") is None
        assert not redis_client.hlen(KEYS.sessions)


def test_an_open_page_goes_to_the_login_when_its_token_is_revoked(
    browser: WebDriver, redis_url: str, redis_client: Client
) -> None:
    publish(redis_url, ["north"])
    token = add_token(redis_client, KEYS, "viewer", "a test", None)[0]
    with serving(redis_url, published="0.0.0.0") as site:
        browser.get(f"{site.streamer.url}/#camera=north")
        wait_for_login(browser, "the login")
        enter(browser, token.text)
        wait_for_pictures(browser, site, redis_client)
        revoke_tokens(redis_client, KEYS, [token.id])
        wait_for_login(browser, "the login again")


class EvilPage(http.server.BaseHTTPRequestHandler):
    """A page of another origin, whose form goes to the path of this one as soon as it is open."""

    def do_GET(self) -> None:
        target = urlsplit(self.path).query
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(
            f"<form method=post action={target}></form><script>document.forms[0].submit()</script>".encode()
        )

    def log_message(self, *_: object) -> None:
        pass


def test_the_form_of_another_web_site_changes_nothing(browser: WebDriver, redis_url: str, redis_client: Client) -> None:
    publish(redis_url, ["north"])
    token = add_token(redis_client, KEYS, "operator", "a test", None)[0]
    evil = http.server.ThreadingHTTPServer(("127.0.0.1", 0), EvilPage)
    thread = threading.Thread(target=evil.serve_forever)
    thread.start()
    try:
        with serving(redis_url, published="0.0.0.0") as site:
            browser.get(f"{site.streamer.url}/")
            wait_for_login(browser, "the login")
            enter(browser, token.text)
            wait_for_pictures(browser, site, redis_client)
            # The browser sends the cookie, because another port is another origin, but the same site.
            browser.get(f"http://127.0.0.1:{evil.server_port}/?{site.streamer.url}/logout")
            wait_until(lambda: "another web site" in browser.page_source, "the refusal")
            assert redis_client.hlen(KEYS.sessions) == 1
    finally:
        evil.shutdown()
        thread.join()
        evil.server_close()
