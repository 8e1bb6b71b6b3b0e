"""Without a layout, views overlap only once that has been learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from association.core import Association
from association.live_grouping import LiveGrouping
from association.outcome import CameraTick
from shared.layout import Layout
from shared.messages import TrackBatch
from tests.unit.association.crossing import FPS, TICK_NS, crossing_entries, traffic
from tests.unit.association.scenes import Run, Stay, entries, play, settings

SECONDS = 60.0
LIVE = replace(settings(mode="live", interval_ticks=FPS), tick_ns=TICK_NS)


def two_places(looks: int, seed: int) -> list[CameraTick]:
    """Cameras 0 and 1 see one crossing, camera 2 another one with other objects, which have `looks` looks in common."""
    here = crossing_entries(traffic(24, looks, seed, SECONDS), 2, SECONDS, 0.4, seed)
    there = crossing_entries(
        traffic(24, looks, seed + 100, SECONDS), 1, SECONDS, 0.4, seed + (100 if looks == 24 else 0)
    )
    moved = [CameraTick(2, one.tick, one.time_ns, _with_ids_from(one, 500)) for one in there]
    return sorted([*here, *moved], key=lambda one: (one.tick, one.camera))


def _with_ids_from(seen: CameraTick, first: int) -> TrackBatch:
    batch = seen.batch
    return type(batch)(**(vars(batch) | {"track_ids": batch.track_ids + first, "ended": batch.ended + first}))


def run_crossing(association: Association, seen: Sequence[CameraTick], last: int, first: int = 1) -> float:
    """The share of moments at which an identity is in both views of a pair that is not known to overlap."""
    gids: dict[tuple[int, int], int] = {}
    wrong = moments = 0
    for tick in range(first, last + 1):
        now = [one for one in seen if one.tick == tick]
        result = association.cycle(tick, tick * TICK_NS, now)
        gids |= {(one.camera, one.track_id): one.gid for one in result.assignments}
        learned = association.learned()
        assert learned is not None
        known = {one.cameras for one in learned.overlaps if one.source == "learned"}
        views = defaultdict(set)
        for one in now:
            for track in one.batch.track_ids.tolist():
                views[gids.get((one.camera, track), 0)].add(one.camera)
        for gid, cameras in views.items():
            moments += gid > 0
            wrong += gid > 0 and any(pair not in known for pair in combinations(sorted(cameras), 2))
    return wrong / moments


@pytest.mark.parametrize(("looks", "seed"), [(24, 1), (24, 2), (5, 7)])
def test_overlap_is_learned_where_there_is_some_and_nowhere_else(looks: int, seed: int) -> None:
    association = Association(Layout.open(tuple("ABC")), LIVE)
    wrong = run_crossing(association, two_places(looks, seed), round(SECONDS * FPS))
    learned = association.learned()
    assert learned is not None
    found = {one.cameras: one.source for one in learned.overlaps}
    assert found == {(0, 1): "learned", (0, 2): "unknown", (1, 2): "unknown"}
    assert wrong < 0.01
    by_pair = {one.cameras: one for one in learned.overlaps}
    assert by_pair[0, 1].found > 3
    assert by_pair[0, 2].probability is not None
    assert by_pair[0, 2].probability < 0.2


def test_what_was_learned_survives_a_restart_to_the_bit() -> None:
    seen = two_places(24, 1)
    whole = Association(Layout.open(tuple("ABC")), LIVE)
    run_crossing(whole, seen, 150)
    again = Association(Layout.open(tuple("ABC")), LIVE)
    again.restore(whole.to_dict(), [0, 1, 2])
    assert again.learned() == whole.learned()
    for tick in range(151, 200):
        now = [one for one in seen if one.tick == tick]
        assert whole.cycle(tick, tick * TICK_NS, now) == again.cycle(tick, tick * TICK_NS, now)
    assert again.to_dict() == whole.to_dict()


def test_a_camera_that_is_added_does_not_disturb_what_was_learned() -> None:
    before = Association(Layout.open(tuple("ABC")), LIVE)
    run_crossing(before, two_places(24, 1), 200)
    after = Association(Layout.open(tuple("ZABC")), LIVE)
    after.restore(before.to_dict(), [1, 2, 3])
    learned = after.learned()
    assert learned is not None
    assert [one.cameras for one in learned.overlaps if one.source == "learned"] == [(1, 2)]


def test_objects_that_only_look_alike_end_what_was_learned() -> None:
    """They agree on no mapping of places, however many they are."""
    association = Association(Layout.open(tuple("ABC")), LIVE)
    run_crossing(association, two_places(24, 1), 150)
    overlaps = association._grouping._learning.overlaps  # type: ignore[union-attr]
    nothing_new = np.zeros((1, 1))
    overlaps.learn(lambda _a, _b: nothing_new, mapped=[(0, 2)], disagreeing=[])
    assert overlaps.learned == {(0, 1), (0, 2)}
    overlaps.learn(lambda _a, _b: nothing_new, mapped=[(0, 2)], disagreeing=[(0, 1)])
    assert overlaps.learned == {(0, 2)}


def test_an_overlap_that_was_learned_too_early_ends_when_tracks_find_nobody_in_the_other_view() -> None:
    """As if two pairs of look-alikes at the start had taught it; all later tracks speak against it."""
    association, seen = Association(Layout.open(tuple("ABC")), LIVE), two_places(24, 1)
    run_crossing(association, seen, 20 * FPS)
    overlaps = association._grouping._learning.overlaps  # type: ignore[union-attr]
    overlaps.learned.add((0, 2))
    run_crossing(association, seen, round(SECONDS * FPS), first=20 * FPS + 1)
    assert overlaps.learned == {(0, 1)}


@pytest.mark.parametrize("stays_in_view", [True, False])
def test_if_two_views_no_longer_overlap_nobody_loses_the_gid_for_what_was_before(stays_in_view: bool) -> None:
    layout = Layout.open(tuple("ABC"))
    was_in_both = [Stay(1, 0, 1, 60), Stay(1, 1, 20, 70)]
    last = 300 if stays_in_view else 160
    run = Run(Association(layout, settings(mode="live", retention_s=600)))
    grouping = run.association._grouping
    assert isinstance(grouping, LiveGrouping)
    overlaps = grouping._learning.overlaps
    overlaps.learned.add((0, 1))
    seen = entries([*was_in_both, Stay(1, 2, 100, last), Stay(1, 2, 340, 420), Stay(2, 1, 1, 420)])
    run.play(seen, upto=150)
    gid = run.gid(3)
    assert gid == run.gid(1) == run.gid(2)
    overlaps.learned.discard((0, 1))
    run.play(seen, upto=420)
    assert (0, 1) not in overlaps.learned
    assert run.gid(3) == run.gid(4) == gid, "in view, and after it has returned"


def test_doubt_does_not_end_an_overlap_that_a_mapping_confirms() -> None:
    association = Association(Layout.open(tuple("AB")), LIVE)
    overlaps = association._grouping._learning.overlaps  # type: ignore[union-attr]
    overlaps.learned.add((0, 1))
    overlaps._answers[0, 1] = dict.fromkeys(range(20), (0.01, -1))
    assert overlaps.probability((0, 1)) < 0.05
    nothing_new = np.zeros((1, 1))
    overlaps.learn(lambda _a, _b: nothing_new, mapped=[(0, 1)], disagreeing=[])
    assert overlaps.learned == {(0, 1)}
    overlaps.learn(lambda _a, _b: nothing_new, mapped=[], disagreeing=[])
    assert not overlaps.learned


@pytest.mark.parametrize("first", range(46, 56))
def test_a_look_alike_in_another_view_does_not_get_the_gid_even_for_a_moment(first: int) -> None:
    stays = [Stay(1, 0, 1, 120), Stay(1, 1, first, 120), Stay(2, 0, 1, 120), Stay(3, 1, 1, 120)]
    run = play(Layout.open(tuple("AB")), stays, upto=120, mode="live")
    gids = {change.gid for _, change in run.changes if change.track_id == 2}
    assert gids.isdisjoint({change.gid for _, change in run.changes if change.track_id != 2})


def test_an_object_may_be_in_both_views_for_a_moment_when_it_crosses_the_edge() -> None:
    stays = [Stay(1, 0, 1, 55), Stay(1, 1, 50, 120), Stay(2, 0, 1, 120), Stay(3, 1, 1, 120)]
    run = play(Layout.open(tuple("AB")), stays, upto=120, mode="live")
    assert run.gid(1) == run.gid(2)


def test_a_declared_overlap_needs_no_learning() -> None:
    layout = Layout.open(tuple("AB")).with_transition("A", "B", 0, 60, overlapping=True)
    learned = Association(layout, LIVE).learned()
    assert learned is not None
    assert [(one.cameras, one.source, one.probability) for one in learned.overlaps] == [((0, 1), "layout", None)]


def test_the_reference_mode_learns_nothing() -> None:
    assert Association(Layout.open(tuple("AB")), settings()).learned() is None


def test_learning_can_be_switched_off_and_keeps_what_was_learned() -> None:
    seen, still = two_places(24, 1), replace(LIVE, learn=False)
    ignorant = Association(Layout.open(tuple("ABC")), still)
    assert run_crossing(ignorant, seen, 120) < 0.02, "only in the second after an edge"
    learned = ignorant.learned()
    assert learned is not None
    assert {one.source for one in learned.overlaps} == {"unknown"}
    assert not learned.steps
    knowing = Association(Layout.open(tuple("ABC")), LIVE)
    run_crossing(knowing, seen, 120)
    settled = Association(Layout.open(tuple("ABC")), still)
    settled.restore(knowing.to_dict(), [0, 1, 2])
    for tick in range(121, 200):
        settled.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick])
    after, before = settled.learned(), knowing.learned()
    assert after is not None
    assert before is not None
    assert (after.overlaps, after.steps, after.offsets) == (before.overlaps, before.steps, before.offsets)
    assert after.appearance[0].dimensions == before.appearance[0].dimensions
