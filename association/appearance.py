"""How alike groups of tracks look: a log-likelihood ratio that counts how much evidence each track has. Pure.

The mean of each camera is removed first (`camera_means`). What is left is modelled as in probabilistic linear
discriminant analysis (Ioffe, "Probabilistic Linear Discriminant Analysis", ECCV 2006), with the same variances in every
direction: an object has a vector, and each of its tracks shows that vector with noise that falls with the number of
crops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from association.camera_means import CameraMeans
from association.learned_layout import LearnedAppearance, Similarities
from association.likeness import Gallery, Likeness, flat
from association.linkage import Features
from association.track_table import TrackTable

Gains = npt.NDArray[np.float64]
Groups = Sequence[Sequence[int]]
_OBJECT_VARIANCE = 0.55
"""Mean cosine similarity of two tracks of one object in different cameras, once means are removed. Measured 0.42 to
0.71 on the demo, CAMPUS and a real model."""
_CROP_VARIANCE = 1.0
"""Variance that a single crop adds to its track, relative to a track's total variance."""
_DIMENSIONS = 30.0
"""Effective dimensions of an embedding until they are learned: one over the mean square of the cosine similarity of
different objects. Measured 15 to 67."""
_DIMENSIONS_PAIRS = 300.0
"""`_DIMENSIONS` counts as this many pairs of tracks."""
_MEMORY_PAIRS = 5000.0
"""Older pairs are scaled down so that they never count more than this many."""
_MATURE_CROPS = 5
"""Tracks with fewer crops say little about how different objects look."""
_LEAST_ENERGY = 0.05
"""Squared norm that is added when a vector without its mean is scaled: what lies close to the mean says little."""
_SHOWN_CROPS, _CLEARLY = (1, 3, 10), math.log(20.0)
"""What is shown to people of the similarities."""
_BLOCK = 4096
"""So many tracks or groups are computed at once, so that a large gallery needs little more memory."""
_CLIP = (-20.0, 12.0)
"""Bounds of the log-likelihood ratio, so that appearance cannot outvote everything else."""


