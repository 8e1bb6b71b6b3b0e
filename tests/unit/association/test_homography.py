"""The mapping of the ground between two pictures, from places that are partly wrong."""

import numpy as np
import pytest

from association.homography import BEHIND, distances, fit_homography
from shared.homography import inverse, least_squares, mapped

TURNED = np.array([[0.9, -0.3, 400.0], [0.1, 0.4, 250.0], [1e-5, 6e-4, 1.0]])
BELOW_HORIZON = np.array([[1.0, 0.2, -300.0], [0.0, 0.5, -150.0], [0.0, 0.004, -0.8]])
"""The corner (0, 0) is above the horizon: its depth is negative, that of the ground positive."""


def places(matrix: np.ndarray, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    points = random.uniform((100, 350), (1200, 700), (n, 2))
    return points, mapped(matrix, points), np.full(n, 60.0)


@pytest.mark.parametrize("matrix", [TURNED, BELOW_HORIZON])
def test_exact_places_give_the_exact_mapping(matrix: np.ndarray) -> None:
    points, others, _ = places(matrix, 12)
    found = least_squares(points, others)
    assert found is not None
    assert np.allclose(mapped(found, points), others, atol=1e-3)
    assert np.allclose(mapped(inverse(found), others), points, atol=1e-3)


@pytest.mark.parametrize("wrong", [0.2, 0.5])
def test_wrong_places_are_found_and_do_not_disturb(wrong: float) -> None:
    points, others, sizes = places(TURNED, 80)
    random = np.random.default_rng(1)
    is_wrong = random.random(80) < wrong
    others = others + random.normal(0, 3, others.shape)
    others[is_wrong] = random.permutation(others[is_wrong])
    found = fit_homography(points, others, sizes, sizes, 0.6, seed=3)
    assert found is not None
    mapping, agreeing = found
    assert agreeing[~is_wrong].mean() > 0.9
    assert agreeing[is_wrong].mean() < 0.25
    clean, there, _ = places(TURNED, 50, seed=9)
    assert np.linalg.norm(mapped(mapping, clean) - there, axis=1).max() < 20


def test_equal_places_give_equal_mappings_to_the_bit() -> None:
    points, others, sizes = places(TURNED, 40)
    others += np.random.default_rng(2).normal(0, 5, others.shape)
    one, other = (fit_homography(points, others, sizes, sizes, 0.6, seed=5) for _ in range(2))
    assert one is not None
    assert other is not None
    assert one[0].tobytes() == other[0].tobytes()


def test_too_few_places_or_places_without_a_common_mapping_give_none() -> None:
    points, others, sizes = places(TURNED, 7)
    assert fit_homography(points, others, sizes, sizes, 0.6, seed=1) is None
    random = np.random.default_rng(4)
    points, others = random.uniform(0, 2000, (2, 30, 2))
    found = fit_homography(points, others, np.full(30, 20.0), np.full(30, 20.0), 0.6, seed=1)
    assert found is None or found[1].mean() < 0.5


def test_a_point_behind_the_camera_is_far_from_everywhere() -> None:
    sky = np.array([[100.0, 50.0]])
    assert distances(BELOW_HORIZON, sky, np.array([[500.0, 500.0]]), np.ones(1), np.ones(1))[0] == BEHIND
