"""The mean embedding of each camera, in which an object counts once, however long it stays. Pure.

Each camera gives all its embeddings a common offset, which hides the differences between objects. The mean of a camera
estimates this offset from the objects that it has shown. Crops of one object are not independent: however many there
are, they tell no more of the offset than one object can. As in models with random effects (DerSimonian and Laird,
"Meta-analysis in clinical trials", 1986; the effective sample size of a cluster sample), the weight of an object grows
with its crops up to a bound. It follows that a parked car does not become the mean of its camera, which would leave
only noise of it. A camera that has shown few objects relies on the mean of all cameras, and a site that has shown few
on none at all.

Only the tracks that the table has forgotten are summed up here. What the others say follows from the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from association.linkage import Features
from association.track_table import TrackTable

Sums = npt.NDArray[np.float64]
Key = tuple[int, int]
"""Index of a camera, and of an embedder in the table."""
_FULL_CROPS = 20
"""An object counts as its number of crops in a camera, but not as more than this many."""
_SHRINKAGE_CROPS = 40.0
"""The mean of a camera counts the mean of all cameras as this many crops of its own."""
_NOTHING_CROPS = 20.0
"""The mean of all cameras counts no offset at all (zero) as this many crops."""
_MEMORY_CROPS = 3000.0
"""Means forget, because light changes: of the objects of a camera, the newest with so many crops count."""


class _Objects(NamedTuple):
    """The `n` objects of a table, once for each camera and embedder that has shown them."""

    ids: npt.NDArray[np.int64]
    """`(n, 4)`: embedder, camera, and the gid and 0, or 0 and the id of a track without gid; sorted."""
    crops: Sums
    """`(n,)`: as how many crops each counts."""
    newest_ns: npt.NDArray[np.int64]
    rows: npt.NDArray[np.intp]
    """`(t,)`: the rows of their tracks, by camera and track id."""
    numbers: npt.NDArray[np.intp]
    """`(t,)`: for each of these the number of its object."""
    shares: Sums
    """`(t,)`: by what the sum of a track's embeddings is multiplied in the mean of its object."""


