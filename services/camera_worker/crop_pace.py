"""Which tracks of a camera to publish a crop of. Pure: the caller passes the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EVERY_S = 1.0
"""A track has a new crop this often."""
SOONEST_S = 0.2
"""A better view of a track is published this long after its last crop."""
_CLEARLY_BETTER = 1.1
"""Quality relative to that of the best crop so far."""
MOST_AT_ONCE = 8
"""Crops of one camera at one tick, so that a crowd does not delay the pictures of other cameras."""


@dataclass
class _Published:
    at_s: float
    best: float


class CropPace:
    """Remembers when each track of a camera last had a crop, and how good its best one was."""

    def __init__(self) -> None:
        self._tracks: dict[str, dict[int, _Published]] = {}

    def due(self, camera: str, now_s: float, track_ids: Sequence[int], qualities: Sequence[float]) -> list[int]:
        """The rows of the tracks whose crop is due at `now_s` (monotonic seconds); they count as published.

        Those that have waited longest come first.
        """
        known = self._tracks.setdefault(camera, {})
        waited: list[tuple[float, int]] = []
        for row, (track_id, quality) in enumerate(zip(track_ids, qualities, strict=True)):
            last = known.get(track_id)
            if last is None:
                waited.append((-1e9, row))
            elif now_s - last.at_s >= (SOONEST_S if quality > last.best * _CLEARLY_BETTER else EVERY_S):
                waited.append((last.at_s, row))
        rows = [row for _, row in sorted(waited)[:MOST_AT_ONCE]]
        for row in rows:
            last = known.get(track_ids[row])
            known[track_ids[row]] = _Published(now_s, max(qualities[row], last.best if last is not None else 0.0))
        return rows

    def forget(self, camera: str, ended: Iterable[int] | None = None) -> None:
        """Drops tracks that ended, or all of a camera that is gone."""
        if ended is None:
            self._tracks.pop(camera, None)
            return
        known = self._tracks.get(camera, {})
        for track_id in ended:
            known.pop(track_id, None)
