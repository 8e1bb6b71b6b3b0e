"""The mask of a camera: an image of its view, black where detections are ignored."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import MaskError

_WHITE_FROM = 128
"""Threshold, 0 to 255: JPEG leaves grey spots in black areas."""


def decode_mask(encoded: bytes) -> npt.NDArray[np.uint8]:
    """Decode a PNG or JPEG mask: `(height, width)` uint8, 0 where detections are ignored, else 1.

    Raises:
        MaskError: `encoded` is not an image, or the mask would hide everything.
    """
    if not encoded:
        raise MaskError("is empty (0 bytes); copy it again")
    mask = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise MaskError("is not an image; use a PNG or JPEG image of the camera's view")
    shown = np.asarray(mask, np.uint8) >= _WHITE_FROM
    if not shown.any():
        raise MaskError("is entirely black, so nothing would ever be detected; paint the areas to watch white")
    return shown.astype(np.uint8)
