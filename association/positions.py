"""Where identities are on the ground, fused over the calibrated cameras that see them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from association.ground import Ground
from association.motion import SLOT_NS, SLOTS, MotionHistory

_PIXEL_NOISE, _SIZE_NOISE = 1.5, 0.07
"""Standard deviation of a foot: pixels, and share of the size of its box. Measured on the demo, 6 to 8 % of the box."""
_SPEED_SLOTS = 4
"""The speed is measured over this many moments, if they are known."""


Fused = tuple[npt.NDArray[np.float64], float]
"""Place `(2,)` in metres, and its standard deviation in the worse direction."""


@dataclass(frozen=True)
class Position:
    """A place on the ground."""

    x: float
    """Metres."""
    y: float
    """Metres."""
    uncertainty: float
    """Standard deviation in the worse direction, metres."""
    speed: float | None
    """Metres per second; None if it was not seen before."""


class Positions:
    """Computes positions from the newest moments of tracks."""

    def __init__(self, motion: MotionHistory, ground: Ground) -> None:
        self._motion, self._ground = motion, ground

    def of(self, rows: Sequence[int], cameras: Sequence[int]) -> Position | None:
        """The position of one object from its tracks; None if no calibrated camera shows where it stands.

        Args:
            rows: of its live tracks.
            cameras: of each track.
        """
        seen = [(row, camera) for row, camera in zip(rows, cameras, strict=True) if camera in self._ground]
        if not seen:
            return None
        feet = self._motion.feet(np.array([row for row, _ in seen], np.intp))
        own = [camera for _, camera in seen]

        def at(back: int) -> Fused | None:
            return self._fused(feet[:, (self._motion.now - back) % SLOTS], own)

        for newest in (0, 1):  # the last moment may not be complete yet
            if (found := at(newest)) is not None:
                place, deviation = found
                x, y = (round(float(value), 2) for value in place)
                return Position(x, y, round(deviation, 2), _speed(place, newest, at))
        return None

    def _fused(self, feet: npt.NDArray[np.float64], cameras: Sequence[int]) -> Fused | None:
        """Mean of the places that several cameras show at one moment, weighted by their covariances."""
        information, weighted = np.zeros((2, 2)), np.zeros(2)
        for foot, camera in zip(feet, cameras, strict=True):
            around = foot[:2] + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
            places = self._ground.to_ground(camera, around)
            if np.isfinite(places).all():
                jacobian = (places[1:] - places[0]).T
                covariance = jacobian @ jacobian.T * (_PIXEL_NOISE + _SIZE_NOISE * foot[2]) ** 2
                inverse = np.linalg.inv(covariance + 1e-6 * np.eye(2))
                information += inverse
                weighted += inverse @ places[0]
        if not information.any():
            return None
        covariance = np.linalg.inv(information)
        return covariance @ weighted, float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))


def _speed(place: npt.NDArray[np.float64], newest: int, at: Callable[[int], Fused | None]) -> float | None:
    """Metres per second since the earliest known of the last moments."""
    for moments in range(_SPEED_SLOTS, 0, -1):
        if (before := at(newest + moments)) is not None:
            return round(float(np.linalg.norm(place - before[0])) / (moments * SLOT_NS * 1e-9), 2)
    return None
