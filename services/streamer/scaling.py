"""Pictures at the widths that viewers ask for: each is scaled once for all viewers of a camera and a width.

Threads scale; nothing waits for them but the viewers of that width. If they cannot keep up, those viewers skip
pictures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import structlog

from services.streamer.pictures import Shown

_log = structlog.get_logger()

WIDTHS = (160, 240, 320, 480, 640, 800, 960, 1280, 1600, 1920, 2560, 3840)
"""The widths that pictures are scaled to, in pixels: few, so that viewers share them."""
_REDUCTIONS = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
_THREADS = 2
_RECENT_S = 0.5
"""How long a scaled picture may be shown after a newer one has arrived: where scaling cannot keep up, there is always
a newer one."""


def step_up(width: int) -> int:
    """The smallest of `WIDTHS` that is not below `width`, or the largest one."""
    return next((each for each in WIDTHS if each >= width), WIDTHS[-1])


def scaled_jpeg(jpeg: bytes, width: int, quality: int, width_before: int = 0) -> bytes:
    """The picture at `width` pixels; as it is if it is not wider, or cannot be decoded.

    With its present width, `width_before`, a much wider one is decoded at a half, a quarter or an eighth, which is
    faster, and one that is not wider is not decoded.
    """
    if 0 < width_before <= width:
        return jpeg
    flag = next((flag for factor, flag in _REDUCTIONS if width_before >= factor * width), cv2.IMREAD_COLOR)
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flag)
    if image is None or image.shape[1] < width or (flag == cv2.IMREAD_COLOR and image.shape[1] == width):
        return jpeg
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    encoded, result = cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert encoded
    return bytes(result.tobytes())


def wall_topic(width: int) -> Hashable:
    """The topic of what changes for live pages whose pictures have this width."""
    return ("wall", width)


class ScaledPictures:
    """The pictures of one camera at one width, for all viewers that have them open."""

    def __init__(
        self, camera: str, width: int, scale: Callable[[ScaledPictures, Shown], None], *, for_walls: bool = False
    ) -> None:
        """`for_walls`: pictures only, no placeholders, and a topic that all cameras share."""
        self.camera, self.width, self.for_walls = camera, width, for_walls
        self.topic: Hashable = wall_topic(width) if for_walls else (camera, width)
        self.viewers = 0
        self._scale = scale
        self._lock = threading.Lock()
        self._scaled: Shown | None = None
        self._done_at = 0.0
        self._is_busy = False
        self._is_wanted = False

    def newest(self, shown: Shown | None, version: int) -> Shown | None:
        """The newest scaled picture if it is not `version`; otherwise has `shown` scaled, or the next one.

        None: `topic` is announced once there is one.
        """
        with self._lock:
            scaled = self._scaled
            # A page may have got a newer one at another width.
            is_older = shown is not None and scaled is not None and scaled.version < version < shown.version
            if scaled is not None and scaled.version != version and not is_older:
                is_newest = shown is not None and shown.version == scaled.version
                if is_newest or time.monotonic() - self._done_at < _RECENT_S:
                    return scaled
            self._is_wanted = True
        if shown is not None:
            self.arrived(shown)
        return None

    def arrived(self, shown: Shown) -> None:
        """Has `shown` scaled if a viewer waits for a picture, and none is being scaled."""
        with self._lock:
            is_new = self._scaled is None or self._scaled.version != shown.version
            if not (self._is_wanted and is_new) or self._is_busy:
                return
            self._is_busy, self._is_wanted = True, False
        self._scale(self, shown)

    def done(self, scaled: Shown) -> None:
        """Stores what was scaled."""
        with self._lock:
            self._is_busy = False
            self._scaled, self._done_at = scaled, time.monotonic()


class Scaling:
    """The scaled pictures of all cameras. Safe to use from any thread."""

    def __init__(self, quality: int, announce: Callable[[Hashable], None]) -> None:
        """`quality`: of the JPEGs. `announce` is called with the topic of what was scaled."""
        self._quality, self._announce = quality, announce
        self._lock = threading.Lock()
        self._open: dict[tuple[str, int, bool], ScaledPictures] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="scaling")

    def once(self, jpeg: bytes, width: int, width_before: int = 0) -> bytes:
        """Scales in the calling thread; see `scaled_jpeg`."""
        return scaled_jpeg(jpeg, width, self._quality, width_before)

    def open(self, camera: str, width: int, *, for_wall: bool = False) -> ScaledPictures:
        """Counts a viewer; `left` ends it."""
        with self._lock:
            found = self._open.get((camera, width, for_wall))
            if found is None:
                found = ScaledPictures(camera, width, self._submit, for_walls=for_wall)
                self._open[camera, width, for_wall] = found
            found.viewers += 1
            return found

    def left(self, scaled: ScaledPictures) -> None:
        """The reverse of `open`."""
        with self._lock:
            scaled.viewers -= 1
            if not scaled.viewers:
                del self._open[scaled.camera, scaled.width, scaled.for_walls]

    def arrived(self, camera: str, shown: Shown | None, pictured: Shown | None) -> None:
        """To be called when `camera` shows something new; `pictured` is its newest picture."""
        with self._lock:
            waiting = [scaled for scaled in self._open.values() if scaled.camera == camera]
        for scaled in waiting:
            newest = pictured if scaled.for_walls else shown
            if newest is not None:
                scaled.arrived(newest)
            else:
                self._announce(scaled.topic)

    def _submit(self, scaled: ScaledPictures, shown: Shown) -> None:
        width_before = 0 if shown.picture is None else shown.picture.width
        if 0 < width_before <= scaled.width:
            scaled.done(shown)
            self._announce(scaled.topic)
            return

        def scale() -> None:
            try:
                scaled.done(replace(shown, jpeg=self.once(shown.jpeg, scaled.width, width_before)))
            except cv2.error:
                _log.exception("a picture cannot be scaled", camera=scaled.camera, width=scaled.width)
                scaled.done(shown)
            self._announce(scaled.topic)

        self._threads.submit(scale)

    def close(self) -> None:
        """Stops scaling."""
        self._threads.shutdown(wait=False, cancel_futures=True)
