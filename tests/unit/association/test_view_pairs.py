"""When a mapping between two views counts as learned."""

import numpy as np
import pytest

from association.ground import Ground
from association.motion import MotionHistory
from association.track_table import TrackTable
from association.view_pairs import ViewPair, ViewPairs
from shared.homography import Matrix, mapped
from shared.layout import Layout
from tests.unit.association.test_homography import TURNED, places


def pair_of(objects: list[int], wrong: set[int]) -> ViewPair:
    """A pair of views with places of `objects`; those of `wrong` objects are at random."""
    points, others, _ = places(TURNED, len(objects))
    random = np.random.default_rng(8)
    pair = ViewPair()
    large = 2**60  # float64 would not tell such track ids apart
    for number, (here, there) in zip(objects, zip(points, others, strict=True), strict=True):
        shown = random.uniform((0, 0), (1280, 720)) if number in wrong else there
        pair.places.append([*here.tolist(), 60.0, *shown.tolist(), 60.0, large + number, large - number])  # type: ignore[list-item]
    pair.fit_if_due(slot=1, seed=1)
    return pair


def error_of(mapping: Matrix) -> float:
    points, others, _ = places(TURNED, 30, seed=3)
    return float(np.linalg.norm(mapped(mapping, points) - others, axis=1).max())


@pytest.mark.parametrize("wrong", [set(), {1, 4}])
def test_a_mapping_that_objects_agree_on_is_learned_although_some_are_wrong(wrong: set[int]) -> None:
    pair = pair_of([number % 8 for number in range(40)], wrong)
    assert pair.mapping is not None
    assert error_of(pair.mapping) < 1
    assert pair.elsewhere == pytest.approx(max(0.02, len(wrong) / 8), abs=0.05)


def test_one_object_alone_teaches_nothing_however_many_places_it_has() -> None:
    assert pair_of([0] * 15 + [1 + number // 3 for number in range(15)], wrong={1, 2, 3, 4, 5}).mapping is None


def test_too_few_objects_teach_nothing() -> None:
    assert pair_of([number % 3 for number in range(40)], set()).mapping is None


def test_many_objects_that_agree_on_no_mapping_disagree() -> None:
    assert not pair_of([number % 30 for number in range(300)], set()).disagrees
    assert pair_of([number % 30 for number in range(300)], set(range(30))).disagrees
    assert not pair_of([number % 30 for number in range(90)], set(range(30))).disagrees, "too few places to say so"


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_box_that_the_border_cuts_says_where_its_foot_may_be(is_turned: bool) -> None:
    """The pictures are equal: what stands in the first stands at the same pixels in the second."""
    table = TrackTable()
    motion = MotionHistory(table)
    pairs = ViewPairs(motion, Ground(Layout.open(("A", "B"))))
    pairs.restore({"pairs": [[0, 1, [], np.eye(3).tobytes(), 0.02, 0, 0]]}, [0, 1])
    whole, cut = (1, 0) if is_turned else (0, 1)
    feet_below = table.add(whole, 1, 0, 1, 0)
    elsewhere = table.add(whole, 2, 0, 1, 0)
    cut_below = table.add(cut, 3, 0, 1, 0)
    for second in range(1, 5):
        boxes = np.array([[560, 560, 640, 700], [160, 560, 240, 700]], np.float32)
        motion.observe(whole, np.array([feet_below, elsewhere]), second * 10**9, boxes, 1280, 760)
        half = np.array([[560, 560, 640, 640]], np.float32)
        motion.observe(cut, np.array([cut_below]), second * 10**9, half, 1280, 640)

    recent = motion.recent()
    found = pairs.ratios((0, 1), recent[0].places, recent[1].places)
    assert found is not None
    of_cut = dict(zip(recent[whole].rows.tolist(), found.ravel().tolist(), strict=True))
    assert of_cut[feet_below] > 4
    assert of_cut[elsewhere] < -4


def test_newer_places_count_more_than_older_ones() -> None:
    """Two tracks are at one place for 12 s, and 3 s after one of them went on with another object they are not."""
    table = TrackTable()
    motion = MotionHistory(table)
    pairs = ViewPairs(motion, Ground(Layout.open(("A", "B"))))
    pairs.restore({"pairs": [[0, 1, [], np.eye(3).tobytes(), 0.02, 0, 0]]}, [0, 1])
    one, other = table.add(0, 1, 0, 1, 0), table.add(1, 2, 0, 1, 0)

    def ratio(first_slot: int, last_slot: int, apart: float) -> float:
        for slot in range(first_slot, last_slot + 1):
            box = np.array([[560, 500, 640, 600]], np.float32)
            motion.observe(0, np.array([one]), slot * 500_000_000, box, 1280, 720)
            motion.observe(1, np.array([other]), slot * 500_000_000, box + np.float32([apart, 0, apart, 0]), 1280, 720)
        recent = motion.recent()
        found = pairs.ratios((0, 1), recent[0].places, recent[1].places)
        assert found is not None
        return float(found[0, 0])

    assert ratio(1, 24, 0.0) > 8
    assert ratio(25, 30, 400.0) < 0
