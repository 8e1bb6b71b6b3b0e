"""The live mode on scenes with look-alikes, camera offsets, split detections, and wrong early decisions."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from association.core import Association
from association.evidence import Evidence
from association.live_grouping import LiveGrouping
from association.merging import Merging
from association.odds import Candidates, Odds, Weighed
from association.outcome import CameraTick, CycleResult, Event
from association.settings import AssociationSettings
from association.view_pairs import ViewPairs
from shared.layout import Layout
from tests.unit.association.crossing import FPS, TICK_NS, Driver, crossing_entries, traffic
from tests.unit.association.scenes import Run, Stay, entries, overlapping, play, settings, street
from tests.unit.association.test_ground import layout as calibrated

SECONDS = 60.0


def cycles(association: Association, seen: Sequence[CameraTick], first: int, last: int) -> dict[tuple[int, int], int]:
    """Runs the ticks and returns the last gid of every track."""
    gids: dict[tuple[int, int], int] = {}
    for tick in range(first, last + 1):
        result = association.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick])
        gids |= {(one.camera, one.track_id): one.gid for one in result.assignments if one.gid}
    return gids


def crossing(
    seed: int, *, noise: float = 0.5, looks: int = 3, mode: Literal["live", "reference"] = "live"
) -> tuple[float, float]:
    """Share of pairs of tracks of one object with one gid, and of different objects with one gid."""
    seen = crossing_entries(traffic(24, looks, seed, SECONDS), 3, SECONDS, noise, seed)
    association = Association(overlapping(3), live(mode=mode))
    gids = cycles(association, seen, 1, round(SECONDS * FPS))
    counts: Counter[tuple[bool, bool]] = Counter()
    for (camera, track), gid in gids.items():
        for (other_camera, other_track), other_gid in gids.items():
            if camera < other_camera:
                counts[track % 100 == other_track % 100, gid == other_gid] += 1
    same, different = counts[True, True] + counts[True, False], counts[False, True] + counts[False, False]
    return counts[True, True] / same, counts[False, True] / different


def live(mode: Literal["live", "reference"] = "live") -> AssociationSettings:
    return replace(settings(mode=mode, interval_ticks=FPS), tick_ns=TICK_NS)


@pytest.mark.parametrize("seed", [1, 2])
def test_look_alikes_are_told_apart_by_where_they_are_and_how_they_move(seed: int) -> None:
    same, different = crossing(seed)
    reference_same, reference_different = crossing(seed, mode="reference")
    assert same > 0.9
    assert different < 0.08
    assert (same - different) > (reference_same - reference_different)


def test_a_common_offset_of_each_camera_does_not_hide_who_is_who() -> None:
    same, different = crossing(5, looks=24, noise=0.3)
    assert same > 0.9
    assert different < 0.02


def test_the_mapping_between_the_views_is_learned() -> None:
    seen = crossing_entries(traffic(24, 24, 7, SECONDS), 2, SECONDS, 0.3, 7)
    association = Association(overlapping(2), live())
    cycles(association, seen, 1, round(SECONDS * FPS))
    learned = association._grouping.evidence.view_pairs.learned()  # type: ignore[union-attr]
    assert [(cameras, known) for cameras, _, known in learned] == [((0, 1), True)]


@pytest.mark.parametrize(
    "after", [0, FPS - FPS // 2, FPS - FPS // 4], ids=["after revising", "after learning", "after merging"]
)
def test_a_restored_state_goes_on_to_the_bit(after: int) -> None:
    seen = crossing_entries(traffic(24, 6, 4, SECONDS), 3, SECONDS, 0.5, 4)
    half, end = round(SECONDS / 2) * FPS + after, round(SECONDS * FPS)
    whole, again = Association(overlapping(3), live()), Association(overlapping(3), live())
    cycles(whole, seen, 1, half)
    again.restore(copy.deepcopy(whole.to_dict()), [0, 1, 2])
    assert again.to_dict() == whole.to_dict()
    assert cycles(whole, seen, half + 1, end) == cycles(again, seen, half + 1, end)
    assert again.to_dict() == whole.to_dict()


@pytest.mark.parametrize(
    ("interval", "learned", "merged", "revised"),
    [
        (4, [2, 6, 10], [3, 7, 11], [4, 8, 12]),
        (5, [3, 8, 13], [4, 9], [5, 10]),
        (1, [*range(1, 14)], [*range(1, 14)], [*range(1, 14)]),
    ],
)
def test_it_learns_and_merges_before_it_revises(
    interval: int, learned: list[int], merged: list[int], revised: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no cycle takes the time of all."""
    done: dict[str, list[int]] = {"learn": [], "merge": [], "revise": []}
    for name, ticks in done.items():
        monkeypatch.setattr(LiveGrouping, name, lambda *_, ticks=ticks: ticks.append(tick))
    association = Association(overlapping(2), settings(mode="live", interval_ticks=interval))
    for tick in range(1, 14):
        association.cycle(tick, tick * 10**8, [])
    assert done == {"learn": learned, "merge": merged, "revise": revised}


