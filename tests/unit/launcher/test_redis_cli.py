"""The options and the environment that redis-cli gets."""

from __future__ import annotations

import pytest

from launcher.redis_cli import cli_environment, connection_options
from shared.errors import RedisUnusable


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://box", ["-h", "box", "-p", "6379"]),
        ("redis://:secret@[::1]:7000/2", ["-h", "::1", "-p", "7000", "-n", "2"]),
        ("redis://me:secret@box:7000/0", ["-h", "box", "-p", "7000", "--user", "me"]),
        ("unix:///run/redis.sock?db=1", ["-s", "/run/redis.sock", "-n", "1"]),
        (
            "rediss://box?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none",
            ["-h", "box", "-p", "6379", "--tls", "--insecure", "--cacert", "/ca.pem"],
        ),
    ],
)
def test_every_part_of_a_url_but_the_password_is_an_option(url: str, options: list[str]) -> None:
    assert connection_options(url) == options


def test_the_password_is_in_the_environment_and_one_in_the_url_goes_first() -> None:
    assert cli_environment("redis://:a%2Fb@box", "other", {"X": "1"}) == {"X": "1", "REDISCLI_AUTH": "a/b"}
    assert cli_environment("redis://box", "other", {}) == {"REDISCLI_AUTH": "other"}
    assert cli_environment("redis://box", None, {}) == {}


def test_an_invalid_url_is_reported_without_its_password() -> None:
    with pytest.raises(RedisUnusable, match=r"'http://\*\*\*@box' is not a Redis URL"):
        connection_options("http://:secret@box")
