"""Every command of docs/api.md works as it is written, and the page names every path of the API."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.redis_connection import Client
from tests.integration.canned_answers import canned_answers
from tests.integration.lively_site import TRACK, event, fill, publish_lively_site
from tests.integration.streamer_site import Serving, serving

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", "\n".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)), re.MULTILINE)
ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture
def streamer(redis_url: str, redis_client: Client) -> Iterator[Serving]:
    publish_lively_site(redis_url)
    fill(redis_client)
    with serving(redis_url) as running, canned_answers(redis_client):
        yield running


def test_every_command_gets_an_answer(streamer: Serving, redis_client: Client, tmp_path: Path) -> None:
    assert len(COMMANDS) > 15
    assert str(TRACK) in PAGE
    for number, command in enumerate(COMMANDS, start=8):
        words = [*shlex.split(command.replace(ADDRESS, streamer.streamer.url)), "--max-time", "60"]
        assert words[0] == "curl"
        if words[1] == "-sN":
            assert first_event(words, redis_client, number)["kind"] == "handover", command
            continue
        done = subprocess.run([*words, "--fail-with-body"], cwd=tmp_path, stdout=subprocess.PIPE)
        assert done.returncode == 0, (command, done.stdout)
        if "-o" in words:
            assert (tmp_path / words[words.index("-o") + 1]).read_bytes().startswith(b"\xff\xd8")
            continue
        answer = json.loads(done.stdout.split(b"\r\n\r\n")[-1])
        lists = [value for value in answer.values() if isinstance(value, list)]
        assert {"openapi", "outcome", "done", "works", "width_m", "plan"} & answer.keys() or any(lists), (
            f"{command} shows nothing"
        )


def first_event(words: list[str], client: Client, number: int) -> dict[str, Any]:
    """What a stream sends of a handover that happens after it was opened, or that it resumes with."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("retry: "):
                    event(client, number, "handover", 7, number)
                elif line.startswith("data: ") and '"handover"' in line:
                    return dict(json.loads(line.removeprefix("data: ")))
        finally:
            process.kill()
    raise AssertionError("the stream ended")


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
