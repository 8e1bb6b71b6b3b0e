"""Tracks that a single-camera tracker carries over to another object."""

from __future__ import annotations

from dataclasses import replace

from association.core import Association
from tests.unit.association.scenes import Run, Stay, entries, overlapping, play, settings, street


def test_a_track_that_goes_on_with_another_object_gets_its_gid() -> None:
    """Camera 1 follows object 1 with track 50, and from tick 60 on object 2."""
    others = [Stay(who, 0, 1, 140) for who in range(6)]
    track = [Stay(1, 1, 1, 59, track_id=50, hidden=200), Stay(2, 1, 60, 140, track_id=50)]
    run = play(overlapping(2), [*others, *track], upto=140, mode="live")
    gids = [change.gid for _, change in run.changes if change.track_id == 50]
    assert gids == [run.gid(2), run.gid(3)]
    changed = next(tick for tick, change in run.changes if change.track_id == 50 and change.gid == run.gid(3))
    assert 60 < changed <= 70
    sightings = [
        (one.gid, one.first_tick, one.last_tick, one.ended)
        for result in run.results
        for one in result.sightings
        if one.track_id == 50
    ]
    first, second = sightings[-2], sightings[-1]
    assert first[0] == run.gid(2)
    assert second[0] == run.gid(3)
    assert first[3], "the part that shows object 1 has ended"
    assert second[1] > first[2]


def test_a_track_of_one_object_is_not_divided() -> None:
    stays = [Stay(who, who % 2, 1 + 3 * who, 150) for who in range(8)]
    run = Run(Association(street(2), settings(mode="live"))).play(entries(stays, noise=0.6), 150)
    assert not (run.association.table.rows["track_id"] < 0).any()


def test_the_objects_of_a_divided_track_count_once_each() -> None:
    """Track 50 has been counted for 1 s when it goes on with object 7."""
    track = [Stay(1, 0, 40, 129, track_id=50, hidden=300), Stay(7, 0, 130, 190, track_id=50)]
    others = [Stay(who, 0, 1, 280) for who in (3, 4, 5)]
    run = Run(Association(street(2), settings(mode="live"))).play(entries([*track, *others], noise=0.1), 280)
    assert (run.association.table.rows["track_id"] == ~50).any(), "it was divided"
    travel = run.association._grouping._learning.travel  # type: ignore[union-attr]
    assert travel._new == {0: 2.0}


def test_a_divided_track_ends_and_is_forgotten_like_any_other() -> None:
    track = [Stay(1, 0, 1, 59, track_id=50, hidden=300), Stay(7, 0, 60, 90, track_id=50)]
    others = [Stay(who, 0, 1, 90) for who in (3, 4, 5)]
    seen = entries([*track, *others], noise=0.1)
    association = Association(overlapping(2), replace(settings(mode="live"), retention_ns=5 * 10**9))
    gids = {}
    for tick in range(1, 260):
        result = association.cycle(tick, tick * 10**8, [one for one in seen if one.tick == tick])
        gids |= {(one.camera, one.track_id): one.gid for one in result.assignments}
        if tick == 75:
            again = Association(overlapping(2), replace(settings(mode="live"), retention_ns=5 * 10**9))
            again.restore(association.to_dict(), [0, 1])
            assert again.to_dict() == association.to_dict()
            assert (association.table.rows["track_id"] == ~50).any()
            association = again
    assert len(association.table) == 0
    assert not association.table.rows["used"].any()
    assert not any(gids.values())