class Appearance:
    """The means of all cameras, and for each row of the table what is left of its embeddings without them."""

    def __init__(self, table: TrackTable) -> None:
        self._table = table
        self._means = CameraMeans(table)
        self._features: Features = np.zeros((0, 0), np.float32)
        self._precisions: Features = np.zeros(0, np.float32)
        self._changed: set[int] = set()
        self._squares, self._pairs = _DIMENSIONS_PAIRS / _DIMENSIONS, _DIMENSIONS_PAIRS
        """Sum of squared cosine similarities of different objects, and number of their pairs."""

    def refresh(self, *, means: bool) -> None:
        """Bring the features of changed tracks up to date, or with `means` those of all, with the newest means."""
        table = self._table
        if means:
            self._means.renew()
            rows = np.flatnonzero(table.rows["used"] & (table.rows["embedded"] > 0))
        else:
            rows = np.array(sorted(self._changed), np.intp)
        self._changed = set()
        if self._features.shape != table.sums.shape:
            features = np.zeros(table.sums.shape, np.float32)
            features[: len(self._features), : self._features.shape[1]] = self._features
            self._features = features
            self._precisions = np.append(self._precisions, np.zeros(len(features) - len(self._precisions), np.float32))
        cameras, embedders = table.rows["camera"][rows], table.rows["embedder"][rows]
        keys = sorted(set(zip(cameras.tolist(), embedders.tolist(), strict=True)))
        self._means.prepare(keys)
        for camera, embedder in keys:
            own = rows[(cameras == camera) & (embedders == embedder)]
            for start in range(0, len(own), _BLOCK):
                self._compute(own[start : start + _BLOCK], (camera, embedder))

    def changed(self, *rows: int) -> None:
        """Take note that the table has other embeddings of some tracks."""
        self._changed.update(rows)

    def retire(self, rows: Sequence[int]) -> None:
        """See `CameraMeans.retire`."""
        self._means.retire(rows)

    def forget(self, row: int) -> None:
        """Clear a row, which another track may use from now on."""
        self._changed.discard(row)
        if row < len(self._features):
            self._features[row] = self._precisions[row] = 0

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now; -1: there is none."""
        kept = np.flatnonzero(new_rows >= 0)
        known = kept[kept < len(self._features)]
        features, precisions = self._features[known], self._precisions[known]
        self._features = np.zeros((len(self._table.rows), self._features.shape[1]), np.float32)
        self._precisions = np.zeros(len(self._table.rows), np.float32)
        self._features[new_rows[known]], self._precisions[new_rows[known]] = features, precisions
        self._changed = {int(new_rows[row]) for row in self._changed if new_rows[row] >= 0}

    @property
    def dimensions(self) -> float:
        """Effective dimensions of the embeddings, as learned so far."""
        return self._pairs / self._squares

    def learn_dimensions(self) -> None:
        """Learn from tracks that are in one view at once, which are certainly different objects."""
        rows = self._table.rows
        mature = np.flatnonzero(rows["used"] & ~rows["ended"] & (rows["embedded"] >= _MATURE_CROPS))
        keys = np.stack([rows["camera"][mature], rows["embedder"][mature]], axis=1)
        for key in np.unique(keys, axis=0):
            vectors = self._features[mature[(keys == key).all(axis=1)]].astype(np.float64)
            lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
            cosines = np.triu(vectors @ vectors.T / np.outer(lengths, lengths), 1)
            self._squares += float((cosines**2).sum())
            self._pairs += len(vectors) * (len(vectors) - 1) / 2
        forget = min(1.0, _MEMORY_PAIRS / self._pairs)
        self._squares, self._pairs = round(self._squares * forget, 6), round(self._pairs * forget, 6)

    def _compute(self, rows: npt.NDArray[np.intp], key: tuple[int, int]) -> None:
        mean = self._means.of(key)
        self._features[rows] = 0.0
        means = self._table.sums[rows, : len(mean)] / self._table.weights[rows, None]
        self._features[rows, : len(mean)] = _centred(means, mean)
        self._precisions[rows] = _precisions(self._table.rows["embedded"][rows])

    def gains(self, a: Groups, b: Groups) -> Gains:
        """Log-likelihood ratio of "one object" against "two objects" for each group of `a` with each of `b`.

        Returns:
            `(len(a), len(b))` float64 in [-20, 12]; -inf for groups without an embedder in common.
        """
        gains = np.zeros((len(a), len(b)))
        for start in range(0, len(b), _BLOCK):
            block = slice(start, start + _BLOCK)
            gains[:, block] = self._gains_of_block(a, b[block])
        return gains

    def _gains_of_block(self, a: Groups, b: Groups) -> Gains:
        gains, common = np.zeros((len(a), len(b))), np.zeros((len(a), len(b)), np.bool_)
        for embedder in range(len(self._table.embedders)):
            (sum_a, precision_a), (sum_b, precision_b) = self._statistics(a, embedder), self._statistics(b, embedder)
            if not precision_a.any() or not precision_b.any():
                continue
            square_a, square_b = (sum_a**2).sum(axis=1), (sum_b**2).sum(axis=1)
            together = square_a[:, None] + square_b[None, :] + 2.0 * (sum_a @ sum_b.T)
            gains += self._likelihood(together, precision_a[:, None] + precision_b[None, :])
            gains -= self._likelihood(square_a, precision_a)[:, None] + self._likelihood(square_b, precision_b)[None, :]
            common |= (precision_a > 0)[:, None] & (precision_b > 0)[None, :]
        return np.where(common, np.clip(gains, *_CLIP), -np.inf)

    def within_camera(
        self, key: tuple[int, int], a: tuple[Features, npt.NDArray[Any]], b: tuple[Features, npt.NDArray[Any]]
    ) -> Gains:
        """Log-likelihood ratio of "one object" against "two" for pairs of mean embeddings, `(n,)` float64.

        Args:
            key: camera and embedder.
            a: `(n, D)` mean embeddings, and `(n,)` numbers of crops.
            b: likewise.
        """
        mean = self._means.of(key)
        sums, precisions = [], []
        for embeddings, crops in (a, b):
            precision = _precisions(crops)
            sums.append(_centred(embeddings, mean[: embeddings.shape[1]]) * precision[:, None])
            precisions.append(precision)
        together = ((sums[0] + sums[1]) ** 2).sum(axis=1)
        ratios = self._likelihood(together, precisions[0] + precisions[1])
        for part, precision in zip(sums, precisions, strict=True):
            ratios = ratios - self._likelihood((part**2).sum(axis=1), precision)
        return np.round(ratios, 4)

    def gallery(self, embedder: str, camera: int | None, groups: Groups) -> Gallery | None:
        """A copy of how the groups look, to compare a crop with; nothing is learned from the crop.

        Args:
            embedder: checksum of the model.
            camera: index of the camera that the crop is from; None: unknown, so the mean of all cameras is removed.
            groups: none of them empty.

        Returns:
            None if there are no means of this embedder.
        """
        table = self._table
        if not groups or embedder not in table.embedders or len(self._features) < len(table.rows):
            return None
        index = table.embedders.index(embedder)
        mean = self._means.of_crop(camera, index)
        if mean is None:
            return None
        rows, starts = flat(groups)
        precisions = np.where(table.rows["embedder"][rows] == index, self._precisions[rows], 0.0)
        return _Looks(self._features[rows, : len(mean)], precisions, starts, mean, self.dimensions)

    def _statistics(self, groups: Groups, embedder: int) -> tuple[Gains, Gains]:
        """For each group the precision-weighted sum of its features, `(k, D)`, and its precision, `(k,)`."""
        rows, starts = flat(groups)
        precisions = np.where(self._table.rows["embedder"][rows] == embedder, self._precisions[rows], 0.0)
        features: npt.NDArray[Any] = self._features[rows] * precisions[:, None]
        if len(rows) == len(groups):
            return features, precisions
        return np.add.reduceat(features, starts, axis=0), np.add.reduceat(precisions, starts)

    def _likelihood(self, squares: Gains, precisions: Gains) -> Gains:
        return _likelihood(squares, precisions, self.dimensions)

    def at_home(self, groups: Groups) -> Gains:
        """For each track the ratio with all the others of its group, as in `gains`; one float64 for each track."""
        numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        gains, common = np.zeros(len(numbers)), np.zeros(len(numbers), np.bool_)
        for embedder in range(len(self._table.embedders)):
            each, precisions = self._statistics([[row] for group in groups for row in group], embedder)
            sums, totals = self._statistics(groups, embedder)
            whole, precision = sums[numbers], totals[numbers]
            rest = ((whole - each) ** 2).sum(axis=1)
            gains += self._likelihood((whole**2).sum(axis=1), precision)
            gains -= self._likelihood((each**2).sum(axis=1), precisions)
            gains -= self._likelihood(rest, precision - precisions)
            common |= (precisions > 0) & (precision - precisions > 1e-9)
        return np.where(common, np.clip(gains, *_CLIP), -np.inf)

    def learned(self) -> list[LearnedAppearance]:
        """What has been learned of each embedder that is in use."""
        found, known = [], sorted(self._means.crops().items())
        for index, embedder in enumerate(self._table.embedders):
            cameras = tuple((key[0], crops) for key, crops in known if key[1] == index)
            if cameras:
                similarities = tuple(self._similarities(crops) for crops in _SHOWN_CROPS)
                pairs = max(0.0, self._pairs - _DIMENSIONS_PAIRS)
                dimensions = round(self.dimensions, 1)
                found.append(LearnedAppearance(embedder, dimensions, round(pairs), similarities, cameras))
        return found

    def _similarities(self, crops: int) -> Similarities:
        """Similarities at which two tracks are one object with odds of 1 to 20, 1 to 1, and 20 to 1."""
        precision = _precisions(np.array([crops]))
        alone = 2.0 * self._likelihood(precision**2, precision)
        at_none, at_full = (
            float((self._likelihood(2.0 * precision**2 * (1.0 + cosine), 2.0 * precision) - alone)[0])
            for cosine in (0.0, 1.0)
        )
        different, even, same = (
            round((ratio - at_none) / (at_full - at_none), 3) for ratio in (-_CLEARLY, 0.0, _CLEARLY)
        )
        return Similarities(crops, different, even, same)

    def to_dict(self) -> dict[str, Any]:
        """What is learned, for a checkpoint."""
        return self._means.to_dict() | {"dimensions": [self._squares, self._pairs]}

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`; camera `i` has index `camera_index[i]` now. The table is restored already."""
        self._means.restore(data, camera_index)
        self._squares, self._pairs = data.get("dimensions", (self._squares, self._pairs))
        rows = self._table.rows
        self._changed = set(np.flatnonzero(rows["used"] & (rows["embedded"] > 0)).tolist())


