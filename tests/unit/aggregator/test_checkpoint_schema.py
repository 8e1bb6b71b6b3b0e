"""Checkpoints of earlier versions keep their gids; those of later ones are refused."""

from pathlib import Path
from typing import Literal

import msgpack
import pytest

from association.core import Association
from services.aggregator.operators import Answers
from services.aggregator.persistence import SCHEMA, Checkpoint, UnknownState, pack, unpack
from shared.layout import Layout
from tests.unit.association.scenes import settings, street

GOLDEN = Path(__file__).parents[2] / "golden"
GIDS = {
    1: {(0, 1): 1, (0, 2): 2, (2, 5): 3, (1, 3): 1, (1, 4): 2, (2, 6): 1},
    2: {(0, 1): 1, (0, 2): 2, (0, 6): 3, (1, 7): 3, (1, 3): 1, (2, 5): 1, (1, 4): 2},
    3: {(0, 1): 1, (0, 2): 2, (0, 6): 3, (1, 7): 3, (1, 3): 1, (2, 5): 6, (1, 4): 2},
    4: {(0, 1): 1, (2, 7): 2, (0, 2): 3, (1, 5): 4, (2, 4): 5, (1, 3): 1, (0, 6): 4},
    5: {(0, 1): 1, (2, 7): 2, (0, 2): 3, (1, 5): 4, (2, 4): 5, (1, 3): 1, (0, 6): 4},
    6: {(0, 1): 9, (0, 2): 2, (1, 3): 5, (2, 5): 4, (1, 4): 4, (2, 6): 1, (2, 7): 2},
    7: {(0, 1): 10, (0, 2): 2, (1, 3): 6, (2, 5): 5, (1, 4): 5, (2, 6): 1, (2, 7): 2},
    8: {
        (0, 2): 1,
        (1, 102): 1,
        (2, 202): 1,
        (0, 4): 6,
        (1, 104): 6,
        (2, 204): 6,
        (0, 1): 9,
        (1, 101): 9,
        (2, 201): 9,
        (0, 5): 10,
        (1, 105): 10,
        (2, 205): 10,
        (0, 3): 11,
        (1, 103): 11,
        (2, 203): 11,
    },
}
"""Schema → (camera, track) → gid, as the version that wrote the golden file published them."""


@pytest.mark.parametrize(
    ("schema", "mode", "layout"),
    [
        (1, "live", street(3)),
        (1, "reference", street(3)),
        (2, "live", Layout.open(tuple("ABC"))),
        (2, "reference", Layout.open(tuple("ABC"))),
        (3, "live", Layout.open(tuple("ABC"))),
        (4, "live", Layout.open(tuple("ABC"))),
        (5, "live", Layout.open(tuple("ABC"))),
        (6, "live", Layout.open(tuple("ABC"))),
        (7, "live", Layout.open(tuple("ABC"))),
        (8, "live", Layout.open(tuple("ABC"))),
    ],
)
def test_a_checkpoint_of_an_earlier_version_keeps_every_gid(
    schema: int, mode: Literal["live", "reference"], layout: Layout
) -> None:
    checkpoint = unpack((GOLDEN / f"checkpoint_schema{schema}.msgpack").read_bytes(), "site")
    association = Association(layout, settings(mode=mode))
    association.restore(checkpoint.association, [0, 1, 2])
    rows = association.table.rows
    known = {(int(row["camera"]), int(row["track_id"])): int(row["gid"]) for row in rows[rows["used"]]}
    assert known == GIDS[schema]
    result = association.cycle(110, 110 * 10**8, [])
    assert not [change for change in result.assignments if change.gid]
    assert association.identities.next_gid == max(known.values()) + 1
    packed = pack(Checkpoint(9, 0, {}, {}, ("A", "B", "C"), association.to_dict()))
    again = Association(layout, settings(mode=mode))
    again.restore(unpack(b"".join(packed.parts), "site").association, [0, 1, 2])
    assert again.to_dict() == association.to_dict()


def test_a_checkpoint_of_schema_6_has_what_operators_decided() -> None:
    checkpoint = unpack((GOLDEN / "checkpoint_schema6.msgpack").read_bytes(), "site")
    association = Association(Layout.open(tuple("ABC")), settings(mode="live"))
    association.restore(checkpoint.association, [0, 1, 2])
    identities = association.identities
    assert {one.gid: one.name for one in identities if one.name} == {1: "Ann"}
    assert {one.gid: one.apart for one in identities if one.apart} == {1: {9}, 9: {1}}
    assert {one.gid: len(one.pinned) for one in identities if one.pinned} == {1: 1, 4: 2, 9: 1}
    done = [(one.command, one.kind, one.gid, one.other_gid) for one in identities.corrections]
    assert done == [("c1", "merge", 4, 6), ("c2", "name", 1, 0), ("c3", "split", 9, 1)]
    assert checkpoint.commands["cursor"] == "5-0"
    answer = next(iter(Answers.from_list(checkpoint.commands["answers"])))
    assert (answer.id, answer.kind, answer.outcome, answer.gid, answer.other_gid) == ("m1", "merge", "done", 1, 2)


def test_a_checkpoint_of_schema_7_has_what_forgotten_tracks_said_of_the_mean_of_their_camera() -> None:
    checkpoint = unpack((GOLDEN / "checkpoint_schema7.msgpack").read_bytes(), "site")
    association = Association(Layout.open(tuple("ABC")), settings(mode="live"))
    association.restore(checkpoint.association, [0, 1, 2])
    (found,) = association.to_dict()["grouping"]["evidence"]["appearance"]["gone"]
    assert found[:3] == [1, 0, 15.0], "one object of camera B with 15 crops"


def test_a_checkpoint_of_schema_8_has_where_tracks_began_and_ended() -> None:
    checkpoint = unpack((GOLDEN / "checkpoint_schema8.msgpack").read_bytes(), "site")
    association = Association(Layout.open(tuple("ABC")), settings(mode="live"))
    association.restore(checkpoint.association, [0, 1, 2])
    passages = association.to_dict()["grouping"]["evidence"]["passages"]
    assert len(passages["frames"]) == 15 * 4
    assert passages == checkpoint.association["grouping"]["evidence"]["passages"] | {"routes": []}


def test_a_checkpoint_of_a_newer_version_is_refused_with_what_to_do() -> None:
    content = msgpack.unpackb((GOLDEN / "checkpoint_schema3.msgpack").read_bytes(), strict_map_key=False) | {
        "schema": SCHEMA + 1
    }
    with pytest.raises(
        UnknownState, match=r"site site in Redis has schema 9.*reads up to 8.*Run that version, or delete"
    ):
        unpack(msgpack.packb(content), "site")
