"""`mtmc tokens` over a real Redis."""

from __future__ import annotations

import json
import re

import pytest

from shared.keys import Keys
from shared.redis_connection import Client
from shared.site import publish_site
from shared.tokens import MAX_TOKENS, Token, add_token
from tests.command_line import CommandLine, Done, command_line
from tests.integration.streamer_site import KEYS, SITE, publish, serving, site_config

TOKEN = re.compile(r"mtmc_(?P<id>[0-9a-f]{8})_[0-9a-f]{64}\n")


@pytest.fixture
def tokens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: str, redis_client: Client
) -> CommandLine:
    """`mtmc tokens WORDS…` on the site yard, which is published."""
    publish_site(redis_client, site_config(["gate"]))
    mtmc = command_line(monkeypatch, capsys)

    def run(*words: str) -> Done:
        return mtmc("tokens", *words, "--site", SITE, "--redis", redis_url)

    return run


def test_a_token_is_shown_once_and_logs_in_until_it_is_revoked(
    tokens: CommandLine, redis_url: str, redis_client: Client
) -> None:
    publish(redis_url, ["gate"])
    made = tokens("add", "--role", "operator", "--label", "control  room")
    found = TOKEN.fullmatch(made.stdout)
    assert found, made
    assert "shown only once" in made.stderr
    assert found[0].strip() not in made.stderr
    listed = tokens("list").stdout
    assert f"{found['id']}  operator  control room" in listed
    entry = json.loads(tokens("list", "--json").stdout)["tokens"][0]
    assert (entry["id"], entry["role"], entry["label"], entry["expired"]) == (
        found["id"],
        "operator",
        "control room",
        False,
    )
    assert found[0].strip()[-64:] not in listed + json.dumps(entry)
    with serving(redis_url, published="0.0.0.0") as site:
        headers = {"Authorization": f"Bearer {found[0].strip()}"}
        assert site.get("/api/v1/site", headers)[0] == 200
        assert tokens("revoke", found[0].strip()).stdout == "revoked 1 token\n"  # by the token instead of its id
    assert "has no tokens" in tokens("list").stdout


def test_a_token_expires_after_a_year_unless_it_is_told_otherwise(tokens: CommandLine, redis_client: Client) -> None:
    tokens("add")
    tokens("add", "--days", "0")
    tokens("add", "--days", "1")
    found = [token for token in map(Token.parse, redis_client.hgetall(KEYS.tokens).values()) if token]
    days = {token.expires_ms and (token.expires_ms - token.created_ms) // 86_400_000 for token in found}
    assert days == {365, None, 1}
    assert {token.role for token in found} == {"viewer"}


def test_nothing_is_revoked_if_one_id_is_unknown(tokens: CommandLine) -> None:
    name = (TOKEN.fullmatch(tokens("add").stdout) or [""])[1]
    done = tokens("revoke", name, "00000000")
    assert done.returncode == 2
    assert "site yard has no token '00000000'" in done.stderr
    assert name in tokens("list").stdout
    assert tokens("revoke", name, name).stdout == "revoked 1 token\n"
    assert tokens("revoke").returncode == 2


def test_a_site_that_is_not_published_gets_no_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: str, redis_client: Client
) -> None:
    done = command_line(monkeypatch, capsys)("tokens", "add", "--site", "typo", "--redis", redis_url)
    assert done.returncode == 2
    assert "site typo is not published" in done.stderr
    assert not redis_client.exists(Keys("typo").tokens)


def test_expired_and_damaged_tokens_are_listed_and_deleted_by_the_next_one(
    tokens: CommandLine, redis_client: Client
) -> None:
    expired, _ = add_token(redis_client, KEYS, "viewer", "old", 0)
    redis_client.hset(KEYS.tokens, mapping={"0a1b2c3d": "garbage", b"\xff": b"\xfe", "x": "y"})
    listed = tokens("list").stdout
    assert re.search(rf"{expired.id} .*\(expired\)", listed)
    assert re.search("0a1b2c3d .*cannot be read", listed)
    assert json.loads(tokens("list", "--json").stdout)["tokens"][0]["role"] is None
    tokens("add")
    assert redis_client.hlen(KEYS.tokens) == 1


def test_the_number_of_tokens_is_bounded(tokens: CommandLine, redis_client: Client) -> None:
    token = add_token(redis_client, KEYS, "viewer", "", None)[1].model_dump_json()
    redis_client.hset(KEYS.tokens, mapping={f"{number:08x}": token for number in range(MAX_TOKENS - 1)})
    done = tokens("add")
    assert done.returncode == 2
    assert "revoke some" in done.stderr


@pytest.mark.parametrize("label", ["x" * 101, "bell\a"])
def test_a_label_that_cannot_be_shown_is_refused(tokens: CommandLine, label: str) -> None:
    assert tokens("add", "--label", label).returncode == 2
