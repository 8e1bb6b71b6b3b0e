"""The part of the ground that a camera sees."""

from __future__ import annotations

import numpy as np
import pytest

from shared.calibration import Calibration
from shared.ground_view import FARTHEST_M, ground_view

# Seen from straight above: 100 pixels are a metre, and the middle of the bottom is the origin.
ABOVE = Calibration(np.array([[0.01, 0, -3.2], [0, -0.01, 3.6], [0, 0, 1.0]]), 640, 360)
# The horizon is at y = 100; the ground below it goes on for ever.
SLANTED = Calibration(np.array([[1.0, 0, -320.0], [0, 0, 900.0], [0, 0.1, -10.0]]), 640, 360)


def test_a_camera_above_the_ground_sees_its_picture_to_scale() -> None:
    found = ground_view(ABOVE, 640, 360)
    assert found is not None
    assert found.outline.min(axis=0) == pytest.approx([-3.2, 0.0])
    assert found.outline.max(axis=0) == pytest.approx([3.2, 3.6])
    assert found.near == pytest.approx([0.0, 0.0])


def test_a_view_up_to_the_horizon_ends_where_things_are_too_small_to_see() -> None:
    found = ground_view(SLANTED, 640, 360)
    assert found is not None
    assert np.isfinite(found.outline).all()
    distances = np.linalg.norm(found.outline - found.near, axis=1)
    assert FARTHEST_M / 2 < distances.max() <= FARTHEST_M + 1e-3


@pytest.mark.parametrize(("width", "height"), [(0, 360), (640, 0)])
def test_nothing_is_known_without_the_size_of_the_pictures(width: int, height: int) -> None:
    assert ground_view(ABOVE, width, height) is None


def test_a_picture_of_the_sky_shows_no_ground() -> None:
    assert ground_view(SLANTED, 640, 90) is None
