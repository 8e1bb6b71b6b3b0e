"""Estimates from tracks and detections by how much the camera has moved since the last picture.

A camera that turns or shakes shifts all objects by the same number of pixels, whatever they do themselves. A large
shift is found before matching, by voting over all pairs of a track and a detection of its size (a Hough transform), and
counts only if it explains clearly more tracks than a camera that stands still. A small shift, which matching survives,
is what the matched tracks have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SIZE_RATIO = 1.35
"""A detection that is larger or smaller than a track by more than this is another object."""
_BIN_HEIGHTS = 0.25
"""Width of a bin of the vote, in median heights."""
_CANDIDATES = 5
_REFINEMENTS = 3
_EXPLAINED = 0.5
"""A shift that a camera which stood still has made explains at least this share of the tracks."""
_MOST_TRACKS = 48
"""More tracks do not make the vote surer."""
_MOVING_S = 1.0
"""A camera that has moved within this time may move on."""
_OVERLAPS = 0.5
"""IoU from which on a track and a detection overlap."""
_OVERLAPPING_STILL, _OVERLAPPING_MOVING = 0.6, 0.8
"""Where a larger share of the tracks overlaps a detection, no large motion is looked for."""
_MAD = 1.4826
"""Standard deviation of a normal distribution per median absolute deviation."""
_MEDIAN_ERROR = 1.2533
"""Standard error of a median, per standard deviation and root of the number of values."""
_HINT = 1.5
"""With a mean of fewer standard errors, the median is not computed."""
_LEAST_DEVIATION = 0.005
"""Smallest deviation of the residuals, in object heights."""


@dataclass(frozen=True)
class CameraMotionSettings:
    """When a shift counts; lengths are in object heights."""

    spread: float = 0.12
    """Standard deviation of a detection around its predicted place, right after it was seen."""
    spread_per_s: float = 0.3
    """What is added per second without a picture."""
    reach: float = 1.0
    """Largest shift that is looked for, right after the last picture, in median heights."""
    reach_per_s: float = 3.0
    """What is added per second."""
    least_tracks: int = 3
    """With fewer tracks a shift is never certain."""
    certain: float = 0.35
    """A camera that stood still has moved if the shift explains this share of the tracks more than no shift does."""
    certain_tracks: float = 2.0
    """And this many tracks, because a few may agree by chance."""
    likely: float = 0.08
    """The share for a camera that has moved within the last second; a number is not asked for."""
    common: float = 5.0
    """The matched tracks have a shift in common if their median differs from zero by this many standard errors."""
    common_likely: float = 2.5
    """The same for a camera that has moved within the last second."""


class CameraMotion:
    """The motion of one camera from picture to picture. It remembers whether the camera has moved lately."""

    def __init__(self, settings: CameraMotionSettings) -> None:
        self._settings = settings
        self._moved_s = -np.inf

    def forget(self) -> None:
        """Begin again: the next picture may have any time."""
        self._moved_s = -np.inf

    def large(self, tracks: Floats, overlaps: Floats, detections: Floats, elapsed_s: float, time_s: float) -> Floats:
        """The shift of a camera that has moved so far that many tracks no longer overlap a detection, `(2,)` pixels.

        Args:
            tracks: `(T, 4)` predicted centre x, centre y, width and height of tracks seen lately, pixels.
            overlaps: `(T,)` IoU of each with the confident detection that it overlaps most.
            detections: `(D, 4)` centre x, centre y, width and height of confident detections.
            elapsed_s: seconds since the last picture.
            time_s: of this picture.
        """
        was_moving = self.was_moving(time_s)
        usual = _OVERLAPPING_MOVING if was_moving else _OVERLAPPING_STILL
        if np.count_nonzero(overlaps > _OVERLAPS) > usual * len(tracks):
            return np.zeros(2)
        return self._noted(voted_shift(tracks, detections, elapsed_s, self._settings, was_moving=was_moving), time_s)

    def small(self, residuals_px: Floats, heights_px: Floats, time_s: float) -> Floats:
        """The shift that the matched tracks have in common, `(2,)` pixels; arguments as for `common_shift`."""
        was_moving = self.was_moving(time_s)
        return self._noted(common_shift(residuals_px, heights_px, self._settings, was_moving=was_moving), time_s)

    def seen(self, shift_px: Floats, time_s: float) -> None:
        """Take note of the shift, `(2,)` pixels, that the background of the picture shows."""
        self._noted(shift_px, time_s)

    def was_moving(self, time_s: float) -> bool:
        """Whether the camera has moved within the last second."""
        return time_s - self._moved_s <= _MOVING_S

    def _noted(self, shift: Floats, time_s: float) -> Floats:
        if shift.any():
            self._moved_s = time_s
        return shift


def voted_shift(
    tracks: Floats, detections: Floats, elapsed_s: float, settings: CameraMotionSettings, *, was_moving: bool
) -> Floats:
    """The shift of the picture since the last one, `(2,)` pixels; zero unless the camera has certainly moved.

    Args:
        tracks: `(T, 4)` predicted centre x, centre y, width and height of tracks seen lately, pixels.
        detections: `(D, 4)` likewise, of confident detections.
        elapsed_s: seconds since the last picture.
        settings: when a shift counts.
        was_moving: whether the camera has moved within the last second.
    """
    none = np.zeros(2)
    if min(len(tracks), len(detections)) < settings.least_tracks:
        return none
    tracks = tracks[:_MOST_TRACKS]
    sizes = np.abs(np.log(detections[None, :, 2:]) - np.log(tracks[:, None, 2:])) < np.log(_SIZE_RATIO)
    of_track, of_detection = np.nonzero(sizes.all(axis=2))
    if not len(of_track):
        return none
    first = np.flatnonzero(np.diff(of_track, prepend=-1))
    residuals = detections[of_detection, :2] - tracks[of_track, :2]
    precision = 1.0 / ((settings.spread + settings.spread_per_s * elapsed_s) * tracks[of_track, 3]) ** 2
    height = float(np.median(tracks[:, 3]))
    reach = (settings.reach + settings.reach_per_s * elapsed_s) * height

    def support(shift: Floats) -> tuple[float, Floats]:
        """How many tracks a shift explains, and the weight of each pair."""
        weights: Floats = np.exp(-0.5 * precision * ((residuals - shift) ** 2).sum(axis=1))
        return float(np.maximum.reduceat(weights, first).sum()), weights

    def refined(shift: Floats) -> tuple[float, Floats]:
        for _ in range(_REFINEMENTS):
            _, weights = support(shift)
            weights = weights * precision
            total = weights.sum()
            if total <= 0.0:
                break
            shift = weights @ residuals / total
        return support(shift)[0], shift

    still, _ = support(none)
    needed = settings.likely * len(tracks)
    if not was_moving:
        needed = max(settings.certain * len(tracks), settings.certain_tracks)
    if len(first) - still < needed:
        return none
    tried = _candidates(residuals, reach, _BIN_HEIGHTS * height)
    if not tried:
        return none
    best = max(tried, key=lambda shift: support(shift)[0])
    score, shift = refined(best)
    enough = score - still >= needed and (was_moving or score >= _EXPLAINED * len(tracks))
    return shift if enough and np.abs(shift).max() <= reach else none


def common_shift(
    residuals_px: Floats, heights_px: Floats, settings: CameraMotionSettings, *, was_moving: bool
) -> Floats:
    """What the matched tracks have in common, `(2,)` pixels; zero if it may be chance.

    Args:
        residuals_px: `(m, 2)` detected minus predicted centre of each matched track.
        heights_px: `(m,)` heights of their boxes.
        settings: when a shift counts.
        was_moving: whether the camera has moved within the last second.
    """
    none = np.zeros(2)
    if len(residuals_px) < settings.least_tracks:
        return none
    mean = residuals_px.sum(axis=0) / len(residuals_px)
    squares = (residuals_px * residuals_px).sum(axis=0) / len(residuals_px)
    # With a camera that stands still, the mean is nearly always within some standard errors of zero.
    if (mean * mean * len(residuals_px) < _HINT**2 * (squares - mean * mean)).all():
        return none
    middle = len(residuals_px) // 2
    median: Floats = np.partition(residuals_px, middle, axis=0)[middle]
    deviation = np.partition(np.abs(residuals_px - median), middle, axis=0)[middle]
    least = _LEAST_DEVIATION * np.partition(heights_px, middle)[middle]
    error = np.maximum(_MAD * deviation, least) * _MEDIAN_ERROR / np.sqrt(len(residuals_px))
    needed = settings.common_likely if was_moving else settings.common
    return median if float(np.hypot(*(median / error))) >= needed else none


def _candidates(residuals: Floats, reach: float, width: float) -> list[Floats]:
    """The shifts with most votes: `residuals` are those of all similar pairs, `(P, 2)` pixels."""
    near = residuals[(np.abs(residuals) <= reach).all(axis=1)]
    if not len(near):
        return []
    bins = max(1, int(np.ceil(2.0 * reach / width)))
    cells = np.clip(((near + reach) / width).astype(np.intp), 0, bins - 1)
    votes = np.bincount(cells[:, 0] * bins + cells[:, 1], minlength=bins * bins).reshape(bins, bins)
    padded = np.pad(votes, 1)
    # A vote near the border of a bin also counts for the bins beside it.
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    smooth = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + votes
    order = np.argsort(-smooth, axis=None, kind="stable")[:_CANDIDATES]
    found, columns = np.unravel_index(order, smooth.shape)
    return [(np.array([row, column]) + 0.5) * width - reach for row, column in zip(found, columns, strict=True)]
