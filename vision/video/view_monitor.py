"""Notices that a camera has been turned or is being moved, from its pictures alone.

The edges of pictures are compared, because they survive changes of light. The shift between two of them is the peak of
their normalised cross-correlation, computed with Fourier transforms (Lewis, "Fast normalized cross-correlation", 1995).
A camera that moves shifts all parts of the picture, an object that passes only some, so most parts must agree.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
Edges = NDArray[np.float32]

_WIDTH = 160
"""Pictures are compared at this width, pixels."""
_LEARN_S = 4.0
"""How long the first view is learned."""
_REFERENCE_S, _RECENT_S = 120.0, 1.0
"""Time constants of the remembered and of the present view."""
_MOVED_SHARE = 0.02
"""A shift by this share of the picture's width is a move."""
_MOVING_SHARE = 0.012
"""The same from one look to the next."""
WINDOW_S = 3.0
"""A shift that has lasted for this long is a move; a camera that moved in most looks of this time is moving."""
_MOVING_LOOKS = 0.6
_GAIN = 0.1
"""A shift must raise the correlation by this much."""
_SAME_VIEW, _OTHER_VIEW = 0.35, 0.15
"""Correlation of the edges, −1 to 1, from which on two views are the same, and up to which they are different."""
_LARGEST_SHIFT = 0.6
"""Of width and height. Beyond it, too little of the old view is left."""
_PARTS = (3, 4)
"""Rows and columns of parts, of which most must have moved."""
_LEAST_EDGES = 0.8
"""Mean strength of edges, levels per pixel, below which a picture or a part of it shows too little to compare."""


@dataclass(frozen=True)
class ViewChange:
    """What happened to the view."""

    is_moving: bool
    """Whether it moves now; else it was moved for good."""
    share_x: float | None
    """How far it was moved, as a share of the picture's width; positive: what it shows is now further right. None: to
    another view altogether, or still moving."""
    share_y: float | None
    """Likewise down, as a share of the picture's height."""


class ViewMonitor:
    """Compares the view of one camera with that which it had at first. Times are seconds and ascend."""

    def __init__(self) -> None:
        self._reference: Grey | None = None
        self._recent: Grey | None = None
        self._last: Grey | None = None
        self._began_s = self._looked_at_s = 0.0
        self._steps: deque[tuple[float, bool]] = deque()
        self._off_since_s: float | None = None
        self.change: ViewChange | None = None
        """The present finding; None: the camera looks where it has always looked."""

    def look(self, image: NDArray[np.uint8], now_s: float) -> None:
        """Take a picture into account, `(height, width, 3)` uint8 BGR; call it about twice per second."""
        grey = _small(image)
        if self._reference is None or grey.shape != self._reference.shape or now_s < self._looked_at_s:
            self._start(grey, now_s)
            return
        assert self._recent is not None
        assert self._last is not None
        elapsed_s = now_s - self._looked_at_s
        self._steps.append((now_s, _has_moved(self._last, grey)))
        while now_s - self._steps[0][0] > WINDOW_S:
            self._steps.popleft()
        self._recent += (grey - self._recent) * np.float32(_gain(elapsed_s, _RECENT_S))
        self._last, self._looked_at_s = grey, now_s
        if now_s - self._began_s < _LEARN_S:
            self._reference += (grey - self._reference) * np.float32(elapsed_s / (now_s - self._began_s + elapsed_s))
            return
        self._judge(now_s, elapsed_s)

    def _start(self, grey: Grey, now_s: float) -> None:
        self._reference, self._recent, self._last = grey.copy(), grey.copy(), grey
        self._began_s = self._looked_at_s = now_s
        self._steps.clear()
        self._off_since_s, self.change = None, None

    def _judge(self, now_s: float, elapsed_s: float) -> None:
        assert self._reference is not None
        assert self._recent is not None
        moved = [has_moved for _, has_moved in self._steps]
        if sum(moved) >= max(2.0, _MOVING_LOOKS * len(moved)):
            self.change, self._off_since_s = ViewChange(is_moving=True, share_x=None, share_y=None), None
            return
        before, now = _edges(self._reference), _edges(self._recent)
        if before is None or now is None:
            return
        found = _compared(before, now)
        height, width = before.shape
        far = float(np.hypot(*found.shift)) > _MOVED_SHARE * width
        shifted = far and found.there >= max(_SAME_VIEW, found.here + _GAIN)
        elsewhere = found.here < _OTHER_VIEW and found.there < _SAME_VIEW
        if not (shifted or elsewhere):
            self._off_since_s = None
            if found.here >= _SAME_VIEW or self.change is None or self.change.is_moving:
                self.change = None
                self._reference += (self._recent - self._reference) * np.float32(_gain(elapsed_s, _REFERENCE_S))
            return
        self._off_since_s = now_s if self._off_since_s is None else self._off_since_s
        if now_s - self._off_since_s >= WINDOW_S and (self.change is None or self.change.is_moving):
            x, y = (found.shift[0] / width, found.shift[1] / height) if shifted else (None, None)
            self.change = ViewChange(is_moving=False, share_x=x, share_y=y)


