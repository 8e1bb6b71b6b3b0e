"""Calibration files of the synthetic cameras: exact, or wrong as those of real cameras are."""

from __future__ import annotations

from typing import Any

import numpy as np

from demo.geometry import Floats, SceneCamera
from shared.calibration import fit_ground

_PIXEL_ERROR = 2.0
"""Largest error of each clicked point, pixels in both directions."""
_HEIGHT_ERROR = 0.01
"""Relative error of the camera's height, which scales all distances from its foot."""
_CLICKED = (4, 3)
"""Columns and rows of the clicked points, in the lower two thirds of the picture."""


def calibration_of(camera: SceneCamera) -> dict[str, Any]:
    """The exact calibration: matrices by rows; the world is flat, in metres, z up."""
    return {
        "camera": camera.name,
        "resolution": {"width": camera.width, "height": camera.height},
        "intrinsic": _rows(camera.intrinsic),
        "rotation": _rows(camera.rotation),
        "position": list(camera.position),
        "projection": _rows(camera.projection),
        "image_to_ground": _rows(camera.image_to_ground),
        "ground_to_image": _rows(camera.ground_to_image),
    }


def wrong_calibration_of(camera: SceneCamera, seed: int) -> dict[str, Any]:
    """A calibration by clicked points, each up to 2 px wrong, by someone who took the height 1 % too high or low."""
    random = np.random.default_rng([seed, *camera.name.encode()])
    x, y = np.meshgrid(np.linspace(0.1, 0.9, _CLICKED[0]), np.linspace(0.4, 0.95, _CLICKED[1]))
    pixels = np.stack([x.ravel() * camera.width, y.ravel() * camera.height], axis=1)
    uniform = np.column_stack([pixels, np.ones(len(pixels))]) @ camera.image_to_ground.T
    foot = np.array(camera.position[:2])
    ground = foot + (uniform[:, :2] / uniform[:, 2:] - foot) * (1 + random.choice((-1, 1)) * _HEIGHT_ERROR)
    clicked = pixels + random.uniform(-_PIXEL_ERROR, _PIXEL_ERROR, pixels.shape)
    image_to_ground, _ = fit_ground(clicked, ground)
    return {
        "camera": camera.name,
        "resolution": {"width": camera.width, "height": camera.height},
        "image_to_ground": _rows(image_to_ground),
    }


def _rows(matrix: Floats) -> list[list[float]]:
    return [[float(value) for value in row] for row in matrix]
