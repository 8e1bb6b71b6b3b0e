"""The evaluation distinguishes good ids from bad ones, by figures that can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.verdict import Verdict
from tests.unit.evaluation.scenes import Row, judged, truth_of

CAMERAS, OBJECTS, TICKS = 3, 4, 60
Naming = Callable[[int, int, int], int]
"""Camera, object, tick → gid."""


def four_objects_in_three_cameras(naming: Naming) -> Verdict:
    """All cameras see all objects all the time, each in its own lane; the tracks are perfect."""
    cameras, objects, ticks = range(CAMERAS), range(OBJECTS), range(1, TICKS + 1)
    truth = {f"cam{c}": truth_of([(t, o, o) for t in ticks for o in objects]) for c in cameras}
    rows: dict[str, list[Row]] = {
        f"cam{c}": [(t, o, 10 * c + o, naming(c, o, t)) for t in ticks for o in objects] for c in cameras
    }
    return judged(truth, rows, TICKS)


def test_perfect_ids_score_one_everywhere() -> None:
    verdict = four_objects_in_three_cameras(lambda camera, thing, tick: thing + 1)
    for scores in (*verdict.cameras.values(), *verdict.bound_cameras.values()):
        assert scores is not None
        figures = (scores.hota, scores.deta, scores.assa, scores.idf1, scores.mota)
        assert figures == pytest.approx((1, 1, 1, 1, 1))
        assert scores.idsw == 0
    for of_all in (verdict.multi_camera, verdict.bound):
        assert of_all is not None
        assert (of_all.idf1, of_all.idp, of_all.idr, of_all.hota, of_all.assa) == pytest.approx((1, 1, 1, 1, 1))
    live = verdict.live
    assert live.gid_changes_per_1000_track_seconds == 0
    assert (live.without_gid_share, live.first_gid_seconds_p50, live.purity, live.completeness) == (0, 0, 1, 1)
    assert live.track_seconds == pytest.approx(CAMERAS * OBJECTS * TICKS * 0.1)


def test_the_gid_of_the_track_scores_one_in_each_camera_but_a_third_over_three_cameras() -> None:
    verdict = four_objects_in_three_cameras(lambda camera, thing, tick: 1 + 10 * camera + thing)
    assert [scores and scores.idf1 for scores in verdict.cameras.values()] == pytest.approx([1, 1, 1])
    assert verdict.multi_camera is not None
    # Only one of an object's three tracks can be right; the boxes of the other two are both missed and wrong.
    figures = verdict.multi_camera
    assert (figures.idf1, figures.idp, figures.idr) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    # A = TP / (TP + FN + FP) = 60 / (60 + 120 + 0) of every box; everything is found, so HOTA is its root.
    assert (figures.assa, figures.hota) == pytest.approx((1 / 3, (1 / 3) ** 0.5))
    assert verdict.bound is not None
    assert verdict.bound.idf1 == pytest.approx(1)
    assert (verdict.live.purity, verdict.live.completeness) == pytest.approx((1, 1 / 3))


def test_one_gid_for_everything_scores_a_quarter_with_four_objects() -> None:
    verdict = four_objects_in_three_cameras(lambda camera, thing, tick: 7)
    figures = verdict.multi_camera
    assert figures is not None
    # One object of four has the gid; the other three boxes of every picture count as unknown ids. A few of those are
    # matched once: 3 of 720 boxes.
    assert figures.idf1 == pytest.approx(1 / 4, abs=0.005)
    assert figures.idp == pytest.approx(1 / 4, abs=0.005)
    assert (verdict.live.purity, verdict.live.completeness) == pytest.approx((1 / 4, 1))
    assert verdict.live.gid_changes == 0


def test_random_gids_score_about_as_much_as_chance() -> None:
    random = np.random.default_rng(5)
    verdict = four_objects_in_three_cameras(lambda camera, thing, tick: int(random.integers(1, 1000)))
    figures = verdict.multi_camera
    assert figures is not None
    assert figures.idf1 < 0.03
    assert figures.hota < 0.15
    assert (verdict.live.completeness or 1) < 0.05
    # Nearly every box has a different gid than the previous one: 59 changes in a track of 6 s.
    assert verdict.live.gid_changes_per_1000_track_seconds == pytest.approx(1000 * 59 / 6, rel=0.02)


def test_renumbering_at_every_cycle_shows_in_changes_and_scores_though_every_cycle_is_right() -> None:
    verdict = four_objects_in_three_cameras(lambda camera, thing, tick: 100 * (tick // 10) + thing + 1)
    figures = verdict.multi_camera
    assert figures is not None
    # Ticks 1 to 60 fall into cycles 0 (nine ticks), 1 to 5 (ten each) and 6 (one): the best gid of an object lasts ten.
    assert figures.idf1 == pytest.approx(10 / 60)
    assert verdict.live.gid_changes_per_1000_track_seconds == pytest.approx(1000 * 6 / 6)
    assert verdict.live.purity == 1
    assert verdict.cameras["cam0"] is not None
    assert verdict.cameras["cam0"].idsw == OBJECTS * 6
    assert verdict.cameras["cam0"].deta == pytest.approx(1)


def test_swapping_two_objects_in_one_camera_lowers_their_scores() -> None:
    # In the third camera objects 0 and 1 have each other's gid: 2 · 60 of 720 boxes have a wrong id.
    swapped = {0: 2, 1: 1, 2: 3, 3: 4}
    verdict = four_objects_in_three_cameras(lambda c, thing, tick: swapped[thing] if c == 2 else thing + 1)
    assert verdict.multi_camera is not None
    assert verdict.multi_camera.idf1 == pytest.approx(600 / 720)
    assert (verdict.live.purity, verdict.live.completeness) == pytest.approx((600 / 720, 600 / 720))


def test_boxes_without_a_gid_are_missed_and_not_wrong() -> None:
    verdict = four_objects_in_three_cameras(lambda camera, thing, tick: thing + 1 if tick > 15 else 0)
    figures = verdict.multi_camera
    assert figures is not None
    assert figures.idp == pytest.approx(1)
    assert figures.idr == pytest.approx(45 / 60)
    assert figures.idf1 == pytest.approx(2 * 45 / (45 + 60))
    live = verdict.live
    assert live.first_gid_seconds_p50 == pytest.approx(1.5)
    # Older than 1 s are the boxes of ticks 12 to 60; those of ticks 12 to 15 have no gid.
    assert live.without_gid_share == pytest.approx(4 / 49)
    assert live.gid_changes == 0


def test_errors_of_the_tracker_lower_the_bound() -> None:
    # One object for ten ticks: track 1 for four, no track for two, track 2 for four; and a track without an object.
    truth = {"cam0": truth_of([(t, 0, 5) for t in range(1, 11)])}
    rows = [(t, 0, 1, 91) for t in range(1, 5)] + [(t, 0, 2, 92) for t in range(7, 11)]
    rows += [(t, 3, 3, 93) for t in (1, 2)]
    verdict = judged(truth, {"cam0": rows}, 10)
    assert verdict.multi_camera is not None
    assert verdict.bound is not None
    # Published: the better of two gids has 4 of the 10 true boxes, of 10 boxes. Bound: both tracks are the object.
    assert verdict.multi_camera.idf1 == pytest.approx(2 * 4 / (10 + 10))
    assert verdict.bound.idf1 == pytest.approx(2 * 8 / (10 + 10))
    assert (verdict.bound.idp, verdict.bound.idr) == pytest.approx((0.8, 0.8))
    scores = verdict.cameras["cam0"]
    assert scores is not None
    # 2 missed, 2 wrong, 1 switch of 10; 8 of 12 boxes match.
    assert scores.mota == pytest.approx(1 - (2 + 2 + 1) / 10)
    assert scores.idsw == 1
    assert scores.deta == pytest.approx(8 / 12)
    # Each of the 8 found boxes has the same gid as 4 of the object's 10.
    assert scores.assa == pytest.approx(4 / 10)
    assert scores.hota == pytest.approx((8 / 12 * 4 / 10) ** 0.5)


def test_a_track_that_moves_on_to_another_object_is_the_trackers_fault() -> None:
    # Track 1 shows object 0 for six ticks and then object 1 for four; it counts as object 0.
    truth = {"cam0": truth_of([(t, 0, 0) for t in range(1, 7)] + [(t, 1, 1) for t in range(7, 11)])}
    rows = [(t, 0 if t < 7 else 1, 1, 9) for t in range(1, 11)]
    verdict = judged(truth, {"cam0": rows}, 10)
    assert verdict.bound is not None
    assert verdict.bound.idf1 == pytest.approx(6 / 10)
    assert verdict.multi_camera == verdict.bound


def test_if_two_tracks_show_one_object_at_once_the_bound_uses_the_longer_one() -> None:
    truth = {"cam0": truth_of([(t, 0, 0) for t in range(1, 11)])}
    # Only track 2 matches at ticks 1 to 3, where track 1 has no box; at ticks 4 and 5 both are there.
    rows = [(t, 0, 1, 1) for t in range(4, 11)] + [(t, 0, 2, 1) for t in range(1, 4)]
    rows += [(t, 2, 2, 1) for t in (4, 5)]
    verdict = judged(truth, {"cam0": rows}, 10)
    assert verdict.bound is not None
    assert (verdict.bound.idr, verdict.bound.idp) == pytest.approx((1, 10 / 12))


def test_ignored_objects_are_neither_missed_nor_wrong() -> None:
    # Object 1 is ignored. Whether it is found, and under which gid, changes nothing.
    truth = {"cam0": truth_of([(t, lane, lane) for t in range(1, 11) for lane in (0, 1)], ignored=[1])}
    only_the_other = [(t, 0, 1, 4) for t in range(1, 11)]
    both = [*only_the_other, *((t, 1, 2, t) for t in range(1, 11))]
    for rows in (only_the_other, both):
        verdict = judged(truth, {"cam0": rows}, 10)
        assert verdict.multi_camera is not None
        assert (verdict.multi_camera.idf1, verdict.multi_camera.hota) == pytest.approx((1, 1))
        assert verdict.cameras["cam0"] is not None
        assert verdict.cameras["cam0"].mota == pytest.approx(1)


def test_ids_seen_by_one_camera_only_count_too() -> None:
    truth = {
        "cam0": truth_of([(t, 0, 0) for t in range(1, 11)]),
        "cam1": truth_of([(t, 0, 1) for t in range(1, 11)]),
    }
    rows = {"cam0": [(t, 0, 1, 1) for t in range(1, 11)], "cam1": []}
    verdict = judged(truth, rows, 10)
    assert verdict.multi_camera is not None
    assert verdict.multi_camera.idf1 == pytest.approx(2 * 10 / (10 + 20))


def test_without_true_and_published_boxes_there_is_no_score() -> None:
    verdict = judged({"cam0": truth_of([])}, {"cam0": []}, 10)
    assert verdict.cameras == {"cam0": None}
    assert verdict.multi_camera is None
    assert verdict.live.gid_changes_per_1000_track_seconds is None
    assert verdict.to_dict()["multi_camera"] is None


def test_the_verdict_as_json_has_stable_fields() -> None:
    content = four_objects_in_three_cameras(lambda camera, thing, tick: thing + 1).to_dict()
    assert set(content["cameras"]["cam0"]) == {"hota", "deta", "assa", "idf1", "mota", "idsw"}
    assert set(content["multi_camera"]) == set(content["bound"]) == {"idf1", "idp", "idr", "hota", "assa"}
    assert set(content["live"]) >= {
        "gid_changes_per_1000_track_seconds",
        "without_gid_share",
        "first_gid_seconds_p50",
        "purity",
        "completeness",
    }
