"""The rules of the access to the page, without Flask and Redis."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from services.streamer.access.addresses import Sender, sender_of
from services.streamer.access.failed_logins import FailedLogins
from services.streamer.access.hosts import AllowedHosts, is_same_origin
from services.streamer.access.rules import AccessRules
from shared.config import StreamerConfig
from shared.process import ServiceOptions
from shared.tokens import Credential, Token

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
DIGEST = "0" * 64


def rules(
    host: str = "127.0.0.1", *, published: str | None = None, insecure: bool = False, **config: object
) -> AccessRules:
    settings = StreamerConfig.model_validate({"host": host, **config})
    return AccessRules.of(settings, ServiceOptions("yard", "redis://x", published=published, insecure=insecure))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_a_page_on_this_machine_only_needs_no_login(host: str) -> None:
    assert not rules(host).needs_login
    assert not rules("0.0.0.0", published=host).needs_login
    assert not rules("0.0.0.0", published=f"[{host}]").needs_login


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "", "box", "127.0.0.1.example.com", "2130706433"])
def test_a_page_that_others_reach_needs_a_login(host: str) -> None:
    assert rules(host).needs_login
    assert rules("127.0.0.1", published=host or "0.0.0.0").needs_login
    assert not rules(host, insecure=True).needs_login


def test_a_site_without_these_settings_is_published_as_earlier_versions_know_it() -> None:
    assert not {"hosts", "trusted_proxies"} & StreamerConfig().model_dump(mode="json").keys()
    written = StreamerConfig.model_validate({"hosts": ["x"], "trusted_proxies": ["10.0.0.1"]})
    assert StreamerConfig.model_validate_json(written.model_dump_json()) == written


def test_a_name_of_a_proxy_needs_a_login() -> None:
    assert rules(hosts=["cameras.example.com"]).needs_login
    assert not rules(hosts=["localhost"]).needs_login


@pytest.mark.parametrize(
    ("host", "local", "elsewhere"),
    [
        (None, True, True),
        ("127.0.0.1:8080", True, True),
        ("localhost:1", True, True),
        ("LOCALHOST.", True, True),
        ("[::1]:8080", True, True),
        ("192.0.2.1:8080", False, True),
        ("[2001:db8::1]", False, True),
        ("site.example:8080", False, True),
        ("SITE.example.", False, True),
        (socket.gethostname(), False, True),
        ("evil.example", False, False),
        ("evil.example:8080", False, False),
        ("localhost.evil.example", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("127.0.0.1@evil.example", False, False),
        ("localhost, evil.example", False, False),
        ("", False, False),
        ("localhost:", False, False),
        ("[::1", False, False),
        ("x" * 300, False, False),
    ],
)
def test_only_our_own_names_are_served(host: str | None, local: bool, elsewhere: bool) -> None:
    assert rules().hosts.allows(host) is local
    assert rules("0.0.0.0", hosts=["Site.Example"]).hosts.allows(host) is elsewhere


def test_the_address_at_which_it_is_published_is_allowed() -> None:
    assert AllowedHosts.of("box", ()).allows("box:8080")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("https://site.example", "site.example"),
        ("https://site.example", "site.example:443"),
        ("http://Site.example:80", "site.example"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_our_own_page_may_change_things(origin: str, host: str) -> None:
    assert is_same_origin(origin, "same-origin", host, required=True)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:8081", "ftp://127.0.0.1:8080", "//"],
)
def test_another_web_site_may_not(origin: str) -> None:
    assert not is_same_origin(origin, None, "127.0.0.1:8080", required=False)
    assert not is_same_origin(origin, None, None, required=False)


def test_a_request_without_origin_is_of_a_program() -> None:
    assert is_same_origin(None, None, "127.0.0.1", required=False)
    assert not is_same_origin(None, None, "127.0.0.1", required=True)
    assert not is_same_origin(None, "cross-site", "127.0.0.1", required=False)
    assert not is_same_origin(None, "same-site", "127.0.0.1", required=False)


@pytest.mark.parametrize(
    ("peer", "forwarded", "proto", "expected"),
    [
        ("192.0.2.1", "203.0.113.9", "https", Sender("192.0.2.1", secure=False)),
        ("10.0.0.1", "203.0.113.9", "https", Sender("203.0.113.9", secure=True)),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.7", "http, https", Sender("203.0.113.9", secure=True)),
        ("10.0.0.1", "203.0.113.9", "https, http", Sender("203.0.113.9", secure=False)),
        ("10.0.0.1", "", "", Sender("10.0.0.1", secure=False)),
        ("10.0.0.1", "6.6.6.6, garbage", "", Sender("10.0.0.1", secure=False)),
        ("::ffff:10.0.0.1", "203.0.113.9", "https", Sender("203.0.113.9", secure=True)),
        ("2001:db8:1:2:3:4:5:6", "", "", Sender("2001:db8:1:2::/64", secure=False)),
        ("fd00::1", "2001:db8::7", "https", Sender("2001:db8::/64", secure=True)),
        ("", "1.2.3.4", "https", Sender("unknown", secure=False)),
    ],
)
def test_only_a_trusted_proxy_says_who_the_client_is(peer: str, forwarded: str, proto: str, expected: Sender) -> None:
    assert sender_of(peer, forwarded, proto, PROXIES) == expected


def test_an_address_waits_after_too_many_failures_and_others_do_not() -> None:
    failed = FailedLogins(limit=3, window_s=60)
    assert [failed.add("a", now_s) for now_s in (100.0, 110.0, 120.0)] == [False, False, True]
    assert failed.wait_s("a", 120.5) == 40
    assert failed.wait_s("b", 120.5) == 0
    assert failed.wait_s("a", 160.0) == 0
    assert not failed.add("a", 175.0)


def test_the_memory_of_failures_is_bounded() -> None:
    failed = FailedLogins(limit=2, max_addresses=50)
    for number in range(1000):
        failed.add(f"address {number}", 1.0)
    assert len(failed) == 50


def test_credentials_differ_and_show_no_secret() -> None:
    tokens = [Credential.new() for _ in range(100)]
    assert len({token.text for token in tokens}) == 100
    assert all(Credential.parse(token.text) == token for token in tokens)
    assert tokens[0].text not in repr(tokens[0])
    assert Credential.parse(tokens[0].text, "session") is None
    assert Credential.parse(tokens[0].text + "\n") is None
    assert tokens[0].matches(tokens[0].digest)
    assert not tokens[0].matches(tokens[1].digest)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        b"null",
        b'{"digest": "", "role": "operator", "label": "", "created_ms": 0, "expires_ms": null}',
        f'{{"digest": "{DIGEST}", "role": "viewer", "label": "\\n", "created_ms": 0, "expires_ms": null}}'.encode(),
        f'{{"digest": "{DIGEST}", "role": "root", "label": "", "created_ms": 0, "expires_ms": null}}'.encode(),
        f'{{"digest": "{DIGEST}", "role": "viewer", "label": "", "created_ms": 0}}'.encode(),
        f'{{"digest": "{DIGEST}", "role": "viewer", "label": "", "created_ms": 0, "expires_ms": "never"}}'.encode(),
        f'{{"digest": "{DIGEST}", "role": "viewer", "label": "", "created_ms": 0, "expires_ms": 1e400}}'.encode(),
        f'{{"digest": "{DIGEST}", "role": "viewer", "label": "", "created_ms": -1, "expires_ms": true}}'.encode(),
    ],
)
def test_a_damaged_token_is_none(text: bytes) -> None:
    assert Token.parse(text) is None
