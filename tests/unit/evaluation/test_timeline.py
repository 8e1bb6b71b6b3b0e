from __future__ import annotations

import numpy as np

from evaluation.charts import TimelineChart, TradeoffChart, colour, steps
from evaluation.confusions import worst_confusions
from evaluation.matching import NOBODY, CameraMatch, match_camera
from evaluation.timeline import Bar, bars_of, rows_of
from evaluation.tradeoff import Point
from evaluation.truth import CameraTruth
from tests.unit.evaluation.scenes import TICK_S, Row, tracks_of, truth_of


def matched(truth: CameraTruth, rows: list[Row], ticks: int = 60) -> CameraMatch:
    axis = np.arange(1, ticks + 1)
    return match_camera(truth, tracks_of(rows), axis, axis)


def test_a_bar_ends_if_the_gid_or_the_object_changes_or_the_track_has_a_gap() -> None:
    truth = truth_of([(t, 0, 7) for t in range(1, 31)] + [(t, 1, 8) for t in range(31, 61)])
    rows = [(t, 0, 1, 0 if t < 4 else 5) for t in range(1, 11)] + [(t, 0, 1, 6) for t in range(11, 15)]
    rows += [(t, 0, 1, 6) for t in range(28, 31)] + [(t, 1, 1, 6) for t in range(31, 35)]
    bars = bars_of("cam0", matched(truth, rows), TICK_S)
    assert bars == [
        Bar(7, 0, "cam0", 1, 1, 3),
        Bar(7, 5, "cam0", 1, 4, 10),
        Bar(7, 6, "cam0", 1, 11, 14),
        Bar(7, 6, "cam0", 1, 28, 30),
        Bar(8, 6, "cam0", 1, 31, 34),
    ]


def test_a_short_mismatch_does_not_split_a_bar_and_a_track_without_an_object_gets_its_own_row() -> None:
    truth = truth_of([(t, 0, 7) for t in range(1, 11) if t not in (1, 5)])
    rows = [(t, 0, 1, 5) for t in range(1, 11)] + [(t, 3, 2, 6) for t in range(1, 4)]
    bars = bars_of("cam0", matched(truth, rows), TICK_S)
    assert bars == [Bar(7, 5, "cam0", 1, 1, 10), Bar(NOBODY, 6, "cam0", 2, 1, 3)]


def test_objects_are_sorted_by_appearance_and_overlapping_bars_get_their_own_lanes() -> None:
    truth = truth_of([(t, 0, 7) for t in range(5, 20)])
    other = truth_of([(t, 0, 7) for t in range(10, 30)] + [(t, 1, 9) for t in range(1, 4)])
    matches = {
        "a": matched(truth, [(t, 0, 1, 1) for t in range(5, 20)]),
        "b": matched(other, [(t, 0, 4, 1) for t in range(10, 30)] + [(t, 1, 5, 2) for t in range(1, 4)]),
    }
    rows = rows_of(matches, TICK_S)
    assert [(row.identity, len(row.lanes)) for row in rows] == [(9, 1), (7, 2)]
    chart = TimelineChart.of(rows, 1, TICK_S, 6.0)
    assert [row.label for row in chart.rows] == ["object 9", "object 7"]
    upper, lower = chart.rows[1].bars
    assert (upper.text, lower.text) == ("1 · a", "1 · b")
    assert upper.y < lower.y
    assert upper.colour == lower.colour == colour(1) != colour(2)
    # 0.4 to 1.9 s of 6 s.
    assert round(upper.width / (chart.width - chart.label_px), 3) == round(1.5 / 6, 3)


def test_confusions_are_counted_in_boxes_and_shown_by_the_clearest_box() -> None:
    truth = {"a": truth_of([(t, lane, lane) for t in range(1, 21) for lane in (0, 1)])}
    # Object 0 has gid 4 at all twenty ticks; object 1 has gid 9 at first, and gid 4 at the last five ticks.
    rows: list[Row] = [(t, 0, 1, 4) for t in range(1, 21)] + [(t, 1, 2, 9 if t < 16 else 4) for t in range(1, 21)]
    confusions = worst_confusions({name: matched(camera, rows, 20) for name, camera in truth.items()})
    found = {confusion.kind: confusion for confusion in confusions}
    assert {kind: confusion.boxes for kind, confusion in found.items()} == {"merged": 5, "split": 5}
    merged, split = found["merged"], found["split"]
    assert (merged.usual.identity, merged.other.identity, merged.other.gid) == (0, 1, 4)
    assert (split.usual.gid, split.other.gid, split.other.identity) == (9, 4, 1)
    assert merged.other.tick >= 16
    assert worst_confusions({}) == []


def test_later_first_gids_are_further_right_and_more_changes_further_up() -> None:
    points = [Point(1, 0.1, 8.0, chosen=False), Point(3, 0.4, 2.0, chosen=True)]
    chart = TradeoffChart.of(points)
    assert chart is not None
    early, late = chart.points
    assert early.x < late.x
    assert early.y < late.y, "in SVG, y grows downwards"
    assert TradeoffChart.of([]) is None


def test_axes_have_round_numbers() -> None:
    assert steps(120, 12) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120]
    assert steps(0.7, 5) == [0, 0.2, 0.4, 0.6]
    assert steps(0, 5) == [0]
