"""The lamps of the traffic light, as one camera sees them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demo.background import Background
from demo.fixtures import footprint_of, lamps_of
from demo.geometry import NEAR_M, Floats, SceneCamera
from demo.light import sensed
from demo.occlusion import Footprint
from demo.scenery import Scenery

_LAMP_RADIUS_M = 0.15
_SHIFT = 4
_COLOURS = {"red": (40.0, 40.0, 250.0), "yellow": (40.0, 200.0, 250.0), "green": (120.0, 230.0, 60.0)}
_STATES = tuple(_COLOURS)


@dataclass(frozen=True)
class SignalInView:
    """A traffic signal whose lamps a camera sees."""

    arm: str
    lamps_px: Floats
    """`(3, 2)`: red, yellow, green."""
    radius_px: float
    colours: Floats
    """`(3, 3)` BGR as sensed."""

    def light_up(self, image: npt.NDArray[np.uint8], state: str) -> None:
        which = _STATES.index(state)
        x, y = np.rint(self.lamps_px[which] * (1 << _SHIFT)).astype(int).tolist()
        radius = round(self.radius_px * (1 << _SHIFT))
        cv2.circle(image, (x, y), radius, self.colours[which].tolist(), cv2.FILLED, cv2.LINE_AA, _SHIFT)


def signals_in_view(scenery: Scenery, camera: SceneCamera, background: Background) -> list[SignalInView]:
    """The signals that face the camera and are not hidden."""
    found = []
    for signal in scenery.signals:
        pixels, depth = camera.project(lamps_of(signal))
        facing = np.array([np.cos(signal.heading), np.sin(signal.heading)])
        towards = np.array(camera.position[:2]) - (signal.x, signal.y)
        middle = pixels[1]
        inside = 0 <= middle[0] < camera.width and 0 <= middle[1] < camera.height
        if depth.min() < NEAR_M or not inside or facing @ towards < 0.3 * np.linalg.norm(towards):
            continue
        number = background.front[int(middle[1]), int(middle[0])]
        if number >= 0 and background.footprints[number] == Footprint.of(footprint_of(signal)):
            radius = max(0.9, float(camera.intrinsic[0, 0] * _LAMP_RADIUS_M / depth[1]))
            colours = sensed(camera, np.array(list(_COLOURS.values())))
            found.append(SignalInView(signal.arm, pixels, radius, colours))
    return found
