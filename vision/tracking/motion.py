"""A constant-velocity Kalman filter over all tracks of a camera at once, in real seconds.

The state of a box is its centre and size, each with a speed. The noise of the four coordinates is independent, so the
usual 8×8 covariance reduces to four 2×2 blocks, and every step is a few lines of array arithmetic without any matrix
inversion.

A state array is `(n, 5, 4)` float64: the five rows below, for the coordinates (centre x, centre y, width, height), in
pixels and seconds. Noise scales with the object's height, so that near and far objects behave alike (as in SORT and
ByteTrack).
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
    """Noise of motion and of detections, in object heights; measured on MOT17 and CAMPUS Auditorium."""

    measurement: float = 0.07
    """Standard deviation of a detected coordinate (ByteTrack: 1/20)."""
    first_position: float = 0.1
    """The same for the first detection of a track (ByteTrack doubles it)."""
    first_speed: float = 1.9
    """Standard deviation of the unknown speed of a new track, heights per second (ByteTrack: 1/16 × 30 Hz)."""
    acceleration: float = 0.4
    """Random walk of the speed: standard deviation after one second, heights per second."""
    jitter: float = 0.2
    """Additional random walk of the position (posture, shadows): standard deviation after one second, heights
    (ByteTrack: 0.27 at 30 Hz)."""
    size_share: float = 0.5
    """Factor on the speed noise of width and height, relative to that of the centre."""


def begin(boxes_xyxy: npt.NDArray[np.floating], noise: MotionNoise) -> States:
    """Initial states `(n, 5, 4)` float64 of objects at `boxes_xyxy` `(n, 4)`: zero speed with high variance."""
    measured = centres_and_sizes(boxes_xyxy)
    states = np.zeros((len(measured), 5, 4))
    states[:, POSITION] = measured
    heights = _heights(measured)
    states[:, POSITION_VARIANCE] = (noise.first_position * heights) ** 2
    states[:, SPEED_VARIANCE] = (noise.first_speed * heights * _shares(noise)) ** 2
    return states


def predict(states: States, elapsed_s: float, coasting: Mask, noise: MotionNoise) -> States:
    """The states after `elapsed_s` seconds at nearly constant speed.

    Process noise is white acceleration (Bar-Shalom et al., "Estimation with Applications to Tracking and Navigation",
    6.2.2), so two steps of 0.1 s equal one of 0.2 s. Coasting objects keep their size: a box shrinks while its object
    disappears behind something, and would otherwise shrink to nothing.

    Args:
        states: `(n, 5, 4)` float64.
        elapsed_s: seconds since the last step, above 0.
        coasting: `(n,)` bool; whether the object was missed at the last update.
        noise: how objects move.
    """
    position, speed, position_variance, covariance, speed_variance = (states[:, row] for row in range(5))
    heights = _heights(position)
    wander = (noise.acceleration * heights * _shares(noise)) ** 2
    jitter = (noise.jitter * heights) ** 2
    moved = np.empty_like(states)
    moved[:, SPEED] = np.where(coasting[:, None], speed * [1.0, 1.0, 0.0, 0.0], speed)
    moved[:, POSITION] = position + elapsed_s * moved[:, SPEED]
    # A box without area would match nothing and scale its own noise to zero.
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
    """The states `(n, 5, 4)` after each object was detected at its row of `boxes_xyxy`, `(n, 4)` pixels."""
    position, speed, position_variance, covariance, speed_variance = (states[:, row] for row in range(5))
    innovation = centres_and_sizes(boxes_xyxy) - position
    spread = position_variance + (noise.measurement * _heights(position)) ** 2
    position_gain = position_variance / spread
    speed_gain = covariance / spread
    return np.stack(
        [
            position + position_gain * innovation,
            speed + speed_gain * innovation,
            (1.0 - position_gain) * position_variance,
            (1.0 - position_gain) * covariance,
            speed_variance - speed_gain * covariance,
        ],
        axis=1,
    )


def boxes(states: States) -> npt.NDArray[np.float64]:
    """The boxes of `states` as `(n, 4)` float64 xyxy, pixels."""
    centres, halves = states[:, POSITION, :2], states[:, POSITION, 2:] / 2.0
    return np.concatenate([centres - halves, centres + halves], axis=1)


def centres_and_sizes(boxes_xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """`(n, 4)` float64: centre x, centre y, width, height of boxes `(n, 4)` xyxy."""
    corners = np.asarray(boxes_xyxy, np.float64)
    return np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2.0, corners[:, 2:] - corners[:, :2]], axis=1)


def _heights(position: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return position[:, 3:4]


def _shares(noise: MotionNoise) -> npt.NDArray[np.float64]:
    return np.array([1.0, 1.0, noise.size_share, noise.size_share])
