"""Placeholder pictures: the last picture darkened, or a plain background, with the reason as text."""

from __future__ import annotations

import textwrap
import threading
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from shared.site_state.states import CameraState, State

Image = npt.NDArray[np.uint8]

_PLAIN_SIZE = (640, 360)
_GROUND_BGR = (38, 30, 26)
_TEXT_BGR = (240, 236, 232)
_SOFT_TEXT_BGR = (190, 182, 174)
# The colours of static/wall.css, as BGR.
_ACCENT_BGR: dict[State, tuple[int, int, int]] = {
    "live": (128, 196, 74),
    "starting": (232, 170, 96),
    "waiting": (232, 170, 96),
    "stalled": (60, 176, 245),
    "frozen": (60, 176, 245),
    "blank": (60, 176, 245),
    "moving": (60, 176, 245),
    "moved": (60, 176, 245),
    "down": (96, 96, 240),
    "ended": (176, 168, 160),
    "paused": (176, 168, 160),
}
_TITLES: dict[State, str] = {
    "live": "live",
    "starting": "starting",
    "waiting": "waiting",
    "stalled": "stalled",
    "frozen": "frozen",
    "blank": "blank picture",
    "moving": "moving",
    "moved": "moved",
    "down": "no signal",
    "ended": "ended",
    "paused": "paused",
}
_FONT = cv2.FONT_HERSHEY_DUPLEX
_DARKENING = 0.3
_LINES = 3


def rendered(camera: str, state: State, message: str, last_jpeg: bytes | None, quality: int = 80) -> bytes:
    """A JPEG with the camera's name, its state and the `message`, of the same size as `last_jpeg`."""
    image = _ground(last_jpeg)
    height, width = image.shape[:2]
    unit = min(width, height * 16 / 9) / 640
    _panel(image, unit)
    centre_y = height / 2
    _centred(image, camera, centre_y - 40 * unit, 1.0 * unit, _TEXT_BGR)
    _centred(image, _TITLES[state].upper(), centre_y - 6 * unit, 0.6 * unit, _ACCENT_BGR[state])
    if message != _TITLES[state]:
        ascii_message = message.encode("ascii", "replace").decode()
        lines = textwrap.wrap(ascii_message, width=60, max_lines=_LINES, placeholder=" ...")
        for number, line in enumerate(lines):
            _centred(image, line, centre_y + (24 + 22 * number) * unit, 0.46 * unit, _SOFT_TEXT_BGR)
    encoded, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert encoded
    return bytes(jpeg.tobytes())


def _ground(last_jpeg: bytes | None) -> Image:
    image = None
    if last_jpeg:
        image = cv2.imdecode(np.frombuffer(last_jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return np.full((_PLAIN_SIZE[1], _PLAIN_SIZE[0], 3), _GROUND_BGR, np.uint8)
    darkened: Image = cv2.convertScaleAbs(image, alpha=_DARKENING)
    return darkened


def _panel(image: Image, unit: float) -> None:
    """Darkens a band behind the text, so that it is readable on any picture."""
    middle = image.shape[0] / 2
    top, bottom = max(0, round(middle - 80 * unit)), round(middle + 90 * unit)
    band = image[top:bottom]
    band[:] = cv2.addWeighted(band, 0.35, np.full_like(band, _GROUND_BGR), 0.65, 0)


def _centred(image: Image, text: str, y: float, scale: float, colour: tuple[int, int, int]) -> None:
    """Writes `text` centred with its baseline at `y`, scaled down if it does not fit."""
    width = image.shape[1]
    needed = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    scale *= min(1.0, 0.92 * width / max(1, needed))
    thickness = max(1, round(1.2 * scale))
    needed = cv2.getTextSize(text, _FONT, scale, thickness)[0][0]
    cv2.putText(image, text, (round((width - needed) / 2), round(y)), _FONT, scale, colour, thickness, cv2.LINE_AA)


@dataclass(frozen=True)
class _Rendered:
    state: State
    message: str
    last_jpeg: bytes | None
    jpeg: bytes


class Placeholders:
    """The placeholder of each camera, rendered once for all viewers."""

    def __init__(self, quality: int = 80) -> None:
        self._quality = quality
        self._lock = threading.Lock()
        self._cache: dict[str, _Rendered] = {}

    def forget(self, camera: str) -> None:
        """Drops the placeholder of a camera that was removed from the site."""
        with self._lock:
            self._cache.pop(camera, None)

    def jpeg(self, camera: CameraState, last_jpeg: bytes | None) -> bytes:
        """The placeholder of a camera that is not live; the same object while nothing changes."""
        with self._lock:
            cached = self._cache.get(camera.name)
            if (
                cached is None
                or (cached.state, cached.message) != (camera.state, camera.message)
                or cached.last_jpeg is not last_jpeg
            ):
                jpeg = rendered(camera.title or camera.name, camera.state, camera.message, last_jpeg, self._quality)
                cached = self._cache[camera.name] = _Rendered(camera.state, camera.message, last_jpeg, jpeg)
            return cached.jpeg
