"""A Kalman filter over all tracks of a camera at once, in real seconds.

A box is centre and size, each with a speed. The four coordinates have independent noise, so the usual 8×8 covariance is
four 2×2 blocks, and every step is a few lines of arithmetic on whole arrays: no matrix is ever inverted.

A state array is `(n, 5, 4)` float64: the five rows below, for the coordinates (centre x, centre y, width, height).
All noise is in units of the object's height, so that near and far objects behave alike (as in SORT and ByteTrack).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

States = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

POSITION, SPEED, POSITION_VARIANCE, COVARIANCE, SPEED_VARIANCE = range(5)


@dataclass(frozen=True)
class MotionNoise:
    """How objects move and how detectors err, in heights of the object; measured on MOT17 and CAMPUS Auditorium."""

    measurement: float = 0.07
    """Standard deviation of a detected coordinate (ByteTrack: 1/20)."""
    first_position: float = 0.1
    """The same for the detection a track begins with (ByteTrack doubles it)."""
    first_speed: float = 1.9
    """Standard deviation of the unknown speed of a new track, heights per second (ByteTrack: 1/16 × 30 Hz)."""
    acceleration: float = 0.4
    """How fast speeds wander: standard deviation after one second, heights per second."""
    jitter: float = 0.2
    """How fast boxes wander besides (posture, shadows): the same of the position (ByteTrack: 0.27 at 30 Hz)."""
    size_share: float = 0.5
    """How much less the speeds of width and height vary than those of the centre."""


def begin(boxes_xyxy: npt.NDArray[np.floating], noise: MotionNoise) -> States:
    """States `(n, 5, 4)` of new objects at `boxes_xyxy` `(n, 4)`: at rest, and not sure of it."""
    measured = _centres_and_sizes(boxes_xyxy)
    states = np.zeros((len(measured), 5, 4))
    states[:, POSITION] = measured
    heights = _heights(measured)
    states[:, POSITION_VARIANCE] = (noise.first_position * heights) ** 2
    states[:, SPEED_VARIANCE] = (noise.first_speed * heights * _shares(noise)) ** 2
    return states


def predict(states: States, elapsed_s: float, coasting: Mask, noise: MotionNoise) -> States:
    """`states` after `elapsed_s` seconds of nearly constant speed.

    Process noise is that of white acceleration (Bar-Shalom et al., "Estimation with Applications to Tracking and
    Navigation", 6.2.2), so two steps of 0.1 s are one of 0.2 s. Objects that are `coasting` `(n,)`, not seen at the
    last update, keep their size: a box shrinks while its object goes behind something, and would go on to nothing.
    """
    position, speed, position_variance, covariance, speed_variance = (states[:, row] for row in range(5))
    heights = _heights(position)
    wander = (noise.acceleration * heights * _shares(noise)) ** 2
    jitter = (noise.jitter * heights) ** 2
    moved = np.empty_like(states)
    moved[:, SPEED] = np.where(coasting[:, None], speed * [1.0, 1.0, 0.0, 0.0], speed)
    moved[:, POSITION] = position + elapsed_s * moved[:, SPEED]
    # A box of no size would compare with nothing and scale its own noise to nothing.
    np.maximum(moved[:, POSITION, 2:], 1.0, out=moved[:, POSITION, 2:])
    moved[:, POSITION_VARIANCE] = (
        position_variance
        + 2.0 * elapsed_s * covariance
        + elapsed_s**2 * speed_variance
        + wander * elapsed_s**3 / 3.0
        + jitter * elapsed_s
    )
    moved[:, COVARIANCE] = covariance + elapsed_s * speed_variance + wander * elapsed_s**2 / 2.0
    moved[:, SPEED_VARIANCE] = speed_variance + wander * elapsed_s
    return moved


def correct(states: States, boxes_xyxy: npt.NDArray[np.floating], noise: MotionNoise) -> States:
    """`states` after each object was seen at its row of `boxes_xyxy` `(n, 4)`."""
    position, speed, position_variance, covariance, speed_variance = (states[:, row] for row in range(5))
    surprise = _centres_and_sizes(boxes_xyxy) - position
    spread = position_variance + (noise.measurement * _heights(position)) ** 2
    position_gain = position_variance / spread
    speed_gain = covariance / spread
    return np.stack(
        [
            position + position_gain * surprise,
            speed + speed_gain * surprise,
            (1.0 - position_gain) * position_variance,
            (1.0 - position_gain) * covariance,
            speed_variance - speed_gain * covariance,
        ],
        axis=1,
    )


def boxes(states: States) -> npt.NDArray[np.float64]:
    """The boxes `(n, 4)` xyxy, pixels, where `states` expect the objects."""
    centres, halves = states[:, POSITION, :2], states[:, POSITION, 2:] / 2.0
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _centres_and_sizes(boxes_xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    corners = np.asarray(boxes_xyxy, np.float64)
    return np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2.0, corners[:, 2:] - corners[:, :2]], axis=1)


def _heights(position: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return position[:, 3:4]


def _shares(noise: MotionNoise) -> npt.NDArray[np.float64]:
    return np.array([1.0, 1.0, noise.size_share, noise.size_share])
