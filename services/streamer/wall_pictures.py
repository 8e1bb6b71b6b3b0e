"""The pictures of one live page: those of the cameras that it shows, at the width that its connection can take."""

from __future__ import annotations

import time
from collections.abc import Hashable

from services.streamer.link_fit import LinkFit
from services.streamer.pace import Pace
from services.streamer.pictures import FRESH_S, Pictures, Shown
from services.streamer.scaling import WIDTHS, ScaledPictures, Scaling, wall_topic
from services.streamer.view_options import WallOptions

ANY_CAMERA = object()
"""The topic of what changes for live pages whose pictures are not scaled."""
WALL_TOPICS: tuple[Hashable, ...] = (ANY_CAMERA, *map(wall_topic, WIDTHS))


class WallPictures:
    """What one page gets next. `close` ends it."""

    def __init__(self, pictures: Pictures, scaling: Scaling, options: WallOptions) -> None:
        self._pictures, self._scaling, self._options = pictures, scaling, options
        self._fresh_from = time.monotonic() - FRESH_S
        self._fit = LinkFit(options.width, time.monotonic(), options.first_width)
        self._scaled: dict[str, ScaledPictures] = {}
        self._sent: dict[str, Shown] = {}
        self._paces: dict[str, Pace] = {}

    @property
    def width(self) -> int | None:
        """The width of its pictures now; None: as they are."""
        return self._fit.width

    @property
    def topic(self) -> Hashable:
        """What is announced when there may be a new picture."""
        return ANY_CAMERA if self.width is None else wall_topic(self.width)

    def shows(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the site's cameras that the page shows; forgets the others."""
        wanted = self._options.cameras
        shown = names if wanted is None else tuple(name for name in names if name in wanted)
        for camera in self._sent.keys() - set(shown):
            del self._sent[camera]
            self._paces.pop(camera, None)
        for camera in self._scaled.keys() - set(shown):
            self._scaling.left(self._scaled.pop(camera))
        return shown

    def next(self, camera: str) -> Shown | None:
        """The newest picture of a camera, if the page has not got it; None if there is none, or it is not scaled yet.

        The versions begin anew if the camera was removed from the site and added again.
        """
        version = self._sent[camera].version if camera in self._sent else -1
        newest = self._pictures.after(camera, version, self._fresh_from)
        if newest is None or self.width is None:
            return newest
        scaled = self._scaled.get(camera)
        if scaled is None:
            scaled = self._scaled[camera] = self._scaling.open(camera, self.width, for_wall=True)
        return scaled.newest(newest, version)

    def delay_s(self, camera: str, now: float) -> float:
        """How long to wait until the next picture of a camera is due; `now` in monotonic seconds."""
        pace = self._paces.get(camera)
        return 0.0 if pace is None else pace.delay_s(now)

    def sent(self, camera: str, shown: Shown, began_at: float, now: float, cameras: int) -> tuple[int, bool]:
        """Counts a picture that was sent between two times (monotonic seconds), to a page that shows `cameras` cameras.

        Returns the number of pictures that the page was too slow for, and whether `width` has changed.
        """
        before = self._sent.get(camera)
        self._sent[camera] = shown
        if self._options.fps is not None:
            self._paces.setdefault(camera, Pace(self._options.fps)).sent(now)
        skipped = 0 if before is None or self._options.fps is not None else max(0, shown.count - before.count - 1)
        assert shown.picture is not None
        sent_width = shown.picture.width if self.width is None else min(self.width, shown.picture.width)
        if not self._fit.sent(now - began_at, sent_width, cameras, now):
            return skipped, False
        self.close()
        return skipped, True

    def close(self) -> None:
        """Ends the scaling for this page."""
        while self._scaled:
            self._scaling.left(self._scaled.popitem()[1])