def test_the_views_of_one_object_are_merged_once_their_overlap_is_known() -> None:
    """Two views of an object are no rivals of each other when it is asked what the third one shows."""
    everyone = [Stay(who, camera, 1, 200) for who in range(4) for camera in range(3)]
    association = Association(Layout.open(("A", "B", "C")), settings(mode="live"))
    run = Run(association).play(entries(everyone, noise=0.3), 200)
    assert len({run.gid(track) for track in range(1, 13)}) == 4
    assert all(len({run.gid(3 * who + camera) for camera in (1, 2, 3)}) == 1 for who in range(4))


def test_two_look_alikes_in_one_camera_stay_rivals_of_each_other() -> None:
    everyone = [Stay(who, camera, 1, 200) for who in range(4) for camera in range(2)]
    alike = [Stay(7, 0, 1, 200), Stay(7, 1, 1, 200), Stay(7, 1, 1, 200)]
    association = Association(Layout.open(("A", "B")), settings(mode="live"))
    run = Run(association).play(entries([*everyone, *alike], noise=0.3), 200)
    assert all(run.gid(2 * who + 1) == run.gid(2 * who + 2) for who in range(4))
    assert len({run.gid(track) for track in (9, 10, 11)}) == 3


@pytest.mark.parametrize("is_split", [False, True])
def test_what_a_revision_splits_off_may_be_merged_in_the_same_cycle(
    monkeypatch: pytest.MonkeyPatch, is_split: bool
) -> None:
    merged: list[CycleResult] = []
    monkeypatch.setattr(Merging, "merge", lambda _, result: merged.append(result))
    event = Event("split", 2, 0, 1, 1)
    monkeypatch.setattr(LiveGrouping, "_shed", lambda _, result: result.events.extend([event] * is_split))
    result = CycleResult()
    grouping = Association(overlapping(2), settings(mode="live"))._grouping
    grouping.revise(result)
    assert merged == [result] * is_split


@pytest.mark.parametrize(("is_mapped", "prior"), [(False, 1.7346), (True, 0.0)])
def test_who_is_in_an_overlapping_view_has_usually_been_recognised_by_the_place(
    monkeypatch: pytest.MonkeyPatch, is_mapped: bool, prior: float
) -> None:
    monkeypatch.setattr(ViewPairs, "knows", lambda *_: is_mapped)
    run = play(overlapping(2), [Stay(1, 0, 1, 60), Stay(1, 1, 20, 60)], upto=60, mode="live")
    (joined,) = [event for event in run.events if event.kind == "handover"]
    assert joined.decision is not None
    assert joined.decision.terms["prior"] == prior


def test_two_boxes_of_one_object_at_one_place_are_no_conflict() -> None:
    """A tracker starts a second track on the same object before it ends the first one."""
    drivers = [Driver(who, who, (-4, 2.0 * who - 4), (0.8, 0), 0.0, 12.0) for who in range(5)]
    seen = crossing_entries(drivers, 2, 12, 0.2, 1)
    doubled = [_with_second_track(one, of=101, second=150, from_tick=35) for one in seen]
    association = Association(overlapping(2), live())
    gids = cycles(association, doubled, 1, 60)
    assert gids[1, 150] == gids[1, 101] == gids[0, 1]


def _with_second_track(seen: CameraTick, of: int, second: int, from_tick: int) -> CameraTick:
    batch = seen.batch
    row = np.flatnonzero(batch.track_ids == of)
    if seen.camera != of // 100 or seen.tick < from_tick or not len(row):
        return seen
    joined = {
        name: np.concatenate([getattr(batch, name), getattr(batch, name)[row]])
        for name in ("boxes_xyxy", "scores", "class_ids", "qualities", "embeddings")
    }
    n = len(batch) + 1
    ids = np.concatenate([batch.track_ids, np.array([second])])
    return CameraTick(
        seen.camera,
        seen.tick,
        seen.time_ns,
        type(batch)(**(vars(batch) | joined | {"track_ids": ids, "embedding_rows": np.arange(n, dtype=np.int32)})),
    )


