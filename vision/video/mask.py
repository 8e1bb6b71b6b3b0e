"""The mask of a camera: a picture of its view, black where nothing is to be detected."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import MaskError

_WHITE_FROM = 128
"""Of 255: JPEG leaves grey spots in what was painted black."""


def decode_mask(encoded: bytes) -> npt.NDArray[np.uint8]:
    """`(height, width)` uint8, 0 where nothing is to be detected.

    Raises:
        MaskError: it is no picture, or would hide everything.
    """
    if not encoded:
        raise MaskError("is empty (0 bytes); copy it again")
    mask = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise MaskError("is no picture; give a PNG or JPEG file, a picture of the view")
    shown = np.asarray(mask, np.uint8) >= _WHITE_FROM
    if not shown.any():
        raise MaskError("is black all over, so that nothing would ever be detected; paint white what is to be watched")
    return shown.astype(np.uint8)
