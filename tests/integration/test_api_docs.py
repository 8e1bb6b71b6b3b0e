"""Every command of docs/api.md works as it is written, and the page names every path of the API."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.redis_connection import Client
from tests.integration.lively_site import TRACK, event, fill, publish_lively_site
from tests.integration.streamer_site import Serving, serving

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", "\n".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE)
ADDRESS = "http://127.0.0.1:8080"
TIMED_OUT = 28
"""Exit code of curl."""


@pytest.fixture
def streamer(redis_url: str, redis_client: Client) -> Iterator[Serving]:
    publish_lively_site(redis_url)
    fill(redis_client)
    with serving(redis_url) as running:
        yield running


def test_every_command_gets_an_answer(streamer: Serving, redis_client: Client, tmp_path: Path) -> None:
    assert len(COMMANDS) > 15
    assert str(TRACK) in PAGE
    for number, command in enumerate(COMMANDS, start=8):
        words = shlex.split(command.replace(ADDRESS, streamer.streamer.url))
        assert words[0] == "curl"
        is_stream = any(word.endswith("N") for word in words[1:2])
        limit = ["--max-time", "1" if is_stream else "60", "--fail-with-body"]
        process = subprocess.Popen([*words, *limit], cwd=tmp_path, stdout=subprocess.PIPE)
        if is_stream:
            event(redis_client, number, "handover", 7, number)
        printed, _ = process.communicate()
        assert process.returncode == (TIMED_OUT if is_stream else 0), (command, printed)
        if is_stream:
            assert b"retry: " in printed, command
        elif "-o" in words:
            assert (tmp_path / words[words.index("-o") + 1]).read_bytes().startswith(b"\xff\xd8")
        else:
            answer = json.loads(printed.split(b"\r\n\r\n")[-1])
            lists = [value for value in answer.values() if isinstance(value, list)]
            assert "openapi" in answer or "outcome" in answer or any(lists), f"{command} shows nothing"


def test_every_path_is_listed(streamer: Serving) -> None:
    paths = {path.removeprefix("/api/v1") for path in streamer.json("/api/v1/openapi.json")["paths"]}
    rows = " ".join(re.findall(r"^\| (`/.*?`) \|", PAGE, re.MULTILINE))
    table = set(re.findall(r"`(/[^`]+)`", rows))
    assert {path.replace("{which}", "best") for path in paths} == table


def test_the_error_of_the_page_is_what_the_api_answers(streamer: Serving) -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    status, _, body = streamer.get("/api/v1/identities?camra=north")
    assert status == 400
    assert json.loads(body) == json.loads(shown)
