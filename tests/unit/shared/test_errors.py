from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigError, MtmcError, Problem, SourceUnavailable, hide, redact

HIDDEN = "hunter2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:hunter2@10.0.0.5:554/live", "rtsp://***@10.0.0.5:554/live"),
        ("mtmc_0a1b2c3d_" + "7" * 64, "mtmc_0a1b2c3d_***"),
        (f"Cookie: mtmc_yard=session_0a1b2c3d_{'7' * 64}; x=y", "Cookie: mtmc_yard=session_0a1b2c3d_***; x=y"),
        ("rtsp://admin:p@ss@hunter2@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:a:hunter2:b@cam", "rtsp://***@cam"),
        ("rtsp://admin:hun/hunter2/ter@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:%40hunter2%2F@cam/live", "rtsp://***@cam/live"),
        ("redis://:hunter2@[fe80::1%25eth0]:6379/0", "redis://***@[fe80::1%25eth0]:6379/0"),
        ("rtsp://admin:hunter2 with blanks@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:quo'hunter2\"te@cam/live", "rtsp://***@cam/live"),
        ("rtsp://hunter2@cam/live", "rtsp://***@cam/live"),
        ("RTSPS+X://admin:hunter2@cam", "RTSPS+X://***@cam"),
        (
            "tried 'rtsp://a:hunter2@one/1', then rtsp://b:hunter2@two/2 (refused)",
            "tried 'rtsp://***@one/1', then rtsp://***@two/2 (refused)",
        ),
        ("http://cam/v?user=hunter2&password=hunter2&channel=1", "http://cam/v?user=***&password=***&channel=1"),
        ("http://cam/v?channel=1&Access_Token=hunter2", "http://cam/v?channel=1&Access_Token=***"),
        ("http://cam/v?loginuse=hunter2&loginpas=hunter2", "http://cam/v?loginuse=***&loginpas=***"),
        ("rtsp://cam/user=hunter2_password=hunter2_channel=1", "rtsp://cam/user=***"),
        ("http://cam/v?pwd=a@b:hunter2/c and more", "http://*** and more"),
        ("rtsp://u:hun?key=ter2@cam/live", "rtsp://***"),
    ],
)
def test_a_credential_is_replaced_and_the_rest_kept(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert HIDDEN not in shown


def test_addresses_joined_by_a_comma_leak_nothing() -> None:
    assert HIDDEN not in redact("redis://u:hunter2@one:1,redis://u:hunter2@two:2")


@pytest.mark.parametrize(
    "text",
    [
        "redis://localhost:6379/0 refused the connection; write to ops@example.org",
        "redis://localhost:6379 refused; write to ops@example.org",
        "no Redis at redis://[::1]:6379, said ops@example.org",
        "http://cam: nobody answers, said ops@example.org",
        "camera north@gate has no user=5 and key=7",
        "rtsp://10.0.0.5:554/live?channel=1&subtype=0",
        "a path/to/file.mp4 and C:\\videos, 3:4 at 12:30",
        "monkey=1 in http://cam/v?monkey=1",
    ],
)
def test_text_without_credentials_is_not_changed(text: str) -> None:
    assert redact(text) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="'\"<>"), min_size=1))
def test_no_password_of_any_characters_survives(password: str) -> None:
    marked = f"S3CR3T{password}S3CR3T"
    assert "S3CR3T" not in redact(f"cannot open rtsp://user:{marked}@host/path: timeout")


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["a://", "a.", "http://x?key=", "://:", "a://u:p", "?user=", "/user_", "a://u:p@ "])
def test_a_long_text_of_anything_is_redacted_in_time(part: str) -> None:
    """A text in Redis must not hang the processes that show it."""
    assert redact(part * (2**20 // len(part))).startswith(part[:1])


def test_errors_show_no_credentials() -> None:
    url = "rtsp://u:hunter2@cam/1"
    problem = Problem("site.yaml", "cameras.0.source", url, "is not reachable")
    for error in (MtmcError(url), SourceUnavailable("north", f"{url} is down"), ConfigError([problem])):
        assert HIDDEN not in str(error)
    assert HIDDEN not in SourceUnavailable("north", url).reason


LOGGING = """
import logging, sys, structlog
from shared.logs import configure_logging
configure_logging("clock", json=sys.argv[1] == "json")
url = "rtsp://u:hunter2@cam/1"
try:
    raise ValueError(url)
except ValueError as error:
    structlog.get_logger().exception("down", reason=error, tried=[url], by={"north": (url,)}, text=url, count=3)
logging.getLogger("driver").warning("cannot reach %s", url)
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_log_line_shows_a_credential_in_any_field(form: str) -> None:
    command = [sys.executable, "-c", LOGGING, form]
    text = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True, timeout=30).stderr
    assert HIDDEN not in text
    assert text.count("rtsp://***@cam/1") == 6
    if form == "json":
        first = json.loads(text.splitlines()[0])
        assert (first["service"], first["count"], first["level"]) == ("clock", 3, "error")


def test_secrets_are_hidden_longest_first_and_also_percent_encoded() -> None:
    text = "rtsp://me:pw@box/a b/ab, rtsp://box/a%20b and abc"
    assert hide(text, ["ab", "a b", "abc"]) == "rtsp://***@box/***/***, rtsp://box/*** and ***"
    assert hide("nothing", ["", "x"]) == "nothing"
