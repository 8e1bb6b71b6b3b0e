"""Counts the boxes without a global id."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shared.config import SiteConfig
from shared.keys import Keys
from shared.redis_connection import Client
from shared.scripts import Scripts
from shared.site_state.problems import Boxes
from shared.site_state.shown_tracks import ShownTracks, entries_needed

_EVERY_S = 1.0
"""The entries are large, and Redis has to read two of each camera."""
_FIRST_EMBEDDINGS = 5
"""A worker embeds a new track at this many ticks in a row, then every `refresh_seconds`."""
_DECISION_S = 2.0
"""The live mode of the association waits for a clear decision for this long."""
_MARGIN_S = 1.5


class BoxCounts:
    """The boxes of one site, counted again once a second."""

    def __init__(self, client: Client, keys: Keys, config: SiteConfig) -> None:
        self._keys, self._scripts = keys, Scripts(client)
        self._fps, self._needed = config.clock.target_fps, config.association.min_track_frames
        self._refresh_s = config.embedder.refresh_seconds
        self._counts, self._counted_at_s = Boxes(), -math.inf

    def read(
        self, names: Sequence[str], shown: Sequence[ShownTracks | None], fps: Sequence[float | None], at_s: float
    ) -> Boxes:
        """The counts at the monotonic time `at_s`, given which tracks of each camera are shown and how fast it is.

        Raises:
            RedisError: Redis is unreachable or refuses.
        """
        if at_s - self._counted_at_s < _EVERY_S:
            return self._counts
        keys: list[str] = []
        args: list[str | int] = [entries_needed(self._fps)]
        for name, tracks, rate in zip(names, shown, fps, strict=True):
            keys += [self._keys.tracks(name), self._keys.gids(name)]
            entry_id = tracks.entry_id if tracks is not None and tracks.fresh and tracks.count else ""
            old_ms = int(entry_id.partition("-")[0]) - round(self.due_s(rate) * 1000) if entry_id else 0
            args += [entry_id, max(0, old_ms)]
        counts = self._scripts.run("boxes_without_gid", keys, args)
        self._counts, self._counted_at_s = Boxes(*(sum(column) for column in zip(*counts, strict=True))), at_s
        return self._counts

    def due_s(self, fps: float | None) -> float:
        """After how many seconds in view a track should have a gid, at a camera that handles `fps` ticks per second."""
        tick_s = 1 / max(0.1, min(fps or self._fps, self._fps))
        first = min(self._needed, _FIRST_EMBEDDINGS)
        embedded_s = first * tick_s + (self._needed - first) * max(tick_s, self._refresh_s)
        return max(_DECISION_S, embedded_s) + _MARGIN_S
