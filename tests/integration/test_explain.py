"""`mtmc explain` over a real Redis: what the aggregator published of its decisions, and what it makes of garbage."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from shared.config import SiteConfig
from shared.keys import Keys
from shared.redis_connection import Client
from shared.site import publish_site
from shared.site_state.explanation import read_explanation
from tests.command_line import CommandLine, Done, command_line

KEYS = Keys("hall")
T0 = 1_790_000_000_000_000_000
S = 10**9
SITE = {
    "site": "hall",
    "detector": {"model": "/d.onnx"},
    "embedder": {"model": "/e.onnx"},
    "cameras": [{"name": "gate", "source": "rtsp://box/1"}, {"name": "yard", "source": "rtsp://box/2"}],
}
TERMS = "appearance=4.500 motion=0.000 position=3.900 class=0.000 prior=0.300"


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def explain(mtmc: CommandLine, redis_url: str) -> Callable[..., Done]:
    return lambda *words: mtmc("explain", "--site", "hall", "--redis", redis_url, *words)


def sighting(client: Client, gid: int, camera: str, track: int, first_s: int, last_s: int, **fields: object) -> None:
    times = {"first_ns": T0 + first_s * S, "last_ns": T0 + last_s * S}
    entry = {"camera": camera, "track_id": track, "ended": 0} | times | fields
    client.xadd(KEYS.sightings(gid), {name: str(value) for name, value in entry.items()})


def event(client: Client, kind: str, gid: int, at_s: int, **fields: object) -> None:
    entry = {"kind": kind, "gid": gid, "time_ns": T0 + at_s * S} | fields
    client.xadd(KEYS.events, {name: str(value) for name, value in entry.items()})


@pytest.fixture
def site(redis_client: Client) -> Client:
    """Identity 7: a new track, one that joined and ended, one that was split off; identity 9 was merged into it."""
    publish_site(redis_client, SiteConfig.model_validate(SITE))
    redis_client.hset(KEYS.camera("gate"), mapping={"state": "live", "class_names": '["person", "car"]'})
    record = {"gid": 7, "class": 1, "cameras": "gate yard", "tracks": 2, "present": 1}
    record |= {"first_seen_ns": T0, "last_seen_ns": T0 + 40 * S}
    record |= {"x": "12.30", "y": "4.50", "uncertainty": "0.60", "speed": "8.20"}
    redis_client.hset(KEYS.identity(7), mapping=record)
    redis_client.hset(KEYS.aliases, mapping={"9": "7"})
    new = {"score": "-3.200", "terms": "appearance=-1.700 prior=-1.500", "runner_up": 4, "margin": "3.200"}
    sighting(redis_client, 7, "gate", 11, 0, 0, **new)
    sighting(redis_client, 7, "yard", 12, 10, 10, score="8.700", terms=TERMS, runner_up=0, margin="8.700")
    sighting(redis_client, 7, "yard", 12, 10, 25, ended=1)
    sighting(redis_client, 7, "yard", 13, 20, 21, score="2.000", terms="appearance=2.000", runner_up=5, margin="0.400")
    event(redis_client, "appeared", 7, 0, camera="gate", track_id=11)
    event(redis_client, "merged", 7, 15, other_gid=9, score="3.100", terms=TERMS, runner_up=2, margin="1.100")
    event(
        redis_client, "split", 8, 30, other_gid=7, camera="yard", track_id=13, score="-2.500", terms="appearance=-2.5"
    )
    event(redis_client, "merged", 3, 31, other_gid=2)
    return redis_client


def test_each_track_and_change_is_explained(site: Client, explain: Callable[..., Done]) -> None:
    done = explain("7")
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "id 7 car in view cameras gate yard"
    assert lines[1] == "seen since 14:13:20.0 (UTC)", "and it is still in view"
    assert "at 12.30, 4.50 m ± 0.60 m, 8.20 m/s" in lines
    start = next(line for line in lines if "gate 11" in line)
    assert start.endswith("in view gate 11 new id -3.2 -1.7 -1.5 id 4 3.2")
    assert any(line.endswith("yard 12 joined +8.7 +4.5 +0.3 +0.0 +3.9 +0.0 a new id 8.7") for line in lines)
    assert any("yard 13 split off: id 8 now +2.0 +2.0 id 5 0.4" in line for line in lines)
    assert any("id 9 was merged into id 7 +3.1" in line for line in lines)
    assert any("track 13 of yard: split off id 7, id 8 now -2.5 -2.5" in line for line in lines)
    assert not any("id 2 was merged into id 3" in line for line in lines), "not about this identity"
    assert "natural logarithm" in done.stdout


def test_the_track_that_began_the_identity_is_the_new_id_also_if_another_was_seen_earlier(
    redis_client: Client, explain: Callable[..., Done]
) -> None:
    publish_site(redis_client, SiteConfig.model_validate(SITE))
    redis_client.hset(KEYS.identity(5), mapping={"gid": 5, "class": 1, "cameras": "gate", "x": "1.00", "present": 0})
    sighting(redis_client, 5, "gate", 21, 0, 9, score="6.100", terms=TERMS, runner_up=0, margin="6.100")
    sighting(redis_client, 5, "yard", 22, 1, 9, score="0.000", terms="")
    lines = [" ".join(line.split()) for line in explain("5").stdout.splitlines()]
    assert any("gate 21 joined +6.1" in line for line in lines)
    assert any(line.endswith("yard 22 new id") for line in lines), "there was nothing to compare it with"
    assert any(line.startswith("last at 1.00") for line in lines), "it is not in view"


def test_in_a_narrow_terminal_a_row_is_one_line(site: Client, mtmc: CommandLine, redis_url: str) -> None:
    shown = mtmc("explain", "--site", "hall", "--redis", redis_url, "7", COLUMNS="60").stdout
    assert any("yard" in line and "joined" in line and line.endswith("a new id     8.7") for line in shown.splitlines())


def test_a_merged_gid_leads_to_its_identity(site: Client, explain: Callable[..., Done]) -> None:
    assert explain("9").stdout.startswith("Id 9 was merged into id 7.\n")
    shown = json.loads(explain("9", "--json").stdout)
    assert (shown["asked"], shown["gid"], len(shown["tracks"]), len(shown["changes"])) == (9, 7, 3, 2)
    assert shown["tracks"][1]["reason"]["terms"]["position"] == 3.9
    assert shown["tracks"][1]["ended"]
    assert shown["tracks"][2]["moved_to"] == 8


MERGE = {"score": "3.100", "terms": TERMS, "runner_up": 2, "margin": "1.100"}
NEW = {"score": "0.000", "terms": ""}


def test_after_merges_each_track_keeps_the_reason_for_which_it_joined(
    site: Client, explain: Callable[..., Done]
) -> None:
    """Identity 4 was merged into 9, and 9 into 7. A merge writes its own decision for each track that it brings."""
    earlier_merge = {"score": "2.200", "terms": "appearance=2.200", "runner_up": 0, "margin": "2.200"}
    sighting(site, 4, "gate", 41, 1, 2, **NEW)
    sighting(site, 9, "gate", 31, 3, 3, **NEW)
    sighting(site, 9, "yard", 32, 4, 4, score="5.500", terms="appearance=5.500", runner_up=0, margin="5.500")
    sighting(site, 9, "yard", 32, 4, 5, ended=1)
    sighting(site, 9, "gate", 41, 1, 2, **earlier_merge)
    site.delete(KEYS.events)
    event(site, "merged", 9, 10, other_gid=4, **earlier_merge)
    event(site, "merged", 7, 15, other_gid=9, **MERGE)
    for camera, track, first_s in (("gate", 31, 3), ("yard", 32, 4), ("gate", 41, 1), ("gate", 51, 6)):
        sighting(site, 7, camera, track, first_s, 5, **MERGE)
    sighting(site, 7, "gate", 31, 3, 40, ended=1)
    lines = [" ".join(line.split()) for line in explain("7").stdout.splitlines()]
    assert any(line.endswith("gate 31 new id 9") for line in lines)
    assert any(line.endswith("yard 32 joined id 9 +5.5 +5.5 a new id 5.5") for line in lines)
    assert any(line.endswith("gate 41 new id 4") for line in lines)
    assert any(line.endswith("gate 51 came with id 9") for line in lines), "what its sightings said has expired"
    assert any("yard 12 joined +8.7" in line for line in lines), "its own track"
    assert [line[11:35] for line in lines if "was merged into" in line] == [
        "id 4 was merged into id ",
        "id 9 was merged into id ",
    ]
    assert sum("+3.1" in line for line in lines) == 1, "the score of the merge is in its own line only"


def test_a_track_that_moved_after_a_merge_has_the_reason_of_the_move(
    site: Client, explain: Callable[..., Done]
) -> None:
    sighting(site, 9, "gate", 31, 3, 3, **NEW)
    sighting(site, 7, "gate", 31, 3, 5, **MERGE)
    sighting(site, 7, "gate", 31, 3, 6, score="4.400", terms="position=4.400", runner_up=8, margin="2.000")
    shown = json.loads(explain("7", "--json").stdout)
    (track,) = (one for one in shown["tracks"] if one["track_id"] == "31")
    assert (track["reason"]["score"], track["merged_from"]) == (4.4, None)


def test_what_was_merged_and_came_back_does_not_bring_later_merges(site: Client, explain: Callable[..., Done]) -> None:
    """Identity 9 lives again, because an operator undid its merge, and takes 3 in: not a merge of 7."""
    event(site, "split", 9, 20, other_gid=7, camera="gate", track_id=31, by="ann", command="1-0")
    event(site, "merged", 9, 25, other_gid=3)
    changes = json.loads(explain("7", "--json").stdout)["changes"]
    assert [(one["kind"], one["gid"], one["other_gid"]) for one in changes] == [
        ("merged", 7, 9), ("split", 8, 7), ("split", 9, 7),
    ]  # fmt: skip


@pytest.mark.parametrize("words", [("0",), ("123",)])
def test_an_unknown_gid_exits_with_1_and_says_why(
    site: Client, explain: Callable[..., Done], words: tuple[str, ...]
) -> None:
    done = explain(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no identity {words[0]}" in done.stderr
    assert "association.retention_seconds" in done.stderr


@pytest.mark.parametrize("words", [(), ("x",), ("1", "2"), ("-1",)])
def test_anything_else_than_one_gid_is_refused(explain: Callable[..., Done], words: tuple[str, ...]) -> None:
    assert explain(*words).returncode == 2


def test_entries_of_the_reference_mode_have_a_score_only(site: Client, explain: Callable[..., Done]) -> None:
    site.delete(KEYS.sightings(7), KEYS.events)
    sighting(site, 7, "yard", 12, 10, 10, score="0.812")
    text = explain("7").stdout
    assert "+0.8" in text
    assert "similarity" in text


@pytest.mark.parametrize(
    "fields",
    [
        {"camera": "gate"},
        {"camera": "gate", "track_id": "1", "first_ns": "x", "last_ns": "2"},
        {"camera": "gate", "track_id": "1", "first_ns": "1", "last_ns": "9" * 40},
        {"camera": "gate", "track_id": "1", "first_ns": "1", "last_ns": "2", "score": "x", "terms": "a=b"},
        {"camera": b"\xff", "track_id": b"\xff", "first_ns": "1", "last_ns": "2"},
        {"camera": "gate", "track_id": "1", "first_ns": "9" * 18, "last_ns": "9" * 18},
    ],
)
def test_garbage_is_left_out(site: Client, explain: Callable[..., Done], fields: dict[str, str | bytes]) -> None:
    site.xadd(KEYS.sightings(7), fields)
    site.xadd(KEYS.events, {"kind": "split", "gid": "7", "other_gid": "many", "time_ns": "1"})
    site.xadd(KEYS.events, {"kind": "split"})
    done = explain("7")
    assert done.returncode == 0, done.stderr
    assert "yard" in done.stdout
    site.hset(KEYS.identity(7), mapping={"class": "x", "first_seen_ns": "?", "present": b"\xff"})
    assert explain("7").returncode == 0


def test_aliases_that_lead_in_a_circle_end(site: Client) -> None:
    site.hset(KEYS.aliases, mapping={"20": "21", "21": "20"})
    assert read_explanation(site, KEYS, 20) is None


def test_a_track_that_was_split_off_and_merged_again_is_shown_as_its_own(
    site: Client, explain: Callable[..., Done]
) -> None:
    event(site, "merged", 7, 35, other_gid=8, by="Ann", command="c2", undoes="c1")
    done = explain("7")
    assert "id 8 now" not in next(line for line in done.stdout.splitlines() if "yard" in line and " 13 " in line)
    assert "id 8 was merged into id 7, by Ann (command c2)" in " ".join(done.stdout.split())
    found = json.loads(explain("7", "--json").stdout)
    assert [track["moved_to"] for track in found["tracks"]] == [None, None, None]
    assert [change["by"] for change in found["changes"]] == [None, None, "Ann"]
