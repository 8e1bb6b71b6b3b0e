"""The mask of a camera: where in its view detections are ignored, as an image that is black there, or as polygons."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import MaskError

_WHITE_FROM = 128
"""Threshold, 0 to 255: JPEG leaves grey spots in black areas."""
_DRAWN_SIDE = 1_000
"""Polygons are drawn on at least so many pixels per side."""
_SUBPIXEL_BITS = 8
Corners = Sequence[tuple[float, float]]
"""Corners `(x, y)` of a polygon in fractions of width and height, 0 to 1, from the top left."""


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


def camera_mask(image: bytes | None, polygons: Sequence[Corners]) -> npt.NDArray[np.uint8] | None:
    """The mask of a camera with an image, polygons, or both: as from `decode_mask`; None: it has neither.

    Its shape need not be that of the pictures.

    Raises:
        MaskError: the image cannot be used, or the mask would hide everything.
    """
    mask = None if image is None else decode_mask(image)
    if not polygons:
        return mask
    if mask is None:
        mask = np.ones((_DRAWN_SIDE, _DRAWN_SIDE), np.uint8)
    height, width = (max(side, _DRAWN_SIDE) for side in mask.shape)
    mask = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    for corners in polygons:
        # The centre of the first pixel is at 0.5.
        places = np.array(corners, np.float64) * (width, height) - 0.5
        drawn = np.round(places * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [drawn], 0, shift=_SUBPIXEL_BITS)
    if not mask.any():
        raise MaskError("covers the whole picture, so nothing would ever be detected; leave an area to watch")
    return mask
