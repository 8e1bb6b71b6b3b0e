"""Notices when a track goes on with another object. Pure.

A single-camera tracker sometimes carries a track over to an object that passes in front of its own. Within one track,
an object looks much the same from crop to crop, so the newest crops are compared with all earlier ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from association.appearance import Appearance
from association.linkage import Features
from association.track_table import Crop, NewestCrops, TrackTable

_NEWEST = 6
"""Number of newest crops."""
_EARLIER = 4
"""Fewest earlier crops."""
_OTHER_OBJECT = -1.0
"""Log-likelihood ratio of "one object" below which the newest crops show another one. Measured on 587 tracks of one
object and 45 that change it: 0.5 % and 76 % go below."""


class Switches:
    """The newest crops of every live track."""

    def __init__(self, table: TrackTable, appearance: Appearance) -> None:
        self._table, self._appearance = table, appearance
        self._crops: dict[int, deque[Crop]] = {}
        self._embedders: dict[int, int] = {}
        self._found: list[int] = []

    def observe(
        self, rows: npt.NDArray[np.intp], tick: int, time_ns: int, embeddings: Features, weights: Features
    ) -> None:
        """Add crops of tracks of one camera; the table has them already.

        Args:
            rows: `(m,)` intp, without duplicates.
            tick: of the picture.
            time_ns: site time of the picture, ns.
            embeddings: `(m, D)` float32, unit norm, all of one embedder.
            weights: `(m,)` float32, as added to the table.
        """
        table = self._table.rows
        embedder = int(table["embedder"][rows[0]])
        due = []
        for row, embedding, weight in zip(rows.tolist(), embeddings, weights.tolist(), strict=True):
            if self._embedders.get(row) != embedder:
                self._embedders[row], self._crops[row] = embedder, deque(maxlen=_NEWEST)
            self._crops[row].append(Crop(tick, time_ns, weight, embedding * np.float32(weight)))
            if table["embedded"][row] >= _NEWEST + _EARLIER:
                due.append(row)
        if due:
            at = np.array(due)
            newest = [self.newest(row) for row in due]
            newer = np.array([crops.embeddings for crops in newest])
            weight = np.array([crops.weight for crops in newest], np.float32)
            older = self._table.sums[at, : newer.shape[1]] - newer
            older_weight = np.maximum(self._table.weights[at] - weight, 1e-6)
            ratios = self._appearance.within_camera(
                (int(table["camera"][due[0]]), embedder),
                (older / older_weight[:, None], table["embedded"][at] - _NEWEST),
                (newer / weight[:, None], np.full(len(due), _NEWEST)),
            )
            self._found += at[ratios < _OTHER_OBJECT].tolist()

    def take(self) -> list[int]:
        """Rows of the tracks that show another object since the last call."""
        found, self._found = self._found, []
        return found

    def newest(self, row: int) -> NewestCrops:
        """The newest crops of a track."""
        crops = self._crops[row]
        embeddings: Features = np.array([crop.embedding for crop in crops]).sum(axis=0)
        return NewestCrops(crops[0], len(crops), sum(crop.weight for crop in crops), embeddings)

    def forget(self, row: int) -> None:
        """Clear a row, which another track may use from now on."""
        self._crops.pop(row, None)
        self._embedders.pop(row, None)
        self._found = [other for other in self._found if other != row]

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now."""
        self._crops = {int(new_rows[row]): crops for row, crops in self._crops.items()}
        self._embedders = {int(new_rows[row]): embedder for row, embedder in self._embedders.items()}
        self._found = new_rows[self._found].tolist()

    def to_dict(self) -> dict[str, Any]:
        """The crops for a checkpoint. Nothing is left to take between cycles."""
        return {
            "crops": [
                [row, self._embedders[row], [[*crop[:3], crop.embedding.tobytes()] for crop in crops]]
                for row, crops in self._crops.items()
            ]
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Restore `to_dict`."""
        for row, embedder, crops in data.get("crops", ()):
            self._embedders[row] = embedder
            self._crops[row] = deque(
                (
                    Crop(tick, time_ns, weight, np.frombuffer(packed, np.float32))
                    for tick, time_ns, weight, packed in crops
                ),
                maxlen=_NEWEST,
            )
