"""Random exposure, contrast and white balance, as of other cameras."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

_LEVELS = np.arange(256, dtype=np.float32) / 255


def random_light(
    image: npt.NDArray[np.uint8], random: np.random.Generator, strength: float = 1.0
) -> npt.NDArray[np.uint8]:
    """Applies a random curve to each channel of `image` `(h, w, 3)`; with `strength` 0, returns it unchanged."""
    gamma = np.exp(random.normal(0, 0.18 * strength))
    gain = np.exp(random.normal(0, 0.12 * strength))
    balance = np.exp(random.normal(0, 0.06 * strength, 3))
    offset = random.normal(0, 0.02 * strength)
    curves = _LEVELS[:, None] ** gamma * gain * balance + offset
    table = np.clip(curves * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)