def test_a_class_that_the_detector_confuses_is_no_wall() -> None:
    drivers = [Driver(who, who, (-4, 2.0 * who - 4), (0.8, 0), 0.0, 12.0) for who in range(5)]
    seen = [_with_class(one, camera=1, track=101, class_id=7) for one in crossing_entries(drivers, 2, 12, 0.2, 1)]
    gids = cycles(Association(overlapping(2), live()), seen, 1, 60)
    assert gids[1, 101] == gids[0, 1]
    assert len(set(gids.values())) == 5


def _with_class(seen: CameraTick, camera: int, track: int, class_id: int) -> CameraTick:
    if seen.camera != camera:
        return seen
    classes = np.where(seen.batch.track_ids == track, class_id, seen.batch.class_ids).astype(np.int16)
    return CameraTick(
        seen.camera, seen.tick, seen.time_ns, type(seen.batch)(**(vars(seen.batch) | {"class_ids": classes}))
    )


def test_nobody_is_in_two_separate_views_at_once_or_faster_than_possible() -> None:
    stays = [Stay(who, who % 3, 1 + 3 * who, 60 + 3 * who) for who in range(9)]
    stays += [Stay(0, 1, 20, 80), Stay(4, 2, 18, 90)]
    run = play(street(3), stays, mode="live")
    assert run.gid(10) != run.gid(1)
    assert run.gid(11) != run.gid(5)


def test_an_object_that_returns_gets_its_gid_back() -> None:
    """The others give the means something to be the mean of."""
    stays = [Stay(who, who % 2, 1 + 10 * who, 60 + 10 * who) for who in range(8)]
    stays += [Stay(3, 0, 160, 200), Stay(2, 1, 170, 210)]
    run = play(street(2), stays, mode="live")
    assert run.gid(9) == run.gid(4)
    assert run.gid(10) == run.gid(3)


@pytest.mark.parametrize("are_alike", [False, True])
def test_who_returns_gets_no_gid_if_two_that_left_look_the_same(are_alike: bool) -> None:
    stays = [Stay(who, who % 2, 1 + 10 * who, 60 + 10 * who) for who in range(8)]
    stays += [Stay(8, 0, 100, 150), Stay(8 if are_alike else 9, 0, 102, 150), Stay(8, 1, 190, 240)]
    run = play(street(2), stays, mode="live")
    gids = [change.gid for _, change in run.changes if change.track_id == 11 and change.gid]
    assert run.gid(9) != run.gid(10)
    if are_alike:
        assert gids
        assert not {run.gid(9), run.gid(10)} & set(gids)
    else:
        assert set(gids) == {run.gid(9)}


def test_a_state_of_the_reference_mode_keeps_its_gids() -> None:
    stays = [Stay(who, who % 3, 1 + 2 * who, 120) for who in range(9)]
    seen = entries(stays, noise=0.2)
    reference = Association(overlapping(3), settings())
    before = _gids(reference, seen, 1, 80)
    converted = Association(overlapping(3), settings(mode="live"))
    converted.restore(reference.to_dict(), [0, 1, 2])
    after = before | _gids(converted, seen, 81, 120)
    assert after == before


def _gids(association: Association, seen: Sequence[CameraTick], first: int, last: int) -> dict[tuple[int, int], int]:
    gids: dict[tuple[int, int], int] = {}
    for tick in range(first, last + 1):
        result = association.cycle(tick, tick * 10**8, [one for one in seen if one.tick == tick])
        gids |= {(one.camera, one.track_id): one.gid for one in result.assignments if one.gid}
    return gids


def test_embedders_of_different_lengths_are_never_compared_and_disturb_nothing() -> None:
    """A model is replaced while the site runs: tracks that both have seen keep their gids."""
    stays = [Stay(30 + who, who % 2, 1 + 4 * who, 140) for who in range(8)]
    seen = entries(stays, noise=0.1)
    changed = [_with_embedder(one, "other", 20) if one.tick > 70 else one for one in seen]
    association = Association(overlapping(2), settings(mode="live"))
    before = _gids(association, changed, 1, 70)
    after = _gids(association, changed, 71, 140)
    assert {**before, **after} == before
    again = Association(overlapping(2), settings(mode="live"))
    again.restore(association.to_dict(), [0, 1])
    assert again.to_dict() == association.to_dict()