class CameraMeans:
    """The means of all cameras, for each embedder."""

    def __init__(self, table: TrackTable) -> None:
        self._table = table
        self._gone: dict[Key, tuple[Sums, float]] = {}
        """Sum of the mean embeddings of the objects that the table has forgotten, times their crops; and these."""
        self._used: dict[Key, Features] = {}

    def of(self, key: Key) -> Features:
        """The mean of a camera when `renew` was called last, or when it was first asked for: `(D,)` float32."""
        self.prepare([key])
        return self._used[key]

    def prepare(self, keys: Sequence[Key]) -> None:
        """Ask for the means of several cameras at once: what is learned of all of them is computed once."""
        new = [key for key in keys if key not in self._used]
        if new:
            learned = self._learned()
            self._used |= {key: learned[key] for key in new}

    def of_crop(self, camera: int | None, embedder: int) -> Features | None:
        """The mean to remove from a crop of a camera; of all cameras, if that has none or is unknown. Changes nothing.

        Returns:
            `(D,)` float32; None if there are no means of this embedder.
        """
        if camera is not None and (camera, embedder) in self._used:
            return self._used[camera, embedder]
        _, shared = self._totals(self._all())
        if not any(weight > 0 for key, (_, weight) in shared.items() if key[1] == embedder):
            return None
        return self._of_all(shared, embedder).astype(np.float32)

    def renew(self) -> None:
        """Bring all means up to date."""
        self._used = self._learned()

    def retire(self, rows: Sequence[int]) -> None:
        """Keep what tracks say that the table is about to forget. An object that has others there still counts."""
        leaving = self._objects(np.array(rows, np.intp))
        staying = self._table.rows["used"] & np.isin(self._table.rows["gid"], leaving.ids[:, 2])
        staying[rows] = False
        kept = {tuple(one) for one in self._objects(np.flatnonzero(staying)).ids.tolist()}
        means = self._means(leaving, np.arange(len(leaving.ids)))
        for one, crops, mean in zip(leaving.ids.tolist(), leaving.crops.tolist(), means, strict=True):
            if tuple(one) not in kept:
                embedder, camera = one[:2]
                before, weight = self._gone.get((camera, embedder), (np.zeros(0), 0.0))
                total = weight + crops
                forget = min(1.0, _MEMORY_CROPS / total)
                self._gone[camera, embedder] = (_resized(before, len(mean)) + crops * mean) * forget, total * forget

    def crops(self) -> dict[Key, float]:
        """As how many crops the objects of each camera count."""
        return {key: weight for key, (_, weight) in self._totals(self._all())[0].items()}

    def _all(self) -> _Objects:
        return self._objects(np.flatnonzero(self._table.rows["used"]))

    def _objects(self, rows: npt.NDArray[np.intp]) -> _Objects:
        """What some rows of the table have shown."""
        rows = rows[self._table.rows["embedded"][rows] > 0]
        # Sums depend on their order, and the numbers of rows are others after a restart.
        rows = rows[np.lexsort((self._table.rows["track_id"][rows], self._table.rows["camera"][rows]))]
        chosen = self._table.rows[rows]
        gids = np.maximum(chosen["gid"], 0).astype(np.int64)
        tracks = np.where(gids > 0, 0, chosen["track_id"])
        columns = chosen["embedder"].astype(np.int64), chosen["camera"].astype(np.int64), gids, tracks
        ids, numbers = _unique(np.stack(columns, axis=1))
        crops = np.bincount(numbers, chosen["embedded"], len(ids))
        shares = chosen["embedded"] / crops[numbers] / self._table.weights[rows]
        newest_ns = np.zeros(len(ids), np.int64)
        np.maximum.at(newest_ns, numbers, chosen["last_ns"])
        return _Objects(ids, np.minimum(crops, _FULL_CROPS), newest_ns, rows, numbers, shares)

    def _means(self, objects: _Objects, chosen: npt.NDArray[np.intp]) -> Sums:
        """The mean embeddings of those objects whose numbers are `chosen`, `(len(chosen), D)`."""
        places = np.full(len(objects.ids), -1)
        places[chosen] = np.arange(len(chosen))
        into = places[objects.numbers]
        own = np.flatnonzero(into >= 0)
        means, into = np.zeros((len(chosen), self._table.sums.shape[1])), into[own]
        parts = self._table.sums[objects.rows[own]] * objects.shares[own, None]
        # The first track of each object at once: adding one by one is slow, and few objects have more.
        _, first = np.unique(into, return_index=True)
        means[into[first]] = parts[first]
        more = np.ones(len(own), np.bool_)
        more[first] = False
        np.add.at(means, into[more], parts[more])
        return means

    def _totals(self, objects: _Objects) -> tuple[dict[Key, tuple[Sums, float]], dict[Key, tuple[Sums, float]]]:
        """The weighted sum of the mean embeddings of each camera, and the sum of the weights; twice.

        First with the weight of each object, then with that weight divided by the number of cameras that have shown it.
        """
        # A track without gid is an object of its own in its camera.
        wholes = np.where(objects.ids[:, 2:3] > 0, objects.ids * [1, 0, 1, 1], objects.ids)
        _, numbers = _unique(wholes)
        shared_weights = objects.crops / np.bincount(numbers)[numbers]
        of_own, of_shared = dict(self._gone), dict(self._gone)
        keys, cameras = _unique(objects.ids[:, :2])
        for number, (embedder, camera) in enumerate(keys.tolist()):
            own = np.flatnonzero(cameras == number)
            own = own[np.argsort(-objects.newest_ns[own], kind="stable")]
            own = own[np.cumsum(objects.crops[own]) - objects.crops[own] < _MEMORY_CROPS]
            means = self._means(objects, own)
            before, weight = self._gone.get((camera, embedder), (np.zeros(0), 0.0))
            room = max(0.0, _MEMORY_CROPS - float(objects.crops[own].sum()))
            forget = min(1.0, room / weight) if weight else 1.0
            for totals, weights in ((of_own, objects.crops[own]), (of_shared, shared_weights[own])):
                total = forget * _resized(before, means.shape[1]) + weights @ means
                totals[camera, embedder] = total, forget * weight + float(weights.sum())
        return of_own, of_shared

    def _learned(self) -> dict[Key, Features]:
        """The mean of each camera, shrunk to that of all cameras with the same embedder, which is shrunk to zero."""
        objects, length = self._all(), self._table.sums.shape[1]
        own, shared = self._totals(objects)
        means = {}
        for key, (total, weight) in sorted(own.items()):
            of_all = self._of_all(shared, key[1])
            shrunk = (_resized(total, length) + _SHRINKAGE_CROPS * of_all) / (weight + _SHRINKAGE_CROPS)
            means[key] = shrunk.astype(np.float32)
        return means

    def _of_all(self, shared: Mapping[Key, tuple[Sums, float]], embedder: int) -> Sums:
        """The mean of all cameras, shrunk to zero."""
        same = [shared[key] for key in sorted(shared) if key[1] == embedder]
        total: Sums = np.sum([_resized(one, self._table.sums.shape[1]) for one, _ in same], axis=0)
        return total / (sum(crops for _, crops in same) + _NOTHING_CROPS)

    def to_dict(self) -> dict[str, Any]:
        """The means for a checkpoint: what is left of forgotten tracks, and those in use."""
        return {
            "gone": [[*key, weight, total.tobytes()] for key, (total, weight) in sorted(self._gone.items())],
            "used": [[*key, mean.tobytes()] for key, mean in sorted(self._used.items())],
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`; camera `i` has index `camera_index[i]` now.

        States before schema 7 have sums of all crops instead, `learned`. They are not used: the objects that the table
        still knows are all that can be recognised, and the means follow from them.
        """
        for camera, embedder, weight, packed in data.get("gone", ()):
            if camera_index[camera] >= 0:
                self._gone[camera_index[camera], embedder] = np.frombuffer(packed, np.float64).copy(), weight
        for camera, embedder, packed in data.get("used", ()):
            if camera_index[camera] >= 0:
                self._used[camera_index[camera], embedder] = np.frombuffer(packed, np.float32).copy()


def _unique(ids: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """The different rows of an array, sorted, and for each row of the array the number of its equal there."""
    order = np.lexsort(ids.T[::-1])
    in_order = ids[order]
    is_new = np.ones(len(ids), np.bool_)
    is_new[1:] = (in_order[1:] != in_order[:-1]).any(axis=1)
    numbers = np.empty(len(ids), np.intp)
    numbers[order] = np.cumsum(is_new) - 1
    return in_order[is_new], numbers


def _resized(vector: Sums, length: int) -> Sums:
    """A vector with zeros added or removed at its end: embedders of one site may differ in length."""
    found = np.zeros(length)
    found[: min(len(vector), length)] = vector[:length]
    return found
