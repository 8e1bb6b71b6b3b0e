"""The fan-out: the newest picture of each camera, fetched once, and who waits for it.

There is no queue: a viewer gets the newest picture when it is ready for one. Whoever is slower than the camera skips
pictures, which is counted, and delays nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

from shared.frames import FrameEntry

FRESH_S = 1.0
"""Pictures of a camera that was read from Redis so recently are the newest there are."""

PLACEHOLDER_EVERY_S = 1.0


@dataclass(frozen=True)
class Shown:
    """What a viewer is to see now."""

    version: int
    """Grows with everything that is shown of this camera."""
    count: int
    """How many pictures the camera has had in this process, this one included."""
    jpeg: bytes
    picture: FrameEntry | None
    """None: a placeholder."""


class _Slot:
    def __init__(self, lock: threading.RLock) -> None:
        self.condition = threading.Condition(lock)
        self.picture: FrameEntry | None = None
        self.received_at = 0.0
        self.read_at = 0.0
        self.count = 0
        self.version = 0
        self.shown: Shown | None = None
        self.placeholder_at = 0.0

    def show(self, jpeg: bytes, picture: FrameEntry | None) -> None:
        self.version += 1
        self.shown = Shown(self.version, self.count, jpeg, picture)
        self.condition.notify_all()


class Pictures:
    """What every camera shows. One lock for all: it is held for the handing over of references only."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._any = threading.Condition(self._lock)
        self._slots: dict[str, _Slot] = {}
        self._total = 0
        self.closed = False

    def _slot(self, camera: str) -> _Slot:
        slot = self._slots.get(camera)
        if slot is None:
            slot = self._slots[camera] = _Slot(self._lock)
        return slot

    # -- for who brings the pictures ---------------------------------------------------------------
    def put(self, picture: FrameEntry) -> None:
        """A new picture is there."""
        with self._lock:
            slot = self._slot(picture.camera)
            slot.picture, slot.received_at = picture, time.monotonic()
            slot.count += 1
            slot.show(picture.jpeg, picture)
            self._total += 1
            self._any.notify_all()

    def was_read(self, cameras: Collection[str], begun_at: float) -> None:
        """All that Redis had of these cameras at `begun_at` (monotonic) has been put."""
        with self._lock:
            for camera in cameras:
                slot = self._slot(camera)
                slot.read_at = begun_at
                slot.condition.notify_all()
            self._any.notify_all()

    def put_placeholder(self, camera: str, jpeg: bytes, judged_at: float) -> None:
        """Shows `jpeg` in the picture's place: at once when it is another than before, else at most once a second.

        Nothing happens when a picture has come after `judged_at` (monotonic): the judgement is then out of date.
        """
        now = time.monotonic()
        with self._lock:
            slot = self._slot(camera)
            same = slot.shown is not None and slot.shown.jpeg is jpeg
            if slot.received_at > judged_at or (same and now - slot.placeholder_at < PLACEHOLDER_EVERY_S):
                return
            slot.placeholder_at = now
            slot.show(jpeg, None)

    def end_placeholder(self, camera: str) -> None:
        """The camera is fine: shows its newest picture where nothing or a placeholder stands."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            if slot.picture is None or slot.read_at < fresh_from:
                return
            if slot.shown is None or slot.shown.picture is None:
                slot.show(slot.picture.jpeg, slot.picture)

    def forget_all_but(self, cameras: Collection[str]) -> None:
        """Drops what is remembered of cameras that the site no longer has."""
        with self._lock:
            for camera in [name for name in self._slots if name not in cameras]:
                del self._slots[camera]

    def close(self) -> None:
        """Ends every wait, now and later."""
        with self._lock:
            self.closed = True
            for slot in self._slots.values():
                slot.condition.notify_all()
            self._any.notify_all()

    # -- for who looks at them ---------------------------------------------------------------------
    def open(self, camera: str) -> None:
        """A viewer begins to watch: what nobody has looked at for a while is not shown as if it were new."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            if slot.read_at < fresh_from:
                slot.shown = None

    def wait(self, camera: str, version: int, timeout_s: float) -> Shown | None:
        """What is shown of `camera` once it is another than `version`; None after `timeout_s` or at the end."""
        with self._lock:
            slot = self._slot(camera)
            slot.condition.wait_for(
                lambda: self.closed or (slot.shown is not None and slot.shown.version != version), timeout_s
            )
            shown = slot.shown
        return None if self.closed or shown is None or shown.version == version else shown

    def newest(self, camera: str, timeout_s: float = 0.0) -> FrameEntry | None:
        """The newest picture of a camera; waits until Redis was asked for it, at most `timeout_s`."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            slot.condition.wait_for(lambda: self.closed or slot.read_at >= fresh_from, timeout_s)
            return slot.picture

    def after(self, camera: str, count: int, fresh_from: float) -> tuple[int, FrameEntry] | None:
        """The newest picture and its number if that is beyond `count` and read after `fresh_from`."""
        with self._lock:
            slot = self._slot(camera)
            if slot.picture is None or slot.count <= count or slot.read_at < fresh_from:
                return None
            return slot.count, slot.picture

    def wait_for_any(self, total: int, timeout_s: float) -> int:
        """Waits for a picture of any camera; returns the number of pictures ever put: the next call's `total`."""
        with self._lock:
            self._any.wait_for(lambda: self.closed or self._total != total, timeout_s)
            return self._total
