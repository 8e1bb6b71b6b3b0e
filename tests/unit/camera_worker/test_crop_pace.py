from __future__ import annotations

from services.camera_worker.crop_pace import EVERY_S, MOST_AT_ONCE, SOONEST_S, CropPace


def test_a_new_track_is_due_at_once_and_then_once_per_second() -> None:
    pace = CropPace()
    assert pace.due("a", 10.0, [7], [0.5]) == [0]
    assert pace.due("a", 10.0 + EVERY_S - 0.1, [7], [0.5]) == []
    assert pace.due("a", 10.0 + EVERY_S, [7], [0.4]) == [0]
    assert pace.due("b", 10.0, [7], [0.5]) == [0], "cameras are independent"


def test_a_clearly_better_view_is_due_earlier() -> None:
    pace = CropPace()
    pace.due("a", 10.0, [7], [0.5])
    assert pace.due("a", 10.0 + SOONEST_S / 2, [7], [0.9]) == []
    assert pace.due("a", 10.01 + SOONEST_S, [7], [0.52]) == []
    assert pace.due("a", 10.01 + SOONEST_S, [7], [0.9]) == [0]
    assert pace.due("a", 10.1 + 2 * SOONEST_S, [7], [0.9]) == [], "no better than the best so far"


def test_a_crowd_gets_its_crops_in_turn() -> None:
    pace = CropPace()
    tracks = list(range(3 * MOST_AT_ONCE))
    seen: list[int] = []
    for tick in range(3):
        rows = pace.due("a", 10.0 + tick / 10, tracks, [0.5] * len(tracks))
        assert len(rows) == MOST_AT_ONCE
        seen += rows
    assert sorted(seen) == tracks
    assert pace.due("a", 10.0 + EVERY_S, tracks, [0.5] * len(tracks)) == seen[:MOST_AT_ONCE]


def test_ended_tracks_and_gone_cameras_are_forgotten() -> None:
    pace = CropPace()
    pace.due("a", 10.0, [7, 8], [0.5, 0.5])
    pace.forget("a", [7])
    assert pace.due("a", 10.1, [7, 8], [0.5, 0.5]) == [0]
    pace.forget("a")
    assert pace.due("a", 10.2, [7, 8], [0.5, 0.5]) == [0, 1]
