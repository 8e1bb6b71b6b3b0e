"""The upper bound for association on given tracks: each track gets the true identity that it shows most often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.matching import NOBODY, CameraMatch
from recording.rows import Ids


def perfect_ids(cameras: Sequence[CameraMatch]) -> list[Ids]:
    """The ideal id of every box, constant over each track.

    If two tracks of a camera show the same object at once, the one that shows it longer gets its id. The other one, and
    every track that shows no object, gets an id of its own. The remaining errors are the tracker's: missed objects,
    boxes that show no object, and tracks that switch between objects.

    Returns:
        For each camera `(n,)` int64, one id from 1 per row of its tracks.
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
        # Among the rows with the same tick and id, put the track that shows its object longest first.
        order = np.lexsort((match.tracks.track_ids, -times_shown[inverse], ids, match.tracks.ticks))
        second = (np.diff(match.tracks.ticks[order]) == 0) & (np.diff(ids[order]) == 0)
        beside = order[1:][second]
        ids[beside] = own[inverse[beside]]
        result.append(ids)
    return result
