"""How far the background of a picture has moved since the last one, because the camera moves.

Few objects say little about a camera's motion, and their pictures say much. The shift is the peak of the phase
correlation of two small pictures (Kuglin and Hines, "The phase correlation image alignment method", 1975). An object
that fills much of the picture shifts as well, so most parts of the background, outside of all detections, must agree.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]

_WIDTH = 160
"""Pictures are compared at this width, pixels."""
_LEAST_PX, _MOST_SHARE = 0.4, 0.3
"""A smaller shift, in pixels of the small picture, is none; a larger one, as a share of its size, is not found."""
_LEAST_RESPONSE = 0.3
"""How much of the correlation must be in its peak, 0..1. A moved camera has 0.5 to 1."""
_ROWS, _COLUMNS = 3, 4
"""The picture is divided into so many parts."""
_LEAST_TEXTURE = 1.0
"""Mean difference of neighbouring pixels, levels, from which a part shows enough to compare."""
_LEAST_BACKGROUND = 0.3
"""Share of a part that must be outside of all detections."""
_LEAST_PARTS, _AGREEING = 6, 0.75
"""So many parts must show enough, and this share of them must fit better with the shift than without."""
_FITS = 0.9
"""A part fits better if the shift reduces its difference to this."""


class BackgroundMotion:
    """Compares each picture of one camera with the last one."""

    def __init__(self) -> None:
        self._last: Grey | None = None
        self._window: Grey | None = None

    def forget(self) -> None:
        """The next picture is the first one."""
        self._last = None

    def shift(self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.floating]) -> NDArray[np.float64]:
        """The shift since the last picture, `(2,)` pixels of the picture, right and down; zero unless it is certain.

        Args:
            image: `(height, width, 3)` uint8 BGR.
            boxes_xyxy: `(n, 4)` pixels: what is not background.
        """
        now, last = _small(image), self._last
        self._last = now
        none = np.zeros(2)
        if last is None or last.shape != now.shape:
            return none
        if self._window is None or self._window.shape != now.shape:
            self._window = cv2.createHanningWindow((now.shape[1], now.shape[0]), cv2.CV_32F)
        # phaseCorrelate may change its arguments, so it gets copies.
        (x, y), response = cv2.phaseCorrelate(last * self._window, now * self._window)
        found = np.array([x, y])
        scale = np.array([image.shape[1] / now.shape[1], image.shape[0] / now.shape[0]])
        if response < _LEAST_RESPONSE or np.hypot(*found) < _LEAST_PX:
            return none
        if (np.abs(found) > _MOST_SHARE * np.array(now.shape[::-1])).any():
            return none
        background = _background(now, boxes_xyxy / np.tile(scale, 2))
        return found * scale if _is_certain(last, now, found, background) else none


def _is_certain(last: Grey, now: Grey, shift: NDArray[np.float64], background: Grey) -> bool:
    """Whether most parts of the background have moved by `shift`."""
    size = now.shape[1], now.shape[0]
    move = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    moved = cv2.warpAffine(last, move, size, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(background, move, size) * background
    texture = cv2.absdiff(now, cv2.blur(now, (3, 3)))
    shown = [_of_parts(picture * inside) for picture in (cv2.absdiff(now, moved), cv2.absdiff(now, last), texture)]
    shares = _of_parts(inside)
    counts = (shares >= _LEAST_BACKGROUND) & (shown[2] >= _LEAST_TEXTURE * shares)
    agreeing = np.count_nonzero(counts & (shown[0] <= _FITS * shown[1]))
    return bool(np.count_nonzero(counts) >= _LEAST_PARTS and agreeing >= _AGREEING * np.count_nonzero(counts))


def _of_parts(picture: Grey) -> Grey:
    """Mean of each part, `(parts,)`."""
    parts: Grey = cv2.resize(picture, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA).ravel()
    return parts


def _background(like: Grey, boxes_xyxy: NDArray[np.floating]) -> Grey:
    """1 where no box is, else 0."""
    background = np.ones_like(like)
    boxes_xyxy = boxes_xyxy[np.isfinite(boxes_xyxy).all(axis=1)]
    for left, top, right, bottom in np.clip(np.round(boxes_xyxy), 0, max(like.shape)).astype(int).tolist():
        background[top : bottom + 1, left : right + 1] = 0.0
    return background


def _small(image: NDArray[np.uint8]) -> Grey:
    height, width = image.shape[:2]
    step = max(1, width // (2 * _WIDTH))
    size = (_WIDTH, max(16, round(_WIDTH * height / width)))
    small: Grey = cv2.resize(image[::step, ::step, 1], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return small
