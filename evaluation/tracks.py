"""The tracks of one camera and their published gids, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recording.reading import Recording
from recording.rows import Ids

NO_GID = 0


@dataclass(frozen=True)
class PublishedTracks:
    """The boxes of all tracks of one camera, sorted by tick and track id."""

    ticks: Ids
    """`(n,)` int64."""
    times_ns: Ids
    """`(n,)` int64: site time of the picture, ns."""
    track_ids: Ids
    """`(n,)` int64."""
    boxes_xyxy: npt.NDArray[np.float64]
    """`(n, 4)` float64, pixels of the source frame."""
    gids: Ids
    """`(n,)` int64: as published after the cycle of that tick; `NO_GID` for none."""

    def __len__(self) -> int:
        return len(self.ticks)

    @classmethod
    def of(
        cls,
        ticks: npt.ArrayLike,
        times_ns: npt.ArrayLike,
        track_ids: npt.ArrayLike,
        boxes_xyxy: npt.ArrayLike,
        gids: npt.ArrayLike,
    ) -> PublishedTracks:
        """Build from columns of `n` rows in any order; shapes as in the class.

        Raises:
            ValueError: the columns differ in length.
        """
        columns = [np.asarray(column, np.int64) for column in (ticks, times_ns, track_ids, gids)]
        boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
        if len({len(boxes), *(len(column) for column in columns)}) > 1:
            raise ValueError(f"columns of {[len(column) for column in columns]} rows do not fit {len(boxes)} boxes")
        order = np.lexsort((columns[2], columns[0]))
        at, times, tracks, given = (column[order] for column in columns)
        return cls(at, times, tracks, boxes[order], given)

    @classmethod
    def recorded(cls, recording: Recording, camera: str) -> PublishedTracks:
        """The tracks of one camera of a recording, with the recorded gids.

        Raises:
            RecordingError: a file is damaged.
        """
        rows = recording.tracks(camera)
        gids = recording.gids_as_published(camera)
        return cls.of(rows.tick, rows.time_ns, rows.track_id, rows.box_xyxy, gids)

    def with_gids(self, gids: Ids) -> PublishedTracks:
        """The same boxes with other gids, `(n,)` int64."""
        return replace(self, gids=gids)

    def between(self, first_tick: int, last_tick: int) -> PublishedTracks:
        """Only the rows from `first_tick` to `last_tick`, both included."""
        rows = slice(self.rows_of(first_tick).start, self.rows_of(last_tick).stop)
        return PublishedTracks(
            self.ticks[rows], self.times_ns[rows], self.track_ids[rows], self.boxes_xyxy[rows], self.gids[rows]
        )

    def rows_of(self, tick: int) -> slice:
        """The slice of rows with the given tick."""
        first, last = np.searchsorted(self.ticks, (tick, tick + 1))
        return slice(int(first), int(last))