@dataclass(frozen=True)
class _Looks:
    """How groups of tracks look; a copy that any thread may use."""

    features: Features
    precisions: Gains
    starts: npt.NDArray[np.intp]
    """Index of the first track of each group."""
    mean: Features
    """What the crop is compared without."""
    dimensions: float

    def likeness(self, embedding: Features) -> Likeness | None:
        """Ratios as in `Appearance.gains`, and cosine similarities without the means; see `Gallery`."""
        if len(embedding) != len(self.mean):
            return None
        crop = _centred(embedding[None], self.mean)[0]
        (precision,) = _precisions(np.ones(1)).tolist()
        sums = np.add.reduceat(self.features * self.precisions.astype(np.float32)[:, None], self.starts, axis=0)
        precisions = np.add.reduceat(self.precisions, self.starts)
        squares, square = (sums.astype(np.float64) ** 2).sum(axis=1), float((crop**2).sum()) * precision**2
        products = (sums @ crop).astype(np.float64) * precision
        ratios = _likelihood(squares + square + 2.0 * products, precisions + precision, self.dimensions)
        ratios -= _likelihood(squares, precisions, self.dimensions)
        ratios -= _likelihood(np.array([square]), np.array([precision]), self.dimensions)
        cosines = products / np.maximum(np.sqrt(squares * square), 1e-9)
        comparable = precisions > 0
        return (
            np.where(comparable, np.clip(ratios, *_CLIP), -np.inf),
            np.where(comparable, np.clip(cosines, -1.0, 1.0), -np.inf),
        )


def _likelihood(squares: Gains, precisions: Gains, dimensions: float) -> Gains:
    """Log marginal likelihood of tracks of one object, up to what does not depend on the grouping."""
    evidence = squares / (precisions + 1.0 / _OBJECT_VARIANCE) - np.log1p(_OBJECT_VARIANCE * precisions)
    scaled: Gains = 0.5 * dimensions * evidence
    return scaled


def _precisions(crops: npt.NDArray[Any]) -> Gains:
    """Inverse variance of the features of tracks with so many crops, `(n,)`."""
    precisions: Gains = 1.0 / ((1.0 - _OBJECT_VARIANCE) + _CROP_VARIANCE / crops)
    return precisions


def _centred(embeddings: Features, mean: Features) -> Features:
    """Mean embeddings without the mean of their camera, scaled, `(n, D)`: the features of tracks."""
    left = embeddings - mean
    features: Features = left / np.sqrt((left**2).sum(axis=1) + _LEAST_ENERGY)[:, None]
    return features