def _with_embedder(seen: CameraTick, embedder: str, length: int) -> CameraTick:
    vectors = seen.batch.embeddings[:, :length].astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    given = vars(seen.batch) | {"embeddings": vectors.astype(np.float16), "embedder": embedder}
    return CameraTick(seen.camera, seen.tick, seen.time_ns, type(seen.batch)(**given))


def test_a_track_that_was_taken_for_another_object_at_first_moves_to_the_right_one() -> None:
    """Its first crops show what hides it."""
    others = [Stay(who, 0, 1, 120) for who in range(6)]
    hidden = [Stay(3, 1, 20, 25, track_id=50, hidden=200), Stay(4, 1, 26, 120, track_id=50, hidden=200)]
    run = play(overlapping(2), [*others, *hidden], upto=120, mode="live")
    gids = [change.gid for _, change in run.changes if change.track_id == 50]
    assert gids == [run.gid(4), run.gid(5)]


@pytest.mark.parametrize(("at_home", "is_split"), [(-1.0, False), (-3.0, True)])
def test_a_track_is_split_off_only_if_much_speaks_against_its_identity(
    monkeypatch: pytest.MonkeyPatch, at_home: float, is_split: bool
) -> None:
    seen = crossing_entries(traffic(6, 6, 4, 20.0), 2, 20.0, 0.3, 4)
    association, middle, last = Association(overlapping(2), live()), 10 * FPS, 20 * FPS
    cycles(association, seen, 1, middle)
    monkeypatch.setattr(Evidence, "at_home", lambda self, groups: np.full(sum(map(len, groups)), at_home))
    kinds = set[str]()
    for tick in range(middle + 1, last + 1):
        result = association.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick])
        kinds |= {event.kind for event in result.events}
    assert ("split" in kinds) is is_split


def test_a_track_with_two_equal_candidates_waits_and_a_clear_one_does_not() -> None:
    others = [Stay(who, 0, 1, 120) for who in range(6)]
    alike = [Stay(7, 0, 1, 120), Stay(7, 0, 1, 120)]
    new = [Stay(7, 1, 40, 120), Stay(2, 1, 40, 120)]
    run = play(overlapping(2), [*others, *alike, *new], upto=120, mode="live")
    first = {change.track_id: tick for tick, change in reversed(run.changes)}
    assert first[10] == 42
    assert first[9] >= 60


@pytest.mark.parametrize(
    ("places", "new", "in_view_s", "seconds"),
    [(True, 0.7, 8.0, 5.0), (True, 0.85, 8.0, 2.0), (False, 0.7, 8.0, 2.0), (True, 0.7, 3.0, 3.0)],
)
def test_who_may_be_a_new_object_waits_longer_in_view_where_places_may_tell(
    monkeypatch: pytest.MonkeyPatch, places: bool, new: float, in_view_s: float, seconds: float
) -> None:
    seen = crossing_entries([Driver(0, 0, (-4.0, 0.0), (0.3, 0.0), 0.0, in_view_s)], 1, 8.0, 0.2, 1)
    nobody = np.zeros(0)  # it is alone
    monkeypatch.setattr(Candidates, "weigh", lambda *_: Weighed([], Odds(nobody, new, nobody, nobody)))
    association = Association(calibrated(0) if places else overlapping(2), live())

    def has_gid(tick: int) -> bool:
        cycles(association, seen, tick, tick)
        return bool(association.table.rows["gid"].any())

    first = min(filter(has_gid, range(1, 8 * FPS)))
    assert first == seen[0].tick + round(seconds * FPS)


@pytest.mark.parametrize(("fps", "seconds"), [(2.0, 2.0), (1.0, 3.0), (0.5, 6.0)])
def test_at_low_rates_an_unclear_track_waits_for_four_pictures_or_five_seconds(
    monkeypatch: pytest.MonkeyPatch, fps: float, seconds: float
) -> None:
    entries = crossing_entries([Driver(0, 0, (-4.0, 0.0), (0.3, 0.0), 0.0, 8.0)], 1, 8.0, 0.2, 1)
    tick_ns, nobody = round(1e9 / fps), np.zeros(0)
    seen = [replace(one, tick=tick, time_ns=tick * tick_ns) for tick, one in enumerate(entries[:: round(FPS / fps)], 1)]
    monkeypatch.setattr(Candidates, "weigh", lambda *_: Weighed([], Odds(nobody, 0.6, nobody, nobody)))
    association = Association(overlapping(2), replace(live(), tick_ns=tick_ns, min_track_frames=2))
    results = (association.cycle(one.tick, one.time_ns, [one]) for one in seen)
    first = next(tick for tick, result in enumerate(results, 1) if any(one.gid for one in result.assignments))
    assert (first - 1) / fps == seconds


