"""`mtmc identities` on a running site: each correction from the command line, its answer and its refusal."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from shared.keys import Keys
from shared.redis_connection import Client, connect
from tests.command_line import CommandLine, Done, command_line
from tests.integration.test_aggregator import site_of
from tests.integration.test_commands import Site
from tests.unit.association.scenes import Stay


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def running(redis_client: Client, redis_url: str) -> Iterator[Keys]:
    """A site that goes on by itself; A/1 and B/2 are id 1, C/3 is id 2."""
    client = connect(redis_url)
    yard = Site(client, stays=[Stay(1, 0, 1, 3000), Stay(1, 1, 1, 3000), Stay(2, 2, 1, 3000)])
    yard.play(30)
    assert yard.gids() == {"A/1": 1, "B/2": 1, "C/3": 2}
    redis_client.hset(yard.keys.camera("A"), mapping={"state": "live", "class_names": '["person"]'})
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set() and yard.feeder.tick < 2990:
            yard.play(1)
            stop.wait(0.02)

    thread = threading.Thread(target=go_on)
    thread.start()
    yield yard.keys
    stop.set()
    thread.join()
    client.close()


@pytest.fixture
def identities(mtmc: CommandLine, running: Keys, redis_url: str) -> Callable[..., Done]:
    return lambda verb, *words: mtmc("identities", verb, "--site", running.site, "--redis", redis_url, *words)


def test_identities_are_listed_shown_and_corrected(
    identities: Callable[..., Done], running: Keys, redis_client: Client
) -> None:
    listed = json.loads(identities("list", "--json").stdout)["identities"]
    assert [(one["gid"], one["name"], one["present"], one["cameras"]) for one in listed] == [
        (1, None, True, ["A", "B"]),
        (2, None, True, ["C"]),
    ]
    assert [one["class_name"] for one in listed] == ["person", None]
    shown = identities("show", "1")
    assert {"A/1", "B/2"} <= set(shown.stdout.split())

    split = identities("split", "1", "B/2", "--by", "Ann", "--json")
    answer = json.loads(split.stdout)
    assert (answer["outcome"], answer["gid"], answer["other_gid"]) == ("done", 3, 1)
    assert identities("undo").stdout.startswith(f"the command {answer['id']} on id 3 was undone (command ")
    merged = identities("merge", "2", "1", "--name", "two in one")
    assert merged.returncode == 0, merged.stderr
    assert merged.stdout.startswith("id 2 was merged into id 1 (command ")
    assert json.loads(identities("show", "2", "--json").stdout)["name"] == "two in one"
    explained = identities("explain", "2").stdout
    assert "Id 2 was merged into id 1." in explained
    assert "id 1  two in one  person" in explained
    assert f"split off id 1, id 3 now, by Ann (command {answer['id']})" in explained
    assert "id 1 has the name" in identities("name", "2", "the red van").stdout
    assert "the red van" in identities("list", "--named").stdout
    assert identities("unname", "1").returncode == 0
    assert json.loads(identities("list", "--named", "--json").stdout)["identities"] == []
    events = [fields for _, fields in redis_client.xrange(running.events) if fields.get(b"by") == b"Ann"]
    assert [fields[b"kind"] for fields in events] == [b"split"]

    assert identities("forget", "1").stderr == (
        "mtmc: id 1 was not forgotten, which cannot be undone: add --yes if you are sure\n"
    )
    assert identities("forget", "1", "--yes").returncode == 0
    assert identities("show", "1").returncode == 1


def test_what_is_refused_says_why_and_exits_with_1(identities: Callable[..., Done]) -> None:
    done = identities("merge", "1", "77")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "mtmc: there is no id 77: it was never given\n"
    refused = json.loads(identities("split", "2", "C/3", "--json").stdout)
    assert refused["outcome"] == "refused"
    assert refused["reason"].startswith("these are all tracks of id 2")
    for words in (("merge", "1"), ("merge", "1", "x"), ("split", "1"), ("split", "1", "B"), ("undo", "a", "b")):
        assert identities(*words).returncode == 2
    assert "needs 'name'" in identities("name", "1").stderr
    assert "one line" in identities("name", "1", "x" * 65).stderr


def test_without_an_aggregator_the_command_waits(mtmc: CommandLine, redis_client: Client, redis_url: str) -> None:
    site = site_of(redis_client, "asleep")
    given = ("--site", "asleep", "--redis", redis_url, "--wait", "0.1")
    done = mtmc("identities", "undo", *given)
    assert done.returncode == 1
    assert "waits until the aggregator runs a cycle" in done.stderr
    assert json.loads(mtmc("identities", "undo", *given, "--json").stdout)["outcome"] == "waiting"
    assert redis_client.xlen(site.keys.commands) == 2
