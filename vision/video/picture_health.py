"""Whether the pictures of a source show what they should: finds frozen ones, those of one colour, and moved views."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from vision.video.view_monitor import WINDOW_S, ViewChange, ViewMonitor

LOOK_EVERY_S = 0.5
"""More often would find nothing more; the check reads one of 64 pixels."""
VIEW_EVERY_S = 1.0
"""How often the view is compared with the old one, which takes 3 ms."""
BLANK_S = 2.0
"""A single colour for this long is a fault; shorter is a camera that switches to its night mode."""
_STEP = 8
_SAME_COLOUR = 8
"""Levels (of 255) between the 1st and the 99th percentile of a picture of one colour: noise and compression."""
_MANY_COLOURS = 40
_DARK = 24
_NEUTRAL = 8
_CONCEALED = (126, 132)
"""Decoders fill what they cannot decode with the middle of the range."""
_CHANGED_LEVELS = 4
"""A sampled pixel that differs by more has changed. Frozen streams differ by less when they are encoded again."""


class FaultKind(StrEnum):
    BLANK = "blank"
    FROZEN = "frozen"
    MOVING = "moving"
    MOVED = "moved"


@dataclass(frozen=True)
class Fault:
    """What is wrong with pictures that arrive."""

    kind: FaultKind
    message: str


class PictureHealth:
    """Looks at the pictures of one source. Times are monotonic seconds."""

    def __init__(self, freeze_s: float, moved: str | None = None) -> None:
        """`freeze_s`: a picture that has not changed for this long is frozen; 0: never. `moved`: that an earlier reader
        of the source has found it moved, as `moved` gave it.
        """
        self._freeze_s = freeze_s
        self._view, self._looked_at_view_s = ViewMonitor(), -np.inf
        self._found_moved_before = moved is not None
        self.moved = moved
        """How and when the camera was moved for good, for people; None: it was not."""
        self._looked_at_s = -np.inf
        self._last: NDArray[np.uint8] | None = None
        self._changed_at_s = -np.inf
        self._blank_since_s: float | None = None
        self._colour = ""
        self.fault: Fault | None = None
        """The present fault."""

    def is_due(self, now_s: float) -> bool:
        """Whether to call `look`. A time before the last look belongs to a file that was played from there."""
        return not 0 <= now_s - self._looked_at_s < LOOK_EVERY_S

    def look(self, image: NDArray[np.uint8], now_s: float, time_ns: int) -> None:
        """Take a picture into account, `(height, width, 3)` uint8 BGR, received at `now_s`; `time_ns` is site time."""
        self._looked_at_s = now_s
        sample = image[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP].astype(np.uint8)
        if sample.size == 0:
            sample = np.asarray(image, np.uint8)
        if self._last is None or _differ(sample, self._last):
            self._last, self._changed_at_s = sample, now_s
        colour = _single_colour(sample)
        if colour is None:
            self._blank_since_s = None
        elif self._blank_since_s is None or colour != self._colour:
            self._blank_since_s, self._colour = now_s, colour
        if colour is None and not 0 <= now_s - self._looked_at_view_s < VIEW_EVERY_S:
            self._look_at_view(image, now_s, time_ns)
        self.fault = self._judge(now_s)

    def _look_at_view(self, image: NDArray[np.uint8], now_s: float, time_ns: int) -> None:
        self._looked_at_view_s = now_s
        self._view.look(image, now_s)
        change = self._view.change
        if change is None or change.is_moving:
            # What an earlier reader found stays: this one never saw the old view.
            self.moved = self.moved if self._found_moved_before else None
        elif self.moved is None:
            self.moved = _moved(change, time_ns)

    def reset(self) -> None:
        """Forget everything but the view: the source was opened again."""
        self._last, self._blank_since_s, self.fault = None, None, None
        self._looked_at_s = self._changed_at_s = -np.inf

    def _judge(self, now_s: float) -> Fault | None:
        if self._blank_since_s is not None and now_s - self._blank_since_s >= BLANK_S:
            return Fault(
                FaultKind.BLANK,
                f"the picture is all {self._colour}; check the lens, the light, and the video settings of the camera",
            )
        if self._freeze_s and now_s - self._changed_at_s >= self._freeze_s:
            return Fault(
                FaultKind.FROZEN,
                f"the picture has not changed for {self._freeze_s:g} s; restart the camera, or raise freeze_seconds "
                "if nothing moves there",
            )
        if self._view.change is not None and self._view.change.is_moving:
            return Fault(FaultKind.MOVING, "the camera is moving; its mask and calibration do not fit")
        if self.moved is not None:
            return Fault(FaultKind.MOVED, self.moved)
        return None


def _moved(change: ViewChange, time_ns: int) -> str:
    when = datetime.fromtimestamp(time_ns / 1e9 - WINDOW_S, UTC)
    if change.share_x is None or change.share_y is None:
        how = "it now shows another view"
    else:
        across, down = round(100 * change.share_x), round(100 * change.share_y)
        parts = [f"{abs(across)} % {'right' if across > 0 else 'left'}"] if across else []
        parts += [f"{abs(down)} % {'down' if down > 0 else 'up'}"] if down else []
        how = f"the picture is shifted {' and '.join(parts)}"
    return (
        f"the camera was moved at about {when:%Y-%m-%d %H:%M:%S} UTC: {how}; check its mask and calibration, then "
        "pause and resume it"
    )


def _differ(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    return a.shape != b.shape or bool((np.abs(a.astype(np.int16) - b) > _CHANGED_LEVELS).any())


def _single_colour(sample: NDArray[np.uint8]) -> str | None:
    """The colour of a picture that has only one, if it is one of those that faults produce."""
    coarse = sample[::4, ::4].reshape(-1, 3)
    if len(coarse) and np.ptp(coarse, axis=0).max() > _MANY_COLOURS:
        return None  # as nearly always: the percentiles take twenty times longer
    pixels = sample.reshape(-1, 3)
    low, high = np.percentile(pixels, [1, 99], axis=0)
    if (high - low).max() > _SAME_COLOUR:
        return None
    blue, green, red = (float(value) for value in np.median(pixels, axis=0))
    if max(blue, green, red) <= _DARK:
        return "black"
    if min(blue, green, red) >= 255 - _DARK:
        return "white"
    if max(blue, green, red) - min(blue, green, red) <= _NEUTRAL:
        return "grey" if _CONCEALED[0] <= green <= _CONCEALED[1] else None
    # What a decoder that failed leaves in memory, zeros, is green once it is converted.
    return "green" if max(blue, red) <= _DARK else None
