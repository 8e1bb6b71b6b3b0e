"""Adds cameras to a running site and removes them, again and again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from launcher.running_cameras import remove_from_site
from launcher.site_access import OpenSite
from shared.camera_config import CameraConfig
from shared.camera_settings import add_camera

_PRESENT = 3
_LIVE_WITHIN_S = 8.0
_AT_ONCE_EVERY = 4
"""Every fourth camera is removed without waiting until it is live, so mostly while it is being prepared."""
_REUSED_NAMES = 5
PREFIX = "extra-"


class ChangingCameras:
    """Cameras that come and go. Half of their names are new, and half were used before."""

    def __init__(self, site: OpenSite, sources: Sequence[str]) -> None:
        """`sources` are used in turn."""
        self._site, self._sources = site, sources
        self._present: deque[tuple[str, float]] = deque()
        self.added = self.were_live = 0
        self._unserved: set[str] = set()
        """The cameras whose source is a stream, which nobody serves."""

    def change(self) -> bool:
        """Adds one camera, and removes the oldest if there are more than three. Returns False if it is too early."""
        if len(self._present) >= _PRESENT:
            name, since = self._present[0]
            is_live = self._site.client.hget(self._site.keys.camera(name), "state") == b"live"
            can_wait = self.added % _AT_ONCE_EVERY and time.monotonic() - since < _LIVE_WITHIN_S
            if can_wait and not is_live and name not in self._unserved:
                return False
            self.were_live += is_live
            self.remove_oldest()
        self._add()
        return True

    def _add(self) -> None:
        number = self.added
        self.added += 1
        name = f"{PREFIX}{number}" if number % 2 else f"{PREFIX}again-{number // 2 % _REUSED_NAMES}"
        source = self._sources[number % len(self._sources)]
        is_file = "://" not in source
        camera = CameraConfig(name=name, source=source, loop=is_file)
        tick = int(self._site.client.get(self._site.keys.tick) or 0)
        add_camera(self._site.client, self._site.keys, camera, origin_tick=tick if is_file else None)
        self._present.append((name, time.monotonic()))
        (self._unserved.discard if is_file else self._unserved.add)(name)

    def remove_oldest(self) -> None:
        """Removes the camera that was added first."""
        remove_from_site(self._site, [self._present.popleft()[0]])

    def remove_all(self) -> None:
        """Removes all that are left."""
        while self._present:
            self.remove_oldest()

    def leftovers(self) -> list[str]:
        """The keys of removed cameras, and what other keys still say of them. A key of pictures may still expire."""
        client, keys = self._site.client, self._site.keys
        pictures_of = keys.frames(PREFIX)
        named = (key.decode() for key in client.scan_iter(f"{keys.everything}{PREFIX}*", count=1000))
        found = [key for key in named if not key.startswith(pictures_of)]
        for key in (keys.cameras, keys.epochs):
            found += [f"{key} {name.decode()}" for name in client.hkeys(key) if PREFIX.encode() in name]
        for key in (keys.seen, keys.marked_at, keys.viewers):
            found += [f"{key} {name.decode()}" for name in client.zrange(key, 0, -1) if PREFIX.encode() in name]
        with self._site.address.pictures(client) as frames:
            pictures = list(frames.scan_iter(f"{pictures_of}*", count=1000))
            found += [key.decode() for key in pictures if frames.ttl(key) < 0]
        return sorted(found)
