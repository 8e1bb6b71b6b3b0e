"""The sun, the shading of faces, and how a camera's sensor answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from demo.geometry import Camera

Floats = npt.NDArray[np.float64]

SHADOW_GAIN_BGR = np.array([0.60, 0.54, 0.50])
"""What is left of the light in the shadow: the blue of the sky."""
_SKY_BGR = np.array([235.0, 205.0, 175.0])


def shaded(colours: Floats, normals: Floats, materials: tuple[str, ...], towards_viewer: Floats, sun: Floats) -> Floats:
    """The colours of faces in the sun, `(f, 3)` BGR.

    `normals` and `towards_viewer` are `(f, 3)` unit vectors, `sun` is the one towards it.
    """
    light = 0.50 + 0.12 * normals[:, 2] + 0.56 * np.clip(normals @ sun, 0.0, 1.0)
    lit = colours * light[:, None]
    mirrored = 2 * (normals * towards_viewer).sum(axis=1)[:, None] * normals - towards_viewer
    sky = np.clip(mirrored[:, 2] * 1.4 + 0.15, 0.0, 1.0)
    gloss = np.array([{"glass": 0.42, "paint": 0.10}.get(material, 0.0) for material in materials])
    lit += (gloss * sky)[:, None] * (_SKY_BGR - lit)
    highlight = np.clip((mirrored @ sun - 0.80) / 0.20, 0.0, 1.0) ** 2 * np.where(gloss > 0, 110.0, 0.0)
    lit += highlight[:, None]
    lamps = np.array([material == "lamp" for material in materials])
    lit[lamps] = colours[lamps] * 0.98
    return np.clip(lit, 0.0, 255.0)


def sensed(camera: Camera, colours: Floats) -> Floats:
    """What the sensor makes of colours `(..., 3)` BGR 0..255: exposure, white balance, gamma, a soft shoulder."""
    light = np.maximum(colours, 0.0) / 255.0 * camera.exposure * np.array(camera.white_balance_bgr)
    light = light**camera.gamma
    bright = light > 0.8
    light = np.where(bright, 0.8 + 0.2 * np.tanh((light - 0.8) / 0.2), light)
    return light * 255.0
