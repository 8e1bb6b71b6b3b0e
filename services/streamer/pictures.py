"""The fan-out: the newest picture of each camera, fetched once for all viewers.

There is no queue: a viewer gets the newest picture when it is ready for one. A viewer that is slower than the camera
skips pictures, which is counted, and does not delay the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

from shared.frames import FrameEntry

FRESH_S = 1.0
"""If a camera was read from Redis within this time, its stored picture counts as the newest."""

PLACEHOLDER_EVERY_S = 1.0


@dataclass(frozen=True)
class Shown:
    """What a viewer should see now."""

    version: int
    """Increases with each picture or placeholder that is shown for this camera."""
    count: int
    """Number of pictures of the camera in this process, including this one."""
    jpeg: bytes
    picture: FrameEntry | None
    """None if it is a placeholder."""


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
    """The newest picture or placeholder of every camera. One lock for all, held only while swapping references."""

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

    # -- for the producers -------------------------------------------------------------------------
    def put(self, picture: FrameEntry) -> None:
        """Stores and shows a new picture."""
        with self._lock:
            slot = self._slot(picture.camera)
            slot.picture, slot.received_at = picture, time.monotonic()
            slot.count += 1
            slot.show(picture.jpeg, picture)
            self._total += 1
            self._any.notify_all()

    def was_read(self, cameras: Collection[str], begun_at: float) -> None:
        """Records that all pictures that Redis had of these cameras at `begun_at` (monotonic seconds) were put."""
        with self._lock:
            for camera in cameras:
                slot = self._slot(camera)
                slot.read_at = begun_at
                slot.condition.notify_all()
            self._any.notify_all()

    def put_placeholder(self, camera: str, jpeg: bytes, judged_at: float) -> None:
        """Shows the placeholder `jpeg`: immediately if it is a different object than before, else every second at most.

        Ignored if a picture has arrived after `judged_at` (monotonic seconds): the placeholder is then outdated.
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
        """Shows the newest picture again in place of a placeholder, because the camera is live."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            if slot.picture is None or slot.read_at < fresh_from:
                return
            if slot.shown is None or slot.shown.picture is None:
                slot.show(slot.picture.jpeg, slot.picture)

    def forget_all_but(self, cameras: Collection[str]) -> list[str]:
        """Drops the cameras that the site no longer has, and returns their names."""
        with self._lock:
            gone = [name for name in self._slots if name not in cameras]
            for camera in gone:
                del self._slots[camera]
            return gone

    def close(self) -> None:
        """Ends every wait, now and later."""
        with self._lock:
            self.closed = True
            for slot in self._slots.values():
                slot.condition.notify_all()
            self._any.notify_all()

    # -- for the viewers ---------------------------------------------------------------------------
    def open(self, camera: str) -> None:
        """Prepares a camera for a new viewer: a picture that was not refreshed recently is not shown as if new."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            if slot.read_at < fresh_from:
                slot.shown = None

    def wait(self, camera: str, version: int, timeout_s: float) -> Shown | None:
        """Waits until `camera` shows something newer than `version`; None after `timeout_s` or once closed."""
        with self._lock:
            slot = self._slot(camera)
            slot.condition.wait_for(
                lambda: self.closed or (slot.shown is not None and slot.shown.version != version), timeout_s
            )
            shown = slot.shown
        return None if self.closed or shown is None or shown.version == version else shown

    def newest(self, camera: str, timeout_s: float = 0.0) -> FrameEntry | None:
        """The newest picture of a camera; waits up to `timeout_s` until it was read from Redis recently."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            slot.condition.wait_for(lambda: self.closed or slot.read_at >= fresh_from, timeout_s)
            return slot.picture

    def after(self, camera: str, count: int, fresh_from: float) -> tuple[int, FrameEntry] | None:
        """The number and the newest picture, if the number is not `count` and it was read after `fresh_from`.

        The numbers begin anew if the camera was removed from the site and added again.
        """
        with self._lock:
            slot = self._slot(camera)
            if slot.picture is None or slot.count == count or slot.read_at < fresh_from:
                return None
            return slot.count, slot.picture

    def wait_for_any(self, total: int, timeout_s: float) -> int:
        """Waits for a picture of any camera; returns the total number put so far, to pass as the next `total`."""
        with self._lock:
            self._any.wait_for(lambda: self.closed or self._total != total, timeout_s)
            return self._total
