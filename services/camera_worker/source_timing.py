"""The site time at which the media time of each camera's source begins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.camera_config import CameraConfig
from shared.gate import Progress
from shared.lenient_reads import text_at
from shared.lenient_values import whole
from shared.redis_connection import Client
from shared.site import PublishedSite
from shared.site_time import SiteTime
from vision.video.timing import Timing


class SourceTimings:
    """All files of a site begin at the same tick, the one after the first of them was claimed.

    The exception is a camera that was added with its own starting tick (`origin` in `camera:{camera}`).
    """

    def __init__(self, client: Client, site: PublishedSite, site_time: SiteTime) -> None:
        self._client, self._site, self._keys = client, site, site.keys
        self._site_time = site_time

    def of(self, config: CameraConfig, progress: Progress) -> Timing:
        """The mapping from the time of a camera's source to site time; `progress` is the present state of the site.

        Raises:
            RedisError: Redis is unreachable.
        """
        offset = config.time_offset_seconds
        if offset is None:
            offset = self._layout_value(self._site.layout.offset, config.name, 0.0)
        offset_ns = round(offset * 1e9)
        if not config.is_file:
            return Timing(0, offset_ns, 1.0)
        origin = whole(self._client.hget(self._keys.camera(config.name), "origin"))
        if origin is None:
            origin = self._common_origin(progress.tick)
        scale = config.time_scale or self._layout_value(self._site.layout.scales, config.name, 1.0)
        ticks = origin - progress.tick
        begin_ns = self._site_time.steady_ns(progress.time_ns) + round(ticks * 1e9 / self._site.config.clock.target_fps)
        return Timing(begin_ns + offset_ns, 0, scale)

    def _common_origin(self, tick: int) -> int:
        """The tick at which the site's files begin; the one after `tick` if none is known, or it cannot be read."""
        self._client.set(self._keys.files_origin, tick + 1, nx=True)
        origin = whole(text_at(self._client, self._keys.files_origin))
        if origin is not None and 0 <= origin <= tick + 1:
            return origin
        self._client.set(self._keys.files_origin, tick + 1)
        return tick + 1

    def _layout_value(self, values: npt.NDArray[np.float64] | None, name: str, default: float) -> float:
        if values is None or name not in self._site.layout.cameras:
            return default
        return float(values[self._site.layout.cameras.index(name)])
