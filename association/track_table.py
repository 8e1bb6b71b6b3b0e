"""All tracks that the aggregator remembers, live tracks and the gallery, in arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from association.linkage import Features, unit
from association.possibility import NEVER_NS, Visit

ROW = np.dtype(
    [
        ("camera", "<i4"),  # index in the layout
        ("track_id", "<i8"),  # of a part that was cut off: ~track_id, which is negative
        ("class", "<i2"),
        ("gid", "<i8"),  # 0: none yet
        ("embedder", "<i2"),  # index in `embedders`; -1: never embedded
        ("first_ns", "<i8"),
        ("last_ns", "<i8"),
        ("first_tick", "<i8"),
        ("last_tick", "<i8"),
        ("ended", "?"),
        ("ended_ns", "<i8"),  # NEVER_NS if it has not ended
        ("lingering", "?"),  # ended, but still in gids:{camera}
        ("embedded", "<i4"),  # number of embeddings in the sum
        ("used", "?"),  # False: the row is free
    ]
)
_FIRST_CAPACITY = 256
_SHRINK_ABOVE = 1024
_SHRINK_BELOW = 0.25
"""A table with more rows than `_SHRINK_ABOVE` shrinks when a smaller share of them than this is in use."""
_LEAST_WEIGHT = 1e-3
"""Weight of a crop with quality 0, so that a track with only poor crops still has an appearance."""


class Crop(NamedTuple):
    """One crop of a track."""

    tick: int
    time_ns: int
    weight: float
    embedding: Features
    """`(D,)` float32, times the weight."""


class NewestCrops(NamedTuple):
    """The newest crops of a track, summed up."""

    first: Crop
    crops: int
    weight: float
    embeddings: Features
    """`(D,)` float32: sum of the weighted embeddings."""


def crop_weights(qualities: Features) -> Features:
    """The weight of crops in the appearance of their track: `(m,)` float32 in [0, 1] to `(m,)` float32 above 0."""
    return np.maximum(qualities, _LEAST_WEIGHT).astype(np.float32)


class TrackTable:
    """Rows of `ROW`, and for each row the quality-weighted sum of its embeddings, `(capacity, D)` float32.

    The sums scaled to unit norm are cached, because they are read far more often than they change.
    """

    def __init__(self) -> None:
        self.rows: npt.NDArray[Any] = np.zeros(0, ROW)
        self.sums: Features = np.zeros((0, 0), np.float32)
        self.weights: Features = np.zeros(0, np.float32)
        """`(capacity,)` float32: sum of the weights in `sums`."""
        self.embedders: list[str] = []
        self._units: Features = np.zeros((0, 0), np.float32)
        self._row_of: dict[tuple[int, int], int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._row_of)

    def find(self, camera: int, track_id: int) -> int | None:
        """The row of a track; None if it is not in the table."""
        return self._row_of.get((camera, track_id))

    def add(self, camera: int, track_id: int, class_id: int, tick: int, time_ns: int) -> int:
        """Add a track seen for the first time; its row."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        times = (time_ns, time_ns, tick, tick, False, NEVER_NS)
        self.rows[row] = (camera, track_id, class_id, 0, -1, *times, False, 0, True)
        self.sums[row] = self._units[row] = 0
        self.weights[row] = 0
        self._row_of[camera, track_id] = row
        return row

    def cut(self, row: int, newest: NewestCrops) -> int:
        """Divide a track before its newest crops: the row goes on as a new track, without a gid.

        Returns:
            The row of the part that ended. No entry refers to it; `track_id` tells the track that it was part of.
        """
        if not self._free:
            self._grow()
        ended = self._free.pop()
        self.rows[ended] = self.rows[row]
        self.sums[ended], self.weights[ended] = self.sums[row], self.weights[row]
        self.sums[ended, : len(newest.embeddings)] -= newest.embeddings
        self.weights[ended] = max(float(self.weights[ended]) - newest.weight, 1e-6)
        part, rest = self.rows[ended], self.rows[row]
        part["track_id"] = ~part["track_id"]
        part["last_ns"] = part["ended_ns"] = max(newest.first.time_ns - 1, int(part["first_ns"]))
        part["last_tick"] = max(newest.first.tick - 1, int(part["first_tick"]))
        part["ended"], part["lingering"] = True, False
        part["embedded"] -= newest.crops
        self.sums[row] = 0
        self.sums[row, : len(newest.embeddings)], self.weights[row] = newest.embeddings, newest.weight
        rest["gid"], rest["embedded"] = 0, newest.crops
        rest["first_ns"], rest["first_tick"] = newest.first.time_ns, newest.first.tick
        self._units[[row, ended]] = unit(self.sums[[row, ended]])
        return ended

    def track_id(self, row: int) -> int:
        """The id under which its camera published a track, also of a part that was cut off."""
        found = int(self.rows["track_id"][row])
        return found if found >= 0 else ~found

    def remove(self, row: int) -> None:
        """Forget a track."""
        self._row_of.pop((int(self.rows["camera"][row]), int(self.rows["track_id"][row])), None)
        self.rows[row] = np.zeros((), ROW)
        self.sums[row] = self._units[row] = self.weights[row] = 0
        self._free.append(row)

    def embed(self, rows: npt.NDArray[np.intp], embeddings: Features, weights: Features, embedder: str) -> None:
        """Add embeddings to the sums of tracks.

        Embeddings of another embedder are discarded first, because the two cannot be compared.

        Args:
            rows: `(m,)` intp, without duplicates.
            embeddings: `(m, D)` float32, unit norm.
            weights: `(m,)` float32, above 0.
            embedder: checksum of the model.
        """
        if embedder not in self.embedders:
            self.embedders.append(embedder)
        index = self.embedders.index(embedder)
        self._widen(embeddings.shape[1])
        other = rows[self.rows["embedder"][rows] != index]
        self.sums[other] = 0
        self.weights[other] = 0
        self.rows["embedded"][other] = 0
        self.rows["embedder"][rows] = index
        self.sums[rows, : embeddings.shape[1]] += embeddings * weights[:, None]
        self.weights[rows] += weights
        self._units[rows] = unit(self.sums[rows])
        self.rows["embedded"][rows] += 1

    def features(self, rows: npt.NDArray[np.intp]) -> Features:
        """Mean appearance of each track, `(len(rows), D)` float32, unit norm; zero for a track without embeddings."""
        return self._units[rows]

    def visits(self, rows: Sequence[int]) -> list[Visit]:
        """Where and when each track was seen."""
        index = np.array(rows, np.intp)
        columns = (self.rows[name][index].tolist() for name in ("camera", "first_ns", "last_ns", "ended_ns"))
        return list(map(Visit, *columns, rows))

    def alive(self) -> npt.NDArray[np.intp]:
        """Rows of the tracks that have not ended, `(k,)` intp."""
        return np.flatnonzero(self.rows["used"] & ~self.rows["ended"])

    def shown(self) -> npt.NDArray[np.intp]:
        """Rows of the tracks that belong into the global-ID map, `(k,)` intp."""
        rows = self.rows
        return np.flatnonzero(rows["used"] & (rows["gid"] > 0) & (~rows["ended"] | rows["lingering"]))

    def renumber_cameras(self, new_index: Sequence[int]) -> None:
        """Change the index of every camera `i` to `new_index[i]`."""
        used = np.flatnonzero(self.rows["used"])
        self.rows["camera"][used] = np.array(new_index)[self.rows["camera"][used]]
        self._index()

    def _index(self) -> None:
        used = np.flatnonzero(self.rows["used"] & (self.rows["track_id"] >= 0))
        cameras, track_ids = self.rows["camera"][used].tolist(), self.rows["track_id"][used].tolist()
        self._row_of = dict(zip(zip(cameras, track_ids, strict=True), used.tolist(), strict=True))

    def _grow(self) -> None:
        capacity = len(self.rows)
        more = max(_FIRST_CAPACITY, capacity)
        self.rows = np.concatenate([self.rows, np.zeros(more, ROW)])
        empty = np.zeros((more, self.sums.shape[1]), np.float32)
        self.sums, self._units = np.concatenate([self.sums, empty]), np.concatenate([self._units, empty])
        self.weights = np.concatenate([self.weights, np.zeros(more, np.float32)])
        self._free = list(range(capacity + more - 1, capacity - 1, -1))

    def _widen(self, dimension: int) -> None:
        more = dimension - self.sums.shape[1]
        if more > 0:
            empty = np.zeros((len(self.sums), more), np.float32)
            self.sums, self._units = np.hstack([self.sums, empty]), np.hstack([self._units, empty])

    def shrink(self) -> npt.NDArray[np.intp] | None:
        """Give memory back when most rows are free.

        Returns:
            `(capacity,)` intp: the new row of each track, in the order of the rows before; None if nothing moved.
        """
        used = np.flatnonzero(self.rows["used"])
        if len(self.rows) <= _SHRINK_ABOVE or len(used) > _SHRINK_BELOW * len(self.rows):
            return None
        new_rows = np.full(len(self.rows), -1, np.intp)
        new_rows[used] = np.arange(len(used))
        kept = self.rows[used], self.sums[used], self._units[used], self.weights[used]
        self._allocate(max(_FIRST_CAPACITY, 2 * len(used)), self.sums.shape[1])
        places = slice(len(used))
        self.rows[places], self.sums[places], self._units[places], self.weights[places] = kept
        self._free = list(range(len(self.rows) - 1, len(used) - 1, -1))
        self._index()
        return new_rows

    def _allocate(self, capacity: int, dimension: int) -> None:
        self.rows = np.zeros(capacity, ROW)
        self.sums, self._units = (
            np.zeros((capacity, dimension), np.float32),
            np.zeros((capacity, dimension), np.float32),
        )
        self.weights = np.zeros(capacity, np.float32)

    def to_dict(self) -> dict[str, Any]:
        """The rows in use for a checkpoint, and where they are, so that a restored table behaves bit-identically."""
        used = np.flatnonzero(self.rows["used"])
        sums = bytearray(4 * len(used) * self.sums.shape[1])  # Not tobytes, which would copy them twice.
        into = np.ndarray((len(used), self.sums.shape[1]), np.float32, sums)
        np.take(self.sums, used, axis=0, out=into, mode="clip")
        return {
            "capacity": len(self.rows),
            "used": used.astype("<i4").tobytes(),
            "free": np.array(self._free, "<i4").tobytes(),
            "rows": self.rows[used].tobytes(),
            "sums": sums,
            "weights": self.weights[used].tobytes(),
            "dimension": self.sums.shape[1],
            "embedders": list(self.embedders),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrackTable:
        """The inverse of `to_dict`, also of states before schema 5, which have the free rows, too."""
        table = cls()
        rows = np.frombuffer(data["rows"], ROW)
        sums = np.frombuffer(data["sums"], "<f4").reshape(len(rows), data["dimension"])
        is_whole = "capacity" not in data
        used = np.arange(len(rows)) if is_whole else np.frombuffer(data["used"], "<i4")
        table._allocate(len(rows) if is_whole else data["capacity"], data["dimension"])
        table.rows[used], table.sums[used], table._units[used] = rows, sums, unit(sums)
        # States before schema 2 have no weights; the mean of unit vectors is not much shorter than 1.
        packed = data.get("weights")
        lengths = np.linalg.norm(sums, axis=1).astype(np.float32) if packed is None else None
        table.weights[used] = lengths if packed is None else np.frombuffer(packed, "<f4")
        table.embedders = list(data["embedders"])
        table._free = list(data["free"]) if is_whole else np.frombuffer(data["free"], "<i4").tolist()
        table._index()
        return table