def test_embeddings_of_two_embedders_give_no_ratio() -> None:
    stays = [Stay(who, 0, 1, 20) for who in range(3)] + [Stay(who, 1, 1, 20, embedder="other") for who in range(3)]
    run = play(overlapping(2), stays, upto=20, mode="live")
    assert len(set(run.ever.values())) == 6
    grouping = run.association._grouping
    assert isinstance(grouping, LiveGrouping)
    table = run.association.table
    mine, foreign = table.find(0, 1), table.find(1, 4)
    assert mine is not None
    assert foreign is not None
    assert grouping.evidence.gains([[mine]], [[foreign]])[0, 0] == -np.inf


def test_a_track_that_ended_without_a_gid_is_no_longer_compared_and_is_forgotten_after_10_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Detectors see things for a moment: at a busy site thousands of them within the retention."""
    compared = list[int]()
    at_first_sight = Evidence.at_first_sight

    def noted(self: Evidence, rows: Sequence[int], groups: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        compared.extend(rows)
        return at_first_sight(self, rows, groups)

    monkeypatch.setattr(Evidence, "at_first_sight", noted)
    run = Run(Association(overlapping(1), settings(mode="live", retention_s=600)))
    seen = entries([Stay(0, 0, 1, 200), Stay(1, 0, 20, 21, track_id=9, hidden=5)])
    run.play(seen, upto=125)
    row = run.association.table.find(0, 9)
    assert row is not None, "it ended 9.9 s ago"
    assert compared.count(row) == 6, "at the ticks 20 to 25"
    run.play(seen, upto=140)
    assert run.association.table.find(0, 9) is None
    assert run.gid(1) == 1


def test_nothing_is_kept_of_a_forgotten_track() -> None:
    drivers = [Driver(who, who, (-4, 2.0 * who - 4), (0.8, 0), 0.0, 12.0) for who in range(5)]
    doubled = [
        _with_second_track(one, of=101, second=150, from_tick=35) for one in crossing_entries(drivers, 2, 12, 0.2, 1)
    ]
    association = Association(overlapping(2), replace(live(), retention_ns=3 * 10**9))
    cycles(association, doubled, 1, 60)
    assert association.to_dict()["grouping"]["evidence"]["at_one_place"]
    cycles(association, [], 61, 120)
    assert len(association.table) == 0
    assert not association.to_dict()["grouping"]["evidence"]["at_one_place"]


def test_a_second_track_beside_the_first_in_one_camera_does_not_even_join_for_a_moment() -> None:
    """Three pictures together are tolerated, because trackers start a track too early; here both are still seen."""
    drivers = [Driver(0, 0, (-4.0, -2.0), (0.3, 0.0), 0.0, 12.0), Driver(1, 0, (-4.0, 3.0), (0.3, 0.0), 6.0, 12.0)]
    seen = crossing_entries(drivers, 1, 12.0, 0.1, 1)
    association = Association(overlapping(1), live())
    changes = []
    for tick in range(1, 12 * FPS):
        result = association.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick])
        changes += [(one.track_id, one.gid) for one in result.assignments if one.gid]
    assert changes == [(1, 1), (2, 2)]


def test_a_track_fits_the_rest_of_its_identity_as_it_would_fit_another_one() -> None:
    seen = crossing_entries(traffic(6, 6, 1, 20.0), 2, 20.0, 0.3, 1)
    association = Association(overlapping(2), live())
    cycles(association, seen, 1, 10 * FPS)
    evidence = association._grouping.evidence  # type: ignore[union-attr]
    pairs = [identity.rows[:2] for identity in association.identities if len(identity.rows) >= 2]
    assert pairs
    for pair in pairs:
        association.table.rows["class"][pair] = 3
        as_another = float(evidence.gains([pair[:1]], [pair[1:]])[0, 0])
        assert evidence.at_home([pair]) == pytest.approx([as_another] * 2, abs=1e-3)
