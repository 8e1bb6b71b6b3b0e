"""Corrections over HTTP, in a running site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from services.streamer.api import corrections
from shared.redis_connection import Client
from tests.integration.lively_site import publish_lively_site
from tests.integration.streamer_site import serving, wait_until
from tests.running_hall import RunningHall, still_hall


@pytest.fixture
def hall(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningHall]:
    with still_hall(redis_client, redis_url, tmp_path, monkeypatch) as running:
        yield running


def test_an_identity_is_named_split_merged_forgotten_and_that_is_undone(hall: RunningHall) -> None:
    url = f"http://127.0.0.1:{hall.pages.port}/api/v1"

    def correct(**body: Any) -> Any:
        answer = requests.post(f"{url}/commands", json=body, timeout=30)
        return answer.json() if answer.status_code == 200 else answer.status_code

    def identity(gid: int) -> Any:
        return requests.get(f"{url}/identities/{gid}", timeout=30).json()

    def present() -> list[int]:
        found = requests.get(f"{url}/identities?present=true", timeout=30).json()["identities"]
        return [one["gid"] for one in found]

    gid = wait_until(present, "an identity")[-1]
    named = correct(kind="name", gid=gid, name="the red van")
    assert (named["outcome"], named["gid"]) == ("done", gid)
    assert identity(gid)["name"] == "the red van"
    assert requests.get(f"{url}/commands/{named['id']}", timeout=30).json() == named
    found = requests.get(f"{url}/identities?name=the%20red%20van", timeout=30).json()["identities"]
    assert [one["gid"] for one in found] == [gid]
    again = correct(kind="name", gid=gid, name="the red van", id=named["id"])
    assert again == named, "the same command has no second effect"
    assert correct(kind="undo", undoes=named["id"])["undoes"] == named["id"]
    assert identity(gid)["name"] is None
    assert correct(kind="name", gid=10**9, name="nobody") == 409
    newest = requests.get(f"{url}/events?kind=named&limit=1", timeout=30).json()["events"][0]
    assert newest["gid"] == gid
    assert correct(kind="forget", gid=gid)["outcome"] == "done"
    assert requests.get(f"{url}/identities/{gid}", timeout=30).status_code == 404


def test_a_command_that_nobody_answers_waits(
    redis_client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "WAIT_S", 0.05)
    publish_lively_site(redis_url)
    with serving(redis_url) as streamer:
        url = f"http://127.0.0.1:{streamer.port}/api/v1/commands"
        answer = requests.post(url, json={"kind": "unname", "gid": 7, "id": "c1"}, timeout=30)
        assert (answer.status_code, answer.json()["outcome"]) == (202, "waiting")
        assert requests.get(f"{url}/c1", timeout=30).json() == answer.json()


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"{", "application/json", 400, "body"),
        (b'{"kind": "merge", "gid": 1}', "application/json", 400, "other_gid"),
        (b'{"kind": "explode", "gid": 1}', "application/json", 400, "kind"),
        (b'{"kind": "name", "gid": 1, "name": "a\\nb"}', "application/json", 400, "line"),
        (b'{"kind": "split", "gid": 1, "tracks": ["gate"]}', "application/json", 400, "tracks"),
        (b'{"kind": "undo", "what": 1}', "application/json", 400, "what"),
        (b"kind=undo", "application/x-www-form-urlencoded", 415, "application/json"),
    ],
)
def test_what_is_no_command_is_refused(
    redis_client: Client, redis_url: str, body: bytes, kind: str, status: int, says: str
) -> None:
    publish_lively_site(redis_url)
    with serving(redis_url) as streamer:
        url = f"http://127.0.0.1:{streamer.port}/api/v1/commands"
        answer = requests.post(url, data=body, headers={"Content-Type": kind}, timeout=30)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.json()
        assert not redis_client.exists("mtmc:{yard}:commands")
