"""Tries an embedder on crops that are nothing alike, and finds one that cannot tell them apart."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_SIDE = 64
_GROUNDS_BGR = ((60, 90, 160), (170, 150, 60), (70, 160, 90))
_FIGURES_BGR = ((200, 60, 40), (30, 60, 210), (220, 220, 225))
_FIGURES_XYXY = ((22, 6, 42, 60), (6, 20, 58, 44), (26, 26, 56, 58))
_SAME = 1e-4
"""One minus the cosine of vectors that count as the same. The rounding of half precision makes 1e-6 of it; embedders
give these crops 0.2 to 0.6, and 0.02 with values of a wrong scale."""

_SAME_ALONE = 0.05
"""One minus the cosine of a crop's vectors from two calls. It is 0.008 for OSNet in 8 bits that are scaled for each
call."""


def trial_crops() -> tuple[npt.NDArray[np.uint8], Floats]:
    """A frame, uint8 BGR, and three boxes in it, `(3, 4)` float32 xyxy: unlike in colours, shapes and shades."""
    ramp = np.tile(np.linspace(40, 215, _SIDE).astype(np.uint8), (_SIDE, 1))
    tiles = []
    for number, shade in enumerate((ramp.T, ramp, ramp[::-1].T)):
        tile = np.full((_SIDE, _SIDE, 3), _GROUNDS_BGR[number], np.uint8)
        tile[..., number] = shade
        left, top, right, bottom = _FIGURES_XYXY[number]
        cv2.rectangle(tile, (left, top), (right, bottom), _FIGURES_BGR[number], cv2.FILLED)
        tiles.append(tile)
    corners = np.array([[number * _SIDE, 0] for number in range(len(tiles))], np.float32)
    return np.hstack(tiles), np.hstack([corners, corners + np.float32(_SIDE)])


def fault(vectors: Floats, units: Floats) -> str | None:
    """What is wrong with the vectors of the trial crops, `(3, D)` as returned and with unit norm; None: nothing."""
    if vectors.shape[1] == 1:
        return "returns a single number for each crop"
    if not np.isfinite(vectors).all():
        return "returns values that are not finite (NaN or infinity)"
    if not units.any():
        return "returns only zeros"
    if (1 - units @ units.T).max() < _SAME:
        return "returns the same vector for different pictures"
    return None


def same_alone(together: Floats, alone: Floats) -> bool:
    """Whether the unit vectors of one crop, `(1, D)` each, are the same from a call with other crops and without."""
    return bool(1 - (together * alone).sum() < _SAME_ALONE)
