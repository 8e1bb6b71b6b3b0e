"""Every track the aggregator remembers: those in view, and the gallery of those that may return. Data in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.aggregator.linkage import Features, unit
from services.aggregator.possibility import Sightings

ROW = np.dtype(
    [
        ("camera", "<i4"),  # index in the layout
        ("track_id", "<i8"),
        ("class", "<i2"),
        ("gid", "<i8"),  # 0: none yet
        ("embedder", "<i2"),  # index in `embedders`; -1: never embedded
        ("first_ns", "<i8"),
        ("last_ns", "<i8"),
        ("first_tick", "<i8"),
        ("last_tick", "<i8"),
        ("ended", "?"),
        ("lingering", "?"),  # ended, and still in gids:{camera}
        ("embedded", "<i4"),  # how many embeddings are in the sum
        ("used", "?"),  # False: the row is free
    ]
)
_FIRST_CAPACITY = 256


class TrackTable:
    """Rows of `ROW` and, beside each, the quality-weighted sum of its embeddings, `(capacity, D)` float32."""

    def __init__(self) -> None:
        self.rows: npt.NDArray[Any] = np.zeros(0, ROW)
        self.sums: Features = np.zeros((0, 0), np.float32)
        self.embedders: list[str] = []
        self._row_of: dict[tuple[int, int], int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._row_of)

    def find(self, camera: int, track_id: int) -> int | None:
        """The row of a track."""
        return self._row_of.get((camera, track_id))

    def add(self, camera: int, track_id: int, class_id: int, tick: int, time_ns: int) -> int:
        """A row for a track seen for the first time."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.rows[row] = (camera, track_id, class_id, 0, -1, time_ns, time_ns, tick, tick, False, False, 0, True)
        self.sums[row] = 0
        self._row_of[camera, track_id] = row
        return row

    def remove(self, row: int) -> None:
        """Forgets a track."""
        del self._row_of[int(self.rows["camera"][row]), int(self.rows["track_id"][row])]
        self.rows[row] = np.zeros((), ROW)
        self._free.append(row)

    def embed(self, rows: npt.NDArray[np.intp], embeddings: Features, weights: Features, embedder: str) -> None:
        """Adds `embeddings` `(m, D)`, unit norm, weighted by `weights` `(m,)`, to the sums of `rows`, each given once.

        What another embedder said of a track is forgotten: the two cannot be compared.
        """
        if embedder not in self.embedders:
            self.embedders.append(embedder)
        index = self.embedders.index(embedder)
        self._widen(embeddings.shape[1])
        other = rows[self.rows["embedder"][rows] != index]
        self.sums[other] = 0
        self.rows["embedded"][other] = 0
        self.rows["embedder"][rows] = index
        self.sums[rows, : embeddings.shape[1]] += embeddings * weights[:, None]
        self.rows["embedded"][rows] += 1

    def features(self, rows: npt.NDArray[np.intp]) -> Features:
        """`(len(rows), D)` unit norm: the mean appearance of each track; zeros for one never embedded."""
        return unit(self.sums[rows])

    def sightings(self, rows: npt.NDArray[np.intp]) -> Sightings:
        """When and where the tracks were seen."""
        chosen = self.rows[rows]
        return Sightings(chosen["camera"].astype(np.intp), chosen["first_ns"], chosen["last_ns"], chosen["ended"])

    def alive(self) -> npt.NDArray[np.intp]:
        """Rows of the tracks that have not ended."""
        return np.flatnonzero(self.rows["used"] & ~self.rows["ended"])

    def renumber_cameras(self, new_index: Sequence[int]) -> set[int]:
        """Gives camera `i` the index `new_index[i]`; -1 forgets its tracks. Returns the rows that were forgotten."""
        used = np.flatnonzero(self.rows["used"])
        self.rows["camera"][used] = np.array(new_index)[self.rows["camera"][used]]
        gone = {int(row) for row in used if self.rows["camera"][row] < 0}
        for row in gone:
            self.rows[row] = np.zeros((), ROW)
            self._free.append(row)
        self._index()
        return gone

    def _index(self) -> None:
        used = np.flatnonzero(self.rows["used"]).tolist()
        self._row_of = {(int(self.rows["camera"][row]), int(self.rows["track_id"][row])): row for row in used}

    def _grow(self) -> None:
        capacity = len(self.rows)
        more = max(_FIRST_CAPACITY, capacity)
        self.rows = np.concatenate([self.rows, np.zeros(more, ROW)])
        self.sums = np.concatenate([self.sums, np.zeros((more, self.sums.shape[1]), np.float32)])
        self._free = list(range(capacity + more - 1, capacity - 1, -1))

    def _widen(self, dimension: int) -> None:
        if dimension > self.sums.shape[1]:
            wider = np.zeros((len(self.sums), dimension), np.float32)
            wider[:, : self.sums.shape[1]] = self.sums
            self.sums = wider

    def to_dict(self) -> dict[str, Any]:
        """The whole table for a checkpoint; free rows included, so that a restored one behaves the same to the bit."""
        return {
            "rows": self.rows.tobytes(),
            "sums": self.sums.tobytes(),
            "dimension": self.sums.shape[1],
            "embedders": self.embedders,
            "free": self._free,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrackTable:
        """The reverse of `to_dict`."""
        table = cls()
        table.rows = np.frombuffer(data["rows"], ROW).copy()
        table.sums = np.frombuffer(data["sums"], "<f4").reshape(len(table.rows), data["dimension"]).copy()
        table.embedders, table._free = list(data["embedders"]), list(data["free"])
        table._index()
        return table
