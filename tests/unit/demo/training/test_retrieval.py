"""Rank-1 and cosines across cameras, and the calibration of the latter."""

from __future__ import annotations

import numpy as np
import pytest

from demo.training.calibration import DIFFERENT, SAME, EmbeddingCalibration, calibrate
from demo.training.retrieval import Sightings, retrieval


def sightings(identities: list[int], cameras: list[int]) -> Sightings:
    return Sightings(np.array(identities, np.int64), np.array(cameras, np.int64))


def unit(*rows: tuple[float, float]) -> np.ndarray:
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_only_other_cameras_are_searched() -> None:
    # Vehicle 0 is most similar to its own crop in the same camera, then to vehicle 1 in the other camera.
    vectors = unit((1, 0), (1, 0.01), (1, 0.1), (0, 1))

    found = retrieval(vectors, sightings([0, 0, 1, 0], [0, 0, 1, 1]))

    # Three crops show vehicle 0, which the other camera also has. All of them match vehicle 1 instead, except the last,
    # whose nearest crop is the second one.
    assert (found.queries, found.identities) == (3, 2)
    assert found.rank1 == pytest.approx(1 / 3)


def test_a_vehicle_of_one_camera_is_no_query_but_stays_in_the_gallery() -> None:
    vectors = unit((1, 0), (1, 0.2), (1, 0.1))

    found = retrieval(vectors, sightings([0, 0, 1], [0, 1, 1]))

    assert (found.queries, found.rank1) == (2, 0.5)


def test_cosines_are_of_pairs_across_cameras() -> None:
    vectors = unit((1, 0), (0, 1), (1, 0), (1, 1))

    found = retrieval(vectors, sightings([0, 1, 0, 1], [0, 0, 1, 1]))

    half = 0.5**0.5
    assert found.same_mean == pytest.approx((1 + half) / 2, abs=1e-6)
    assert found.same_deviation == pytest.approx((1 - half) / 2, abs=1e-6)
    assert found.different_mean == pytest.approx(half / 2, abs=1e-6)


def drawn(identities: int, spread: float) -> tuple[np.ndarray, Sightings]:
    """Four sightings of each vehicle in four cameras; the axes have decreasing weight, as in a network."""
    random = np.random.default_rng(3)
    weights = np.linspace(1, 0.1, 32)
    centres = random.normal(size=(identities, 1, 32)) * weights
    vectors = (centres + random.normal(size=(identities, 4, 32)) * spread).reshape(-1, 32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    numbers = np.arange(identities).repeat(4).tolist()
    return vectors.astype(np.float32), sightings(numbers, [0, 1, 2, 3] * identities)


@pytest.mark.parametrize("spread", [0.45, 0.55])
def test_calibration_brings_the_means_to_their_targets(spread: float) -> None:
    vectors, shown = drawn(80, spread)
    before = retrieval(vectors, shown)
    assert abs(before.different_mean - DIFFERENT) > 0.2

    calibrated = calibrate(vectors, shown).applied(vectors)

    after = retrieval(calibrated, shown)
    np.testing.assert_allclose(np.linalg.norm(calibrated, axis=1), 1, atol=1e-5)
    assert after.same_mean == pytest.approx(SAME, abs=0.05)
    assert after.different_mean == pytest.approx(DIFFERENT, abs=0.01)


def test_a_common_direction_raises_all_cosines_and_changes_no_order() -> None:
    vectors, shown = drawn(20, 0.3)
    identity, nowhere = np.eye(32, dtype=np.float32), np.zeros(32, np.float32)

    raised = EmbeddingCalibration(identity, nowhere, 0.2).applied(vectors)

    np.testing.assert_allclose(raised @ raised.T, 0.8 * (vectors @ vectors.T) + 0.2, atol=1e-5)
    assert retrieval(raised, shown).rank1 == retrieval(vectors, shown).rank1
