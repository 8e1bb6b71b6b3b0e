"""The commands of a cycle, for one fenced script."""

from __future__ import annotations

from collections.abc import Mapping

from association.decisions import Decision
from association.identities import Identities, Identity
from association.outcome import Assignment, CycleResult, Event, Sighting
from association.positions import Position
from association.track_table import TrackTable
from services.aggregator.publication import Command, CycleRecord, Publication, digest, touched_keys
from services.aggregator.reader import DeadLetter, Gap
from shared.keys import Keys

KEYS = Keys("s")


def commands(
    result: CycleResult,
    gaps: tuple[Gap, ...] = (),
    letters: tuple[DeadLetter, ...] = (),
    titles: Mapping[str, str] | None = None,
) -> list[Command]:
    """The commands of cycle 9, after 4 events, for an identity 1 that has left and an identity 2 in view."""
    table, identities = TrackTable(), Identities()
    for present in (False, True):
        identity = identities.create(0, 1, 2)
        identity.present = present
        identity.rows.append(table.add(int(present), 5, 0, 1, 1))
    record = CycleRecord(9, 900, {"A": "7-0"}, result, gaps, letters, identities.next_gid, 4)
    return Publication(KEYS, ("A", "B"), 30.2, titles).commands(record, table, identities)


def test_the_cycle_comes_first_with_its_tick_as_id_so_that_a_retry_is_refused() -> None:
    result = CycleResult(assignments=[Assignment(0, 5, 1)])
    assert [str(part) for part in commands(result)[0]] == [
        *(
            "XADD",
            KEYS.cycles,
            "MAXLEN",
            "~",
            "1000",
            "9-0",
            "tick",
            "9",
            "time_ns",
            "900",
            "events",
            "4",
            "next_gid",
            "3",
        ),
        *("digest", digest(result, ("A", "B")), "cursor", "A=7-0"),
    ]


def test_the_digest_tells_assignments_and_merges_apart() -> None:
    cameras = "A", "B"
    results = [
        CycleResult(),
        CycleResult(assignments=[Assignment(0, 5, 1)]),
        CycleResult(assignments=[Assignment(1, 5, 1)]),
        CycleResult(assignments=[Assignment(0, 5, 2)]),
        CycleResult(aliases={5: 1}),
        CycleResult(assignments=[Assignment(0, 5, 1), Assignment(1, 6, 0)]),
    ]
    assert len({digest(result, cameras) for result in results}) == len(results)
    assert digest(CycleResult(), cameras) == "e3b0c44298fc1c14"


def test_every_change_of_the_map_is_also_in_the_stream() -> None:
    changes = [Assignment(0, 5, 1), Assignment(1, 6, 0)]
    written = commands(CycleResult(assignments=changes))
    assert ["HSET", KEYS.gids("A"), 5, 1] in written
    assert ["HDEL", KEYS.gids("B"), 6] in written
    published = [list(command)[-8:] for command in written if command[1] == KEYS.assignments]
    assert published == [
        ["tick", 9, "camera", "A", "track_id", 5, "gid", 1],
        ["tick", 9, "camera", "B", "track_id", 6, "gid", 0],
    ]


def test_events_and_gaps_continue_the_numbering_without_gaps() -> None:
    written = commands(CycleResult(events=[Event("appeared", 1), Event("left", 1)]), (Gap("A", 3, 6),))
    assert [command[5] for command in written if command[1] == KEYS.events] == ["5-0", "6-0", "7-0"]
    assert written[0][written[0].index("events") + 1] == 7


def test_events_carry_the_titles_of_their_cameras() -> None:
    events = [Event("handover", 2, camera=1, track_id=5, from_camera=0), Event("appeared", 2, camera=0, track_id=4)]
    written = commands(CycleResult(events=events), titles={"B": "Käfertaler Straße"})
    handover, appeared = (_fields(command) for command in written if command[1] == KEYS.events)
    assert (handover["camera"], handover["title"], handover["from_camera"]) == ("B", "Käfertaler Straße", "A")
    assert "from_title" not in handover
    assert "title" not in appeared


def test_events_and_sightings_carry_the_decision() -> None:
    decision = Decision(2.5, {"appearance": 3.0, "class": 0.0, "prior": -0.5}, 0, 2.25)
    seen = [1, 2, 3, 4]
    sightings = [
        Sighting(2, 1, 5, *seen, ended=False, decision=decision),
        Sighting(2, 1, 5, *seen, ended=True, decision=None),
    ]
    similarity = Event("handover", 2, camera=1, track_id=6, decision=Decision(0.81))
    written = commands(
        CycleResult(events=[Event("merged", 2, other_gid=1, decision=decision), similarity], sightings=sightings)
    )
    merged, handover = (_fields(command) for command in written if command[1] == KEYS.events)
    joined, ended = (_fields(command) for command in written if command[:2] == ["XADD", KEYS.sightings(2)])
    expected = {"score": "2.500", "terms": "appearance=3.000 class=0.000 prior=-0.500", "runner_up": 0}
    expected |= {"margin": "2.250"}
    assert expected.items() <= merged.items()
    assert expected.items() <= joined.items()
    assert not expected.keys() & ended.keys()
    assert (handover["score"], expected.keys() & handover.keys()) == ("0.810", {"score"})


def _fields(command: Command) -> dict[str | bytes | int, str | bytes | int]:
    """The fields of an XADD with a cap and an id."""
    return dict(zip(command[6::2], command[7::2], strict=True))


def test_a_record_expires_only_after_its_identity_has_left() -> None:
    written = commands(CycleResult(touched={1, 2}))
    assert ["EXPIRE", KEYS.identity(1), 31] in written
    assert ["EXPIRE", KEYS.sightings(1), 31] in written
    assert ["PERSIST", KEYS.identity(2)] in written
    assert ["PERSIST", KEYS.sightings(2)] in written


def test_a_forgotten_identity_is_deleted_with_its_sightings_and_aliases() -> None:
    result = CycleResult(forgotten=[Identity(8, 0, 1, 2)], dropped_aliases=[3])
    written = commands(result)
    assert ["DEL", KEYS.identity(8), KEYS.sightings(8)] in written
    assert ["HDEL", KEYS.aliases, 3] in written
    assert {KEYS.identity(8), KEYS.sightings(8), KEYS.aliases} <= set(touched_keys(written))


def test_a_merged_gid_becomes_an_alias_and_loses_its_record() -> None:
    written = commands(CycleResult(aliases={2: 1}))
    assert ["HSET", KEYS.aliases, 2, 1] in written
    assert ["DEL", KEYS.identity(2)] in written


def test_a_dead_letter_has_its_stream_and_the_reason() -> None:
    written = commands(CycleResult(), letters=(DeadLetter("stream", "1-1", "torn"),))
    letter = next(command for command in written if command[1] == KEYS.dead_letters)
    assert list(letter)[-6:] == ["stream", "stream", "entry", "1-1", "reason", "torn"]


def test_places_of_known_identities_are_written_into_their_records() -> None:
    positions = {2: Position(1.234, -2.0, 0.3, None), 99: Position(0.0, 0.0, 0.1, 1.5)}
    written = [command for command in commands(CycleResult(positions=positions)) if command[0] == "HSET"]
    assert written == [["HSET", KEYS.identity(2), "x", "1.23", "y", "-2.00", "uncertainty", "0.30", "speed", ""]]
