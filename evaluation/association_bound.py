"""The best that association could make of given tracks: every track gets the true identity that it shows most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.matching import NOBODY, CameraMatch
from recording.rows import Ids


def perfect_ids(cameras: Sequence[CameraMatch]) -> list[Ids]:
    """For every row of every camera's tracks the id that it would bear, from the track's first box on; from 1.

    Where two tracks of one camera show one object at once, the one that shows it longer bears its id; the other one,
    and every track that shows nobody, bears an id of its own. What is left to lose is the tracker's: objects that were
    not found, boxes that are not objects, and tracks that change from one object to another.
    """
    known = np.unique(np.concatenate([np.zeros(0, np.int64), *(match.shown for match in cameras)]))
    known = known[known != NOBODY]
    result, first_free = [], len(known) + 1
    for match in cameras:
        tracks, inverse = np.unique(match.tracks.track_ids, return_inverse=True)
        counts = np.zeros((len(tracks), len(known)), np.int64)
        seen = match.shown != NOBODY
        np.add.at(counts, (inverse[seen], np.searchsorted(known, match.shown[seen])), 1)
        best = counts.argmax(axis=1) if len(known) else np.zeros(len(tracks), np.int64)
        times_shown = counts.max(axis=1, initial=0)
        own = first_free + np.arange(len(tracks))
        first_free += len(tracks)
        ids = np.where(times_shown > 0, best + 1, own)[inverse]
        # The row of the track that shows its object longest comes first among those of one tick and one id.
        order = np.lexsort((match.tracks.track_ids, -times_shown[inverse], ids, match.tracks.ticks))
        second = (np.diff(match.tracks.ticks[order]) == 0) & (np.diff(ids[order]) == 0)
        beside = order[1:][second]
        ids[beside] = own[inverse[beside]]
        result.append(ids)
    return result
