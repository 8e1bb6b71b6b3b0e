from __future__ import annotations

import json

import numpy as np

from evaluation.ground_plane import PairCounts, count_pairs, feet
from evaluation.tracks import PublishedTracks
from shared.calibration import Calibration
from shared.calibration_files import parse_calibration

HEIGHT_M = 10.0


def from_above(height_px: int = 1000) -> Calibration:
    """A camera 10 m above the origin that looks straight down: 100 pixels per metre, origin at (500, 500)."""
    content = {
        "resolution": {"width": 1000, "height": height_px},
        "intrinsic": [[1000, 0, 500], [0, 1000, 500], [0, 0, 1]],
        "distortion": [0, 0, 0, 0, 0],
        "extrinsic": [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, HEIGHT_M], [0, 0, 0, 1]],
    }
    return parse_calibration(json.dumps(content))


def standing_at(x_m: float, y_m: float) -> list[float]:
    """A box whose feet are at (`x_m`, `y_m`) on the floor."""
    x, y = 500 + 100 * x_m, 500 - 100 * y_m
    return [x - 20, y - 80, x + 20, y]


def seen(*people: tuple[float, float, int]) -> PublishedTracks:
    """People at tick 1: x and y in metres, and gid."""
    n = len(people)
    boxes = [standing_at(x, y) for x, y, _ in people]
    return PublishedTracks.of([1] * n, [0] * n, list(range(n)), boxes, [gid for *_, gid in people])


def test_the_feet_are_where_the_lower_edge_meets_the_floor() -> None:
    places = feet(from_above(), np.array([standing_at(1.5, 2), standing_at(-3, -1)]))
    np.testing.assert_allclose(places, [[1.5, 2], [-3, -1]], atol=1e-6)


def test_a_box_truncated_at_the_bottom_has_no_feet() -> None:
    assert np.isnan(feet(from_above(), np.array([[0.0, 900.0, 40.0, 997.0]]))).all()
    assert feet(from_above(), np.zeros((0, 4))).shape == (0, 2)


def test_near_pairs_are_the_same_object_far_pairs_different_and_others_are_not_counted() -> None:
    one, other = seen((0, 0, 7), (3, 0, 8)), seen((0.4, 0, 7), (1.2, 0, 9), (3, 0.3, 9), (0, 0, 0))
    # Same: 0 and 0.4 (gid 7), 3 and 3 (8, 9). Different: 0 and 3, 3 and 0.4, 3 and 1.2. Neither: 0 and 1.2.
    assert count_pairs([one, other], [from_above()] * 2) == PairCounts(2, 1, 3, 0, 2)


def test_different_people_with_one_gid_are_counted() -> None:
    counts = count_pairs([seen((0, 0, 7)), seen((3, 0, 7))], [from_above()] * 2)
    assert counts == PairCounts(0, 0, 1, 1, 0)
    assert (counts.same_share, counts.different_share) == (None, 1.0)


def test_two_boxes_near_one_cannot_both_have_its_gid() -> None:
    counts = count_pairs([seen((0, 0, 7), (0.4, 0, 8)), seen((0.2, 0, 7))], [from_above()] * 2)
    assert (counts.same, counts.same_with_one_gid, counts.same_at_most) == (2, 1, 1)
    assert counts.same_bound == 0.5
