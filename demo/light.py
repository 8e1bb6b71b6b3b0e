"""The sun, the shading of faces, and the response of a camera's sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demo.geometry import SceneCamera

Floats = npt.NDArray[np.float64]

SHADOW_GAIN_BGR = np.array([0.60, 0.54, 0.50])
"""The light that remains in the shadow: the blue of the sky."""
_SKY_BGR = np.array([235.0, 205.0, 175.0])


@dataclass(frozen=True)
class Surfaces:
    """Materials of faces, as arrays: see `demo.solids.Face.material`."""

    colours: Floats
    """`(f, 3)` BGR 0..255 in neutral light."""
    gloss: Floats
    """`(f,)` 0..1: how much of the sky a face reflects."""
    lamps: npt.NDArray[np.bool_]
    brakes: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, colours: Floats, materials: Sequence[str]) -> Surfaces:
        names = np.array(materials)
        gloss = np.where(names == "glass", 0.42, np.where(names == "paint", 0.10, 0.0))
        return cls(colours, gloss, names == "lamp", names == "brake")


def shaded(surfaces: Surfaces, normals: Floats, towards_viewer: Floats, sun: Floats) -> Floats:
    """Returns the colours of sunlit faces, `(f, 3)` BGR.

    `normals` and `towards_viewer` are `(f, 3)` unit vectors; `sun` is the unit vector towards the sun.
    """
    light = 0.50 + 0.12 * normals[:, 2] + 0.56 * np.maximum(normals @ sun, 0.0)
    lit = surfaces.colours * light[:, None]
    mirrored = 2 * (normals * towards_viewer).sum(axis=1)[:, None] * normals - towards_viewer
    sky = np.minimum(np.maximum(mirrored[:, 2] * 1.4 + 0.15, 0.0), 1.0)
    lit += (surfaces.gloss * sky)[:, None] * (_SKY_BGR - lit)
    highlight = np.maximum((mirrored @ sun - 0.80) / 0.20, 0.0) ** 2
    lit += (np.minimum(highlight, 1.0) * (surfaces.gloss > 0) * 110.0)[:, None]
    lit[surfaces.lamps] = surfaces.colours[surfaces.lamps] * 0.98
    return np.minimum(np.maximum(lit, 0.0), 255.0)


def sensed(camera: SceneCamera, colours: Floats) -> Floats:
    """Applies the sensor to colours `(..., 3)` BGR 0..255: exposure, white balance, gamma, a soft shoulder."""
    light = np.maximum(colours, 0.0) / 255.0 * camera.exposure * np.array(camera.white_balance_bgr)
    light = light**camera.gamma
    bright = light > 0.8
    light = np.where(bright, 0.8 + 0.2 * np.tanh((light - 0.8) / 0.2), light)
    return light * 255.0