@dataclass(frozen=True)
class _Compared:
    """Two pictures of edges: correlation without a shift, and with the best one."""

    here: float
    there: float
    shift: tuple[int, int]
    """x and y, pixels of the small picture, from the first to the second."""


def _compared(a: Edges, b: Edges) -> _Compared:
    height, width = a.shape
    padded = (2 * height, 2 * width)
    x, y = a - a.mean(), b - b.mean()
    products = np.fft.irfft2(np.conj(np.fft.rfft2(x, padded)) * np.fft.rfft2(y, padded), padded)
    reach_y, reach_x = int(_LARGEST_SHIFT * height), int(_LARGEST_SHIFT * width)
    dy, dx = np.arange(-reach_y, reach_y + 1), np.arange(-reach_x, reach_x + 1)
    overlap = np.outer(1.0 - np.abs(dy) / height, 1.0 - np.abs(dx) / width)
    energy = float(np.sqrt((x * x).sum() * (y * y).sum())) + 1e-9
    correlation = products[np.ix_(dy, dx)] / (energy * overlap)
    # Less overlap makes a high value by chance more likely.
    row, column = np.unravel_index(int(np.argmax(correlation * np.sqrt(overlap))), correlation.shape)
    here = float(correlation[reach_y, reach_x])
    return _Compared(here, float(correlation[row, column]), (int(dx[column]), int(dy[row])))


def _has_moved(before: Grey, now: Grey) -> bool:
    """Whether the camera moved between two looks."""
    a, b = _edges(before), _edges(now)
    if a is None or b is None:
        return False
    found = _compared(a, b)
    if float(np.hypot(*found.shift)) <= _MOVING_SHARE * a.shape[1] or found.there < found.here + _GAIN:
        return False
    moved = np.roll(a, found.shift[::-1], (0, 1))
    agree = textured = 0
    for parts in zip(_parts(a), _parts(moved), _parts(b), strict=True):
        unmoved, shifted, present = (part - part.mean() for part in parts)
        if float(parts[0].mean()) ** 2 < _LEAST_EDGES:
            continue
        textured += 1
        agree += float((shifted * present).sum()) > float((unmoved * present).sum())
    return textured >= 3 and agree >= 0.7 * textured


def _parts(edges: Edges) -> list[Edges]:
    rows, columns = _PARTS
    return [part for strip in np.array_split(edges, rows, 0) for part in np.array_split(strip, columns, 1)]


def _small(image: NDArray[np.uint8]) -> Grey:
    height, width = image.shape[:2]
    step = max(1, width // (2 * _WIDTH))
    size = (_WIDTH, max(16, round(_WIDTH * height / width)))
    small = cv2.resize(image[::step, ::step], size, interpolation=cv2.INTER_AREA)
    grey: Grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return grey


def _edges(grey: Grey) -> Edges | None:
    """Strength of the edges, of the size of `grey`; None if there are hardly any."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    strength = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)) / 4.0
    if float(strength.mean()) < _LEAST_EDGES:
        return None
    # Strong edges must not decide alone.
    compressed: Edges = np.sqrt(strength)
    return compressed


def _gain(elapsed_s: float, constant_s: float) -> float:
    return 1.0 - float(np.exp(-max(0.0, elapsed_s) / constant_s))
