"""The fan-out: the newest picture of each camera, fetched once for all viewers.

There is no queue: a viewer gets the newest picture when it is ready for one. A viewer that is slower than the camera
skips pictures, which is counted, and does not delay the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from services.streamer.wall_format import wall_message
from shared.frames import FrameEntry

FRESH_S = 1.0
"""If a camera was read from Redis within this time, its stored picture counts as the newest."""

PLACEHOLDER_EVERY_S = 1.0

BOUNDARY = "mtmc-picture"
"""What separates the parts of an MJPEG stream."""


def picture_headers(picture: FrameEntry) -> dict[str, str]:
    """The headers that tell which picture it is: its tick, and its site time as seconds since 1970, in UTC."""
    seconds, ns = divmod(picture.time_ns, 1_000_000_000)
    return {"X-Mtmc-Tick": str(picture.tick), "X-Mtmc-Capture-Time": f"{seconds}.{ns:09d}"}


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

    @cached_property
    def part(self) -> bytes:
        """The part of a `multipart/x-mixed-replace` for all viewers.

        The delimiter directly follows its part, because browsers show a part only after its end.
        """
        about = {"X-Mtmc-Placeholder": "1"} if self.picture is None else picture_headers(self.picture)
        headers = {"Content-Type": "image/jpeg", "Content-Length": str(len(self.jpeg)), **about}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        return b"".join((head.encode(), self.jpeg, f"\r\n--{BOUNDARY}\r\n".encode()))

    @cached_property
    def wall_message(self) -> bytes:
        """The message of `/wall.stream` for all live pages; not for placeholders.

        `boxes` are in pixels of the published picture, which has `width` and `height`, however wide the JPEG is.
        """
        picture = self.picture
        assert picture is not None
        header = {
            "type": "picture",
            "camera": picture.camera,
            "tick": picture.tick,
            "time_ns": str(picture.time_ns),
            "width": picture.width,
            "height": picture.height,
            "boxes": picture.boxes,
        }
        return wall_message(header, self.jpeg)


class _Slot:
    def __init__(self, lock: threading.RLock) -> None:
        self.condition = threading.Condition(lock)
        self.picture: FrameEntry | None = None
        self.received_at = 0.0
        self.read_at = 0.0
        self.count = 0
        self.version = 0
        self.shown: Shown | None = None
        self.pictured: Shown | None = None
        """The newest picture, whether a placeholder is shown instead or not."""
        self.placeholder_at = 0.0

    def show(self, jpeg: bytes, picture: FrameEntry | None) -> None:
        self.version += 1
        self.shown = Shown(self.version, self.count, jpeg, picture)


class Pictures:
    """The newest picture or placeholder of every camera. One lock for all, held only while swapping references."""

    def __init__(self, on_shown: Callable[[str], None] = lambda camera: None) -> None:
        """`on_shown` is called with the camera whenever it shows something new, or has been read or forgotten."""
        self._on_shown = on_shown
        self._lock = threading.RLock()
        self._slots: dict[str, _Slot] = {}
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
            slot.pictured = slot.shown
        self._on_shown(picture.camera)

    def was_read(self, cameras: Collection[str], begun_at: float) -> None:
        """Records that all pictures that Redis had of these cameras at `begun_at` (monotonic seconds) were put."""
        stale: list[str] = []
        with self._lock:
            for camera in cameras:
                slot = self._slot(camera)
                if slot.read_at < begun_at - FRESH_S:
                    stale.append(camera)
                slot.read_at = begun_at
                slot.condition.notify_all()
        for camera in stale:
            self._on_shown(camera)

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
        self._on_shown(camera)

    def end_placeholder(self, camera: str) -> None:
        """Shows the newest picture again in place of a placeholder, because the camera is live."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            if slot.picture is None or slot.read_at < fresh_from:
                return
            if slot.shown is not None and slot.shown.picture is not None:
                return
            slot.show(slot.picture.jpeg, slot.picture)
        self._on_shown(camera)

    def forget_all_but(self, cameras: Collection[str]) -> list[str]:
        """Drops the cameras that the site no longer has, and returns their names."""
        with self._lock:
            gone = [name for name in self._slots if name not in cameras]
            for camera in gone:
                del self._slots[camera]
        for camera in gone:
            self._on_shown(camera)
        return gone

    def close(self) -> None:
        """Ends every wait, now and later, and all streams."""
        with self._lock:
            self.closed = True
            for slot in self._slots.values():
                slot.condition.notify_all()
            cameras = list(self._slots)
        for camera in cameras:
            self._on_shown(camera)

    # -- for the viewers ---------------------------------------------------------------------------
    def open(self, camera: str) -> None:
        """Prepares a camera for a new viewer: a picture that was not refreshed recently is not shown as if new."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            if slot.read_at < fresh_from:
                slot.shown = None

    def shown(self, camera: str) -> Shown | None:
        """What a viewer of `camera` should see now; None if nothing is known yet."""
        with self._lock:
            slot = self._slots.get(camera)
            return None if slot is None else slot.shown

    def newest(self, camera: str, timeout_s: float = 0.0) -> FrameEntry | None:
        """The newest picture of a camera; waits up to `timeout_s` until it was read from Redis recently."""
        fresh_from = time.monotonic() - FRESH_S
        with self._lock:
            slot = self._slot(camera)
            slot.condition.wait_for(lambda: self.closed or slot.read_at >= fresh_from, timeout_s)
            return slot.picture

    def pictured(self, camera: str) -> Shown | None:
        """The newest picture of a camera, however old."""
        with self._lock:
            slot = self._slots.get(camera)
            return None if slot is None else slot.pictured

    def after(self, camera: str, version: int, fresh_from: float) -> Shown | None:
        """The newest picture, if it is not `version` and was read after `fresh_from` (monotonic seconds).

        The versions begin anew if the camera was removed from the site and added again.
        """
        with self._lock:
            slot = self._slot(camera)
            pictured = slot.pictured
            if pictured is None or pictured.version == version or slot.read_at < fresh_from:
                return None
            return pictured
