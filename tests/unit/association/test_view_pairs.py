"""When a mapping between two views counts as learned."""

import numpy as np
import pytest

from association.homography import Matrix, mapped
from association.view_pairs import ViewPair
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
