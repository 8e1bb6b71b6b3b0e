"""Where identities are on the ground, fused over the calibrated cameras that see them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from association.ground import Floats, Ground
from association.motion import SLOT_NS, SLOTS, MotionHistory

_PIXEL_NOISE, _SIZE_NOISE = 1.5, 0.07
"""Standard deviation of a foot: pixels, and share of the size of its box. Measured on the demo, 6 to 8 % of the box."""
_SPEED_SLOTS = 4
"""The speed is measured over this many moments, if they are known."""
_HIDDEN_SLOTS = 6
"""An object that no camera shows keeps its position for this many moments."""
_SPEED_NOISE_M, _SPEED_NOISE = 0.5, 0.3
"""Standard deviation of the speed of a hidden object: metres per second, and share of its speed."""
_LEAST_VARIANCE = 1e-6
"""Square metres; so that every covariance can be inverted."""


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

    def of(self, groups: Sequence[Sequence[int]]) -> list[Position | None]:
        """The position of each object; None if no calibrated camera shows, or has just shown, where it stands.

        The places that several cameras show at one moment are averaged, weighted by their covariances. An object that
        is hidden moves on as before, ever less certain.

        Args:
            groups: rows of the live tracks of each object.
        """
        count = 2 + _HIDDEN_SLOTS + _SPEED_SLOTS
        information, weighted = np.zeros((len(groups), count, 2, 2)), np.zeros((len(groups), count, 2))
        group_of = {row: number for number, rows in enumerate(groups) for row in rows}
        columns = (self._motion.now - np.arange(count)) % SLOTS
        for camera, (rows, places) in sorted(self._motion.recent().items()):
            wanted = [at for at, row in enumerate(rows.tolist()) if row in group_of]
            if camera in self._ground and wanted:
                numbers = [group_of[row] for row in rows[wanted].tolist()]
                here, precisions = self._on_ground(camera, places.feet[wanted][:, columns])
                np.add.at(information, numbers, precisions)
                np.add.at(weighted, numbers, (precisions @ here[..., None])[..., 0])
        known = np.linalg.det(information) > 0
        covariances = np.linalg.inv(np.where(known[..., None, None], information, np.eye(2)))
        centres = (covariances @ weighted[..., None])[..., 0]
        deviations = np.sqrt(np.linalg.eigvalsh(covariances)[..., -1])
        return [_position(*parts) for parts in zip(known, centres, deviations, strict=True)]

    def _on_ground(self, camera: int, feet: Floats) -> tuple[Floats, Floats]:
        """Places in metres and inverses of their covariances: `(n, S, 3)` to `(n, S, 2)` and `(n, S, 2, 2)`.

        Both are 0 where nothing is known.
        """
        around = feet[..., None, :2] + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        places = self._ground.to_ground(camera, around.reshape(-1, 2)).reshape(around.shape)
        known = np.isfinite(places.sum(axis=(-1, -2)))
        places = np.where(known[..., None, None], places, 0.0)
        jacobians = np.swapaxes(places[..., 1:, :] - places[..., :1, :], -1, -2)
        noise = (_PIXEL_NOISE + _SIZE_NOISE * np.where(known, feet[..., 2], 0.0)) ** 2
        covariances = jacobians @ np.swapaxes(jacobians, -1, -2) * noise[..., None, None] + _LEAST_VARIANCE * np.eye(2)
        return places[..., 0, :], np.where(known[..., None, None], np.linalg.inv(covariances), 0.0)


def _position(known: npt.NDArray[np.bool_], centres: Floats, deviations: Floats) -> Position | None:
    """The position of one object, from what is known of it at the newest moments, the newest first.

    Args:
        known: `(S,)`: whether its place is known.
        centres: `(S, 2)`, metres.
        deviations: `(S,)`, metres.
    """
    moments = np.flatnonzero(known)
    if not len(moments) or moments[0] > 1 + _HIDDEN_SLOTS:
        return None
    newest = int(moments[0])
    before = moments[(moments > newest) & (moments <= newest + _SPEED_SLOTS)]
    place, deviation, speed = centres[newest], float(deviations[newest]), None
    if len(before):
        velocity = (place - centres[before[-1]]) / ((before[-1] - newest) * SLOT_NS * 1e-9)
        speed = float(np.linalg.norm(velocity))
    if newest > 1:  # The last moment may not be complete yet, so the object is hidden only from the second one on.
        hidden_s = newest * SLOT_NS * 1e-9
        place = place + velocity * hidden_s if speed is not None else place
        deviation = float(np.hypot(deviation, hidden_s * (_SPEED_NOISE_M + _SPEED_NOISE * (speed or 0.0))))
    x, y = (round(float(value), 2) for value in place)
    return Position(x, y, round(deviation, 2), None if speed is None else round(speed, 2))
