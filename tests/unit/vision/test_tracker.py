from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.config import SiteConfig
from vision.tracking.gating import usual_match_iou
from vision.tracking.settings import TrackerSettings
from vision.tracking.tracker import Tracked, Tracker

SETTINGS = TrackerSettings()
CAR, TRUCK = 2, 7


@dataclass(frozen=True)
class Picture:
    """The detections of one update."""

    time_s: float
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int16]

    def given_to(self, tracker: Tracker) -> Tracked:
        return tracker.update(self.boxes, self.scores, self.classes, self.time_s)


def picture(time_s: float, *boxes: tuple[float, float, float, float], score: float = 0.9, kind: int = CAR) -> Picture:
    return Picture(
        time_s,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), score, np.float32),
        np.full(len(boxes), kind, np.int16),
    )


def box_at(x: float, y: float = 300.0, width: float = 60.0, height: float = 120.0) -> tuple[float, float, float, float]:
    return (x, y, x + width, y + height)


def same(one: Tracked, other: Tracked) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(Tracked))


@st.composite
def sequences(draw: st.DrawFn) -> list[Picture]:
    """Detections of objects that walk, wait, disappear and return, with false positives and some skipped ticks."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    objects = draw(st.integers(0, 6))
    rate_hz = draw(st.sampled_from([5.0, 10.0, 25.0]))
    recall = draw(st.floats(0.3, 1.0))
    corners = random.uniform((0, 0), (700, 400), (objects, 2))
    speeds = random.uniform(-80, 80, (objects, 2))
    sizes = random.uniform((20, 40), (80, 160), (objects, 2))
    time_s, pictures = 100.0, []
    for _ in range(draw(st.integers(1, 40))):
        elapsed_s = random.choice([1, 1, 1, 2, 5, 40]) / rate_hz
        time_s += elapsed_s
        corners += speeds * elapsed_s
        seen = random.random(objects) < recall
        real = np.concatenate([corners, corners + sizes], axis=1)[seen] + random.normal(0, 2, (int(seen.sum()), 4))
        false_corners = random.uniform((0, 0), (700, 400), (random.integers(0, 3), 2))
        boxes = np.concatenate([real, np.concatenate([false_corners, false_corners + 50], axis=1)]).astype(np.float32)
        scores = random.uniform(0.0, 1.0, len(boxes)).astype(np.float32)
        classes = random.integers(0, 3, len(boxes)).astype(np.int16)
        pictures.append(Picture(time_s, boxes, scores, classes))
    return pictures


@given(sequences())
def test_no_id_repeats_or_returns_after_it_ended(pictures: list[Picture]) -> None:
    tracker = Tracker(SETTINGS, (800, 600))
    shown: set[int] = set()
    ended: list[int] = []
    for given_picture in pictures:
        tracked = given_picture.given_to(tracker)
        ended.extend(tracked.ended.tolist())
        assert len(set(tracked.track_ids.tolist())) == len(tracked.track_ids)
        assert not set(tracked.track_ids.tolist()) & set(ended)
        newcomers = set(tracked.track_ids.tolist()) - shown
        assert all(newcomer > max(shown, default=-1) for newcomer in newcomers)
        shown |= newcomers
        assert tracker.live_track_count == len(shown) - len(ended)
    ended.extend(tracker.end_all().tolist())

    assert sorted(ended) == sorted(shown) == list(range(len(shown)))
    assert tracker.live_track_count == 0


@given(sequences(), sequences())
def test_two_trackers_side_by_side_return_the_same_as_each_alone(one: list[Picture], other: list[Picture]) -> None:
    alone = [
        [p.given_to(tracker) for p in pictures]
        for tracker, pictures in ((Tracker(SETTINGS), one), (Tracker(SETTINGS), other))
    ]
    left, right = Tracker(SETTINGS), Tracker(SETTINGS)
    together: tuple[list[Tracked], list[Tracked]] = ([], [])
    for step in range(max(len(one), len(other))):
        if step < len(one):
            together[0].append(one[step].given_to(left))
        if step < len(other):
            together[1].append(other[step].given_to(right))

    for expected, got in zip(alone, together, strict=True):
        assert len(expected) == len(got)
        assert all(same(*pair) for pair in zip(expected, got, strict=True))


@given(sequences(), st.randoms(use_true_random=False))
def test_the_order_of_detections_only_changes_their_rows(pictures: list[Picture], random: Random) -> None:
    sorted_tracker, shuffled_tracker = Tracker(SETTINGS), Tracker(SETTINGS)
    for given_picture in pictures:
        order = np.array(random.sample(range(len(given_picture.boxes)), len(given_picture.boxes)), np.intp)
        shuffled = Picture(
            given_picture.time_s, given_picture.boxes[order], given_picture.scores[order], given_picture.classes[order]
        )
        expected, got = given_picture.given_to(sorted_tracker), shuffled.given_to(shuffled_tracker)
        for field in fields(Tracked):
            if field.name != "detection_rows":
                assert np.array_equal(getattr(expected, field.name), getattr(got, field.name)), field.name
        assert np.array_equal(order[got.detection_rows], expected.detection_rows)


@given(sequences())
def test_every_row_points_at_the_detection_that_is_reported(pictures: list[Picture]) -> None:
    tracker, sure = Tracker(SETTINGS), set[int]()
    for given_picture in pictures:
        tracked = given_picture.given_to(tracker)
        sure |= set(tracked.track_ids[tracked.scores > SETTINGS.sure_score].tolist())
        assert np.array_equal(given_picture.boxes[tracked.detection_rows], tracked.boxes_xyxy)
        assert np.array_equal(given_picture.scores[tracked.detection_rows], tracked.scores)
        assert len(set(tracked.detection_rows.tolist())) == len(tracked.detection_rows)
        assert (tracked.scores >= SETTINGS.low_score).all()
        assert ((tracked.hits >= SETTINGS.min_hits) | np.isin(tracked.track_ids, list(sure))).all()


@given(sequences())
def test_the_result_has_the_documented_types(pictures: list[Picture]) -> None:
    tracker = Tracker(SETTINGS)
    for given_picture in pictures:
        tracked = given_picture.given_to(tracker)
        count = len(tracked.track_ids)
        assert tracked.ended.dtype == np.int64
        assert tracked.boxes_xyxy.shape == (count, 4)
        assert tracked.boxes_xyxy.dtype == np.float32
        for name, dtype in (
            ("track_ids", np.int64),
            ("scores", np.float32),
            ("class_ids", np.int16),
            ("detection_rows", np.int32),
            ("hits", np.int32),
        ):
            assert getattr(tracked, name).shape == (count,), name
            assert getattr(tracked, name).dtype == dtype, name


@settings(max_examples=60)
@given(
    rate_hz=st.sampled_from([5.0, 10.0, 25.0]),
    heights_per_s=st.floats(0.0, 1.0),
    direction=st.floats(0.0, 2 * math.pi),
    gap_share=st.floats(0.0, 0.95),
)
def test_a_walker_keeps_its_id_through_a_gap(
    rate_hz: float, heights_per_s: float, direction: float, gap_share: float
) -> None:
    """Up to one height per second: a brisk walk."""
    tracker = Tracker(SETTINGS)
    height, speed = 120.0, 120.0 * heights_per_s
    gap_s = max(gap_share * SETTINGS.max_lost_seconds, 1 / rate_hz)

    def walker(time_s: float) -> Picture:
        x, y = 900 + speed * time_s * math.cos(direction), 600 + speed * time_s * math.sin(direction)
        return picture(time_s, box_at(x, y, height / 2, height))

    for step in range(round(2 * rate_hz) + 1):
        before = walker(step / rate_hz).given_to(tracker)
    left_s, time_s = step / rate_hz, step / rate_hz
    while (time_s := time_s + 1 / rate_hz) < left_s + gap_s - 1e-9:
        assert len(picture(time_s).given_to(tracker).track_ids) == 0
    after = walker(left_s + gap_s).given_to(tracker)

    assert before.track_ids.tolist() == after.track_ids.tolist() == [0]


@pytest.mark.parametrize("rate_hz", [5.0, 25.0])
def test_a_passing_car_keeps_its_id_at_any_rate(rate_hz: float) -> None:
    """Four car lengths per second: at 5 Hz, the boxes of consecutive pictures barely touch."""
    tracker = Tracker(SETTINGS)
    ids = [
        picture(step / rate_hz, box_at(4 * 150 * step / rate_hz, 400, 150, 60)).given_to(tracker).track_ids.tolist()
        for step in range(round(2 * rate_hz))
    ]

    assert ids == [[]] + [[0]] * (len(ids) - 1)


@given(st.floats(0.01, 10.0), st.sampled_from([5.0, 25.0]))
def test_after_a_longer_gap_the_object_is_a_new_track(beyond_s: float, rate_hz: float) -> None:
    tracker = Tracker(SETTINGS)
    for step in range(10):
        picture(step / rate_hz, box_at(100)).given_to(tracker)
    left_s = 9 / rate_hz
    picture(left_s + 0.1).given_to(tracker)
    back_s = left_s + SETTINGS.max_lost_seconds + beyond_s
    returned = [picture(back_s + step / rate_hz, box_at(100)).given_to(tracker) for step in range(2)]

    assert returned[0].ended.tolist() == [0]
    assert returned[1].track_ids.tolist() == [1]


@pytest.mark.parametrize(
    ("heights_per_s", "gap_s", "continues"),
    [(0.0, 2.6, True), (0.1, 10.0, True), (0.0, 10.1, False), (1.0, 2.6, False)],
)
def test_after_a_time_without_pictures_only_tracks_that_stood_still_continue(
    heights_per_s: float, gap_s: float, continues: bool
) -> None:
    """The process was suspended, or waited for Redis."""
    tracker = Tracker(SETTINGS)
    for step in range(20):
        x = 100 + 120 * heights_per_s * step / 10
        picture(step / 10, box_at(x), box_at(x + 300)).given_to(tracker)
    after = picture(1.9 + gap_s, box_at(x), box_at(x + 300)).given_to(tracker)

    assert after.track_ids.tolist() == ([0, 1] if continues else [])
    assert after.ended.tolist() == ([] if continues else [0, 1])


def test_a_gap_of_exactly_the_limit_is_still_a_gap() -> None:
    tracker = Tracker(SETTINGS)
    for step in range(3):
        picture(0.1 * step, box_at(100)).given_to(tracker)

    assert picture(0.2 + SETTINGS.max_lost_seconds, box_at(100)).given_to(tracker).track_ids.tolist() == [0]


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 25.0])
def test_two_crossing_walkers_keep_their_ids(rate_hz: float) -> None:
    tracker = Tracker(SETTINGS)
    for step in range(round(6 * rate_hz)):
        x = 80.0 * step / rate_hz
        tracked = picture(step / rate_hz, box_at(100 + x, 300), box_at(580 - x, 310)).given_to(tracker)
        if step == 1:
            to_the_right = tracked.track_ids[tracked.detection_rows == 0].tolist()
            to_the_left = tracked.track_ids[tracked.detection_rows == 1].tolist()

    assert tracked.track_ids[tracked.detection_rows == 0].tolist() == to_the_right
    assert tracked.track_ids[tracked.detection_rows == 1].tolist() == to_the_left


def test_a_walker_hidden_behind_another_while_crossing_keeps_its_id() -> None:
    tracker = Tracker(SETTINGS)
    for step in range(60):
        x, hidden = 8.0 * step, 24 <= step < 36
        front, behind = box_at(100 + x, 300, 80, 160), box_at(580 - x, 320)
        tracked = picture(step / 10, *([front] if hidden else [front, behind])).given_to(tracker)
        if step == 1:
            first = dict(zip(tracked.detection_rows.tolist(), tracked.track_ids.tolist(), strict=True))

    assert dict(zip(tracked.detection_rows.tolist(), tracked.track_ids.tolist(), strict=True)) == first


def test_a_track_is_shown_from_its_second_hit_on() -> None:
    tracker = Tracker(SETTINGS)

    assert picture(0.0, box_at(100)).given_to(tracker).track_ids.tolist() == []
    assert tracker.live_track_count == 0
    confirmed = picture(0.1, box_at(102)).given_to(tracker)
    assert confirmed.track_ids.tolist() == [0]
    assert confirmed.hits.tolist() == [2]
    assert tracker.live_track_count == 1


def test_a_single_false_positive_is_not_reported_and_uses_no_id() -> None:
    tracker = Tracker(SETTINGS)
    picture(0.0, box_at(100)).given_to(tracker)
    picture(0.1).given_to(tracker)
    picture(0.2, box_at(600)).given_to(tracker)
    later = picture(0.3, box_at(600)).given_to(tracker)

    assert later.track_ids.tolist() == [0]
    assert tracker.end_all().tolist() == [0]


def test_a_sure_detection_confirms_a_track_alone() -> None:
    tracker = Tracker(SETTINGS)
    boxes = (box_at(100), box_at(400))
    first = picture(0.0, *boxes)
    first.scores[:] = (0.97, 0.94)
    assert len(first.given_to(tracker).track_ids) == 1
    assert len(picture(0.1, *boxes).given_to(tracker).track_ids) == 2


def test_with_one_hit_to_confirm_a_track_is_shown_at_once() -> None:
    tracker = Tracker(TrackerSettings(min_hits=1), first_id=70)

    assert picture(0.0, box_at(100), box_at(500)).given_to(tracker).track_ids.tolist() == [70, 71]


def test_a_low_score_detection_continues_a_track_but_starts_none() -> None:
    tracker = Tracker(SETTINGS)
    for step in range(3):
        picture(0.1 * step, box_at(100)).given_to(tracker)
    unsure = picture(0.3, box_at(101), box_at(600), score=0.3).given_to(tracker)
    picture(0.4, box_at(101), box_at(600), score=0.3).given_to(tracker)

    assert unsure.track_ids.tolist() == [0]
    assert unsure.scores.tolist() == pytest.approx([0.3])
    assert tracker.live_track_count == 1


def test_a_detection_below_the_low_score_is_ignored() -> None:
    tracker = Tracker(SETTINGS)
    for step in range(3):
        picture(0.1 * step, box_at(100)).given_to(tracker)

    assert picture(0.3, box_at(100), score=0.05).given_to(tracker).track_ids.tolist() == []


def test_with_a_dead_source_tracks_coast_and_end_after_a_timeout() -> None:
    tracker = Tracker(SETTINGS)
    for step in range(3):
        picture(0.1 * step, box_at(100), box_at(500)).given_to(tracker)
    ended = {}
    for step in range(3, 40):
        tracked = picture(0.1 * step).given_to(tracker)
        assert len(tracked.track_ids) == 0
        if len(tracked.ended):
            ended[step] = tracked.ended.tolist()

    assert ended == {2 + round(10 * SETTINGS.max_lost_seconds) + 1: [0, 1]}


def test_a_track_that_leaves_the_picture_ends_early() -> None:
    def ended_after_s(frame_size: tuple[int, int] | None) -> float:
        tracker = Tracker(SETTINGS, frame_size)
        for step in range(60):
            inside = step <= 20
            tracked = picture(step / 10, *([box_at(420 + 10 * step)] if inside else [])).given_to(tracker)
            if len(tracked.ended):
                return step / 10
        raise AssertionError("the track never ended")

    assert ended_after_s(None) == pytest.approx(2.0 + SETTINGS.max_lost_seconds + 0.1)
    assert ended_after_s((640, 480)) < 2.0 + SETTINGS.max_lost_seconds


def test_the_class_is_the_majority_and_does_not_flicker() -> None:
    tracker = Tracker(SETTINGS)
    seen = []
    for step, kind in enumerate([CAR, CAR, CAR, TRUCK, CAR, TRUCK, TRUCK]):
        score = 0.9 if kind == CAR else 0.6
        seen += picture(0.1 * step, box_at(100), score=score, kind=kind).given_to(tracker).class_ids.tolist()

    assert seen == [CAR] * 6


def test_a_misclassified_object_eventually_gets_its_correct_class() -> None:
    tracker = Tracker(SETTINGS)
    for step, kind in enumerate([TRUCK, CAR, CAR, CAR]):
        tracked = picture(0.1 * step, box_at(100), kind=kind).given_to(tracker)

    assert tracked.class_ids.tolist() == [CAR]


def test_classes_are_kept_apart_on_request() -> None:
    for match_classes, expected in ((False, [0]), (True, [])):
        tracker = Tracker(TrackerSettings(match_classes=match_classes))
        for step in range(3):
            picture(0.1 * step, box_at(100), kind=CAR).given_to(tracker)
        assert picture(0.3, box_at(100), kind=TRUCK).given_to(tracker).track_ids.tolist() == expected


def test_ids_continue_after_a_loop_and_time_may_start_over() -> None:
    tracker = Tracker(SETTINGS, first_id=5)
    for step in range(3):
        picture(50 + 0.1 * step, box_at(100)).given_to(tracker)

    assert tracker.end_all().tolist() == [5]
    assert tracker.end_all().tolist() == []
    again = [picture(0.1 * step, box_at(100)).given_to(tracker) for step in range(3)]
    assert again[-1].track_ids.tolist() == [6]
    assert all(len(tracked.ended) == 0 for tracked in again)


@pytest.mark.parametrize("time_s", [10.0, 9.9, -1.0, math.nan, math.inf])
def test_time_that_does_not_increase_is_refused_and_changes_nothing(time_s: float) -> None:
    tracker = Tracker(SETTINGS)
    for step in range(3):
        picture(9.8 + 0.1 * step, box_at(100)).given_to(tracker)

    with pytest.raises(ValueError, match="time"):
        picture(time_s, box_at(100)).given_to(tracker)
    assert picture(10.1, box_at(100)).given_to(tracker).track_ids.tolist() == [0]


def test_arrays_of_different_lengths_are_refused() -> None:
    tracker = Tracker(SETTINGS)

    with pytest.raises(ValueError, match=r"\(2, 4\), \(1,\)"):
        tracker.update(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int16), 0.0)


def test_invalid_boxes_are_ignored() -> None:
    tracker = Tracker(SETTINGS)
    for step in range(4):
        odd = [
            (math.nan, 0.0, 10.0, 10.0),
            (50.0, 50.0, 50.0, 80.0),
            (math.inf, 0.0, math.inf, 9.0),
            (9.0, 9.0, 3.0, 3.0),
        ]
        tracked = picture(0.1 * step, *odd, box_at(100)).given_to(tracker)

    assert tracked.track_ids.tolist() == [0]
    assert tracked.detection_rows.tolist() == [4]


@pytest.mark.parametrize(
    "wrong",
    [
        {"low_score": 0.7},
        {"new_track_score": 0.4},
        {"match_iou": 1.0},
        {"search_per_s": -1.0},
        {"max_lost_seconds": 0.0},
        {"min_hits": 0},
    ],
)
def test_invalid_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrackerSettings(**wrong)  # type: ignore[arg-type]


def test_a_crowd_costs_little_more_than_a_few() -> None:
    """Tracks live in arrays, so ten times the objects take far less than ten times as long (generous limit)."""

    def fastest_update_s(objects: int) -> float:
        tracker, fastest_s = Tracker(SETTINGS), math.inf
        spots = [box_at(90.0 * (spot % 20), 130.0 * (spot // 20)) for spot in range(objects)]
        for step in range(30):
            crowd = picture(0.1 * step, *spots)
            started_s = time.perf_counter()
            crowd.given_to(tracker)
            fastest_s = min(fastest_s, time.perf_counter() - started_s)
        return fastest_s

    assert fastest_update_s(100) < 6 * fastest_update_s(10)


def site_with(tracker: dict[str, float], min_score: float = 0.1) -> SiteConfig:
    return SiteConfig.model_validate(
        {
            "site": "yard",
            "detector": {"model": "/d.onnx", "min_score": min_score},
            "embedder": {"model": "/e.onnx"},
            "tracker": tracker,
            "cameras": [{"name": "a", "source": "rtsp://a/"}],
        }
    )


def test_a_site_sets_every_setting_of_its_tracker() -> None:
    site = site_with(
        {
            "high_score": 0.61,
            "new_track_score": 0.71,
            "match_iou": 0.31,
            "max_lost_seconds": 3.5,
            "min_hits": 4,
            "sure_score": 0.99,
        },
        min_score=0.21,
    )
    settings = TrackerSettings.of(site)
    assert (settings.high_score, settings.low_score, settings.new_track_score) == (0.61, 0.21, 0.71)
    assert (settings.match_iou, settings.max_lost_seconds) == (0.31, 3.5)
    assert (settings.min_hits, settings.sure_score) == (4, 0.99)
    strict = site.model_copy(update={"detector": site.detector.model_copy(update={"min_score": 0.9})})
    assert TrackerSettings.of(strict).low_score == 0.61


@pytest.mark.parametrize("name", ["high_score", "track_conf_thresh"])
def test_a_site_may_set_only_a_higher_score_for_what_is_matched_first(name: str) -> None:
    settings = TrackerSettings.of(site_with({name: 0.8}))
    assert (settings.high_score, settings.new_track_score) == (0.8, 0.8)


class TestUsualMatchIou:
    """Without `match_iou`, a match needs more where predictions are certain."""

    def is_continued(self, interval_s: float, *, shake_px: int = 0, hidden: int = 0) -> bool:
        """Whether a track goes on with a box that overlaps its own by an IoU of a quarter, while others stand still."""
        tracker, others = Tracker(TrackerSettings()), (300, 500, 700, 900, 1100)
        for step in range(12):
            shift = shake_px * (step % 2)
            before = picture(interval_s * step, *(box_at(x + shift) for x in (100, *others))).given_to(tracker)
        for step in range(12, 12 + hidden):
            picture(interval_s * step, *(box_at(x) for x in others)).given_to(tracker)
        last = picture(interval_s * (12 + hidden), box_at(121, 338), *(box_at(x) for x in others)).given_to(tracker)
        track_id = int(before.track_ids[before.detection_rows == 0].item())
        return track_id in last.track_ids.tolist()

    def test_at_ten_pictures_per_second_a_poor_overlap_is_another_object(self) -> None:
        assert not self.is_continued(0.1)

    def test_at_five_pictures_per_second_it_is_the_same_object(self) -> None:
        assert self.is_continued(0.2)

    def test_while_the_camera_moves_it_is_the_same_object(self) -> None:
        assert self.is_continued(0.1, shake_px=30)

    def test_after_it_was_hidden_it_is_the_same_object(self) -> None:
        assert self.is_continued(0.1, hidden=2)

    def test_it_falls_with_the_rate(self) -> None:
        for elapsed_s, usual in ((0.04, 0.33), (0.1, 0.33), (0.15, 0.265), (0.2, 0.2), (5.0, 0.2)):
            found = usual_match_iou(np.array([0.1, 0.3]), elapsed_s, camera_moves=False)
            assert found.tolist() == pytest.approx([usual, 0.2])


class TestBackgroundShift:
    """A single object says nothing about the camera; the background does."""

    @pytest.mark.parametrize(("is_known", "last"), [(True, [0]), (False, [])])
    def test_one_object_keeps_its_track_while_the_camera_turns(self, is_known: bool, last: list[int]) -> None:
        tracker = Tracker(TrackerSettings())
        for step in range(20):
            turned = 150.0 * max(0, step - 9)
            boxes = np.array([box_at(100 + turned)], np.float32)
            scores, classes = np.array([0.9], np.float32), np.zeros(1, np.int16)
            shift = np.array([150.0 if step > 9 else 0.0, 0.0]) if is_known else None
            tracked = tracker.update(boxes, scores, classes, 0.2 * step, shift)
        assert tracked.track_ids.tolist() == last


class TestOptionsOfRunLiveMtmc:
    """Each option does what it did in `run_live_mtmc.py`."""

    def tracker(self, **options: float) -> Tracker:
        return Tracker(TrackerSettings.of(site_with(options)))

    @pytest.mark.parametrize(("thresh", "shown"), [(0.5, [0]), (0.7, [])])
    def test_track_conf_thresh_is_the_score_up_to_which_detections_only_continue_tracks(
        self, thresh: float, shown: list[int]
    ) -> None:
        tracker = self.tracker(track_conf_thresh=thresh, new_track_conf_thresh=0.4)
        for step in range(5):
            new = picture(0.1 * step, box_at(100), score=0.6).given_to(tracker)
        assert new.track_ids.tolist() == shown

        tracker = self.tracker(track_conf_thresh=thresh, new_track_conf_thresh=0.4)
        for step in range(10):
            known = picture(0.1 * step, box_at(100), score=0.9 if step < 5 else 0.6).given_to(tracker)
        assert known.track_ids.tolist() == [0]
        picture(1.0).given_to(tracker)
        lost = picture(1.1, box_at(100), score=0.6).given_to(tracker)
        assert lost.track_ids.tolist() == shown

    @pytest.mark.parametrize(("thresh", "shown"), [(0.5, [0]), (0.7, [])])
    def test_new_track_conf_thresh_is_the_score_that_starts_a_track(self, thresh: float, shown: list[int]) -> None:
        tracker = self.tracker(track_conf_thresh=0.3, new_track_conf_thresh=thresh)
        for step in range(5):
            new = picture(0.1 * step, box_at(100), score=0.6).given_to(tracker)
        assert new.track_ids.tolist() == shown

        tracker = self.tracker(track_conf_thresh=0.3, new_track_conf_thresh=thresh)
        for step in range(5):
            picture(0.1 * step, box_at(100), score=0.9).given_to(tracker)
        picture(0.5).given_to(tracker)
        lost = picture(0.6, box_at(100), score=0.6).given_to(tracker)
        assert lost.track_ids.tolist() == [0]

    @pytest.mark.parametrize(("thresh", "same"), [(0.8, True), (0.5, False)])
    def test_track_match_thresh_is_the_largest_cost_of_a_match(self, thresh: float, same: bool) -> None:
        """The cost is 1 − IoU: an object moves by half its width, to an IoU of 1/3, while two others stand still."""

        def track_id(tracked: Tracked) -> int:
            return int(tracked.track_ids[tracked.detection_rows == 0].item())

        tracker = self.tracker(track_match_thresh=thresh)
        for step in range(10):
            before = picture(0.1 * step, box_at(100), box_at(400), box_at(700)).given_to(tracker)
        for step in (10, 11):
            after = picture(0.1 * step, box_at(130), box_at(400), box_at(700)).given_to(tracker)
        assert len(after.track_ids) == 3
        assert (track_id(after) == track_id(before)) is same

    @pytest.mark.parametrize(("seconds", "shown", "ended"), [(3, [0], []), (1, [], [0])])
    def test_lost_track_keep_seconds_is_how_long_a_lost_track_can_return(
        self, seconds: float, shown: list[int], ended: list[int]
    ) -> None:
        tracker, gone = self.tracker(lost_track_keep_seconds=seconds), list[int]()
        for step in range(5):
            picture(0.1 * step, box_at(100)).given_to(tracker)
        for step in range(5, 25):
            gone += picture(0.1 * step).given_to(tracker).ended.tolist()
        back = picture(2.5, box_at(100)).given_to(tracker)
        assert back.track_ids.tolist() == shown
        assert gone == ended


class TestNeighbours:
    """At five pictures per second, a track does not go on with an object that takes the place of its own."""

    @staticmethod
    def tracker(**settings: float) -> Tracker:
        return Tracker(TrackerSettings(**settings), (640, 360))  # type: ignore[arg-type]

    @pytest.mark.parametrize(("bottom", "same"), [(89, True), (100, False)])
    def test_at_the_border_an_object_that_enters_is_told_from_one_that_leaves(self, bottom: float, same: bool) -> None:
        tracker = self.tracker()
        for step, right in enumerate((90, 80, 70, 61, 53, 46, 40, 36)):
            before = picture(0.2 * step, (max(0, right - 50), 67, right, 89)).given_to(tracker)
        after = picture(1.6, (0, 67, 33, bottom)).given_to(tracker)
        assert (after.track_ids.tolist() == before.track_ids.tolist()) is same

    @pytest.mark.parametrize(("kind", "same"), [(CAR, True), (TRUCK, False)])
    def test_another_class_needs_twice_the_overlap(self, kind: int, same: bool) -> None:
        tracker = self.tracker()
        for step in range(8):
            before = picture(0.2 * step, (300, 100, 360, 140)).given_to(tracker)
        after = picture(1.6, (320, 110, 380, 152), kind=kind).given_to(tracker)
        assert (after.track_ids.tolist() == before.track_ids.tolist()) is same

    def test_classes_that_the_detector_confuses_count_for_little(self) -> None:
        tracker = self.tracker()
        for step in range(8):
            before = picture(0.2 * step, (300, 100, 360, 140), kind=(CAR, TRUCK)[step % 2]).given_to(tracker)
        after = picture(1.6, (320, 110, 380, 152), kind=TRUCK).given_to(tracker)
        assert after.track_ids.tolist() == before.track_ids.tolist()

    @pytest.mark.parametrize(("settings", "same"), [({}, False), ({"match_iou": 0.2}, True)])
    def test_a_configured_iou_alone_decides(self, settings: dict[str, float], same: bool) -> None:
        tracker = self.tracker(**settings)
        for step in range(8):
            before = picture(0.2 * step, (300, 100, 360, 140)).given_to(tracker)
        after = picture(1.6, (330, 100, 390, 140)).given_to(tracker)
        assert (after.track_ids.tolist() == before.track_ids.tolist()) is same
