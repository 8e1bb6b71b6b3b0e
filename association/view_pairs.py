"""Learns how the ground in one camera's picture maps to that in another's, from objects that both see. Pure.

Identities that two overlapping views share give pairs of places. Once enough objects agree on one homography, it tells
for every two tracks whether they are at one place. Wrong identities do not disturb it: they agree on nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from association.ground import Ground
from association.homography import BEHIND, fit_homography
from association.homography import distances as distances_of
from association.motion import MotionHistory, Places, Ratios
from shared.homography import Matrix, inverse, least_squares, mapped

Pair = tuple[int, int]
"""Indices of two cameras, the lower one first."""
Couple = tuple[Pair, tuple[int, int], Pair]
"""Two tracks of one object: their cameras, their rows and their track ids, each in the order of the cameras."""
_PAIR_PLACES = 15
"""Places that one pair of tracks contributes at most."""
_PLACES = 400
"""Places that are kept of two cameras; the oldest go first."""
_APART = 0.3
"""An object must have moved this many of its sizes before its place is used again."""
_FEWEST_PLACES = 20
_FEWEST_OBJECTS = 4
_PLACES_THAT_MUST_AGREE, _OBJECTS_THAT_MUST_AGREE = 250, 16
"""If the views overlap, so many suffice for a mapping, although half of them may be wrong."""
_WITHIN = 0.6
"""Places agree with a mapping within this many object sizes."""
_HELD_OUT_WITHIN = 1.0
_LEAST_REST = 6
"""Fewest places of the other objects from which a held-out one is predicted."""
_AGREEING = 0.5
"""Share of the objects that must agree."""
_SPREAD = 0.2
"""Least spread of the agreeing places across their main direction, in object sizes: places on a line fix nothing."""
_GROWTH = 1.3
"""A mapping is fitted again when there are this many times the places of the last fit."""
_REFRESH_SLOTS = 40
"""With all places in use, it is fitted again after this many slots."""
_DEVIATION = 0.35
"""Standard deviation of the distance between two views of one object, in object sizes; measured 0.1 to 0.25."""
_ELSEWHERE = (0.02, 0.5)
"""Least and largest share of moments at which an object is not where its box says, because it is partly hidden. It is
the share of the objects that do not agree with the mapping."""
_CALIBRATED_ELSEWHERE = 0.05
"""Likewise, until it is known, with calibrated cameras."""
_CALIBRATED_AGREEING = 0.3
"""Calibrations with which fewer objects agree are wrong: a mapping is learned instead."""
_DENSITY = 4.0
"""Log of how much likelier one place is for one object than for two."""
_HIDDEN_ELSEWHERE, _HIDDEN_DENSITY, _HIDDEN_SLOPE = 0.07, 4.4, 3.0
"""Likewise for a place that must be in a region, because the border of the picture hides the foot; the likelihood falls
exponentially with the distance from the region. Measured: same object within 0.2 of its size in 36 %, within 1 in 82 %,
others in 0.4 % and 5 %."""
_FARTHEST = 30.0
"""Larger distances count as this one: object sizes, or standard deviations."""
_MOMENTS = 3
"""Most moments that count as independent."""
_HALF_LIFE = 4
"""A moment counts half as much as one that is so many slots newer: a track may have gone on with another object."""
_CLIP = (-12.0, 10.0)
"""Bounds of the log-likelihood ratio."""


class ViewPair:
    """The places that two cameras have seen together, and the mapping that was learned from them."""

    def __init__(self, calibrated: Matrix | None = None) -> None:
        """`calibrated`: the mapping that calibrations give."""
        self._calibrated = calibrated
        self.places: list[list[float]] = []
        """For each: x, y and size in the first picture, x, y and size in the second, and the two track ids, which are
        too large for float64 and stay integers."""
        self.mapping: Matrix | None = calibrated
        """`(3, 3)` float64: pixels of the first picture to pixels of the second."""
        self.elsewhere = _CALIBRATED_ELSEWHERE
        """Share of the objects that do not agree with it."""
        self.fitted_places = 0
        self.fitted_slot = 0

    def add(self, place: Sequence[float], tracks: Pair) -> None:
        """Add a place of two tracks, unless it says nothing new."""
        same = [known for known in self.places if known[6] == tracks[0] and known[7] == tracks[1]]
        if len(same) >= _PAIR_PLACES:
            return
        if same and np.hypot(place[0] - same[-1][0], place[1] - same[-1][1]) < _APART * place[2]:
            return
        self.places.append([*place, *tracks])
        del self.places[:-_PLACES]

    @property
    def disagrees(self) -> bool:
        """Whether so many objects agree on no mapping that these cannot be objects that both views show."""
        return (
            self.mapping is None
            and self.fitted_places >= _PLACES_THAT_MUST_AGREE
            and len({(place[6], place[7]) for place in self.places}) >= _OBJECTS_THAT_MUST_AGREE
        )

    def fit_if_due(self, slot: int, seed: int) -> bool:
        """Learn the mapping again if there is enough that is new; whether it was."""
        grown = len(self.places) >= max(_FEWEST_PLACES, _GROWTH * self.fitted_places)
        aged = len(self.places) == _PLACES and slot - self.fitted_slot >= _REFRESH_SLOTS
        is_due = grown or aged
        if is_due:
            self.fitted_places, self.fitted_slot = len(self.places), slot
            tracks = [tuple(place[6:8]) for place in self.places]
            numbers = {pair: number for number, pair in enumerate(dict.fromkeys(tracks))}
            objects = np.array([numbers[pair] for pair in tracks])
            places = np.array([place[:6] for place in self.places])
            if self._calibrated is not None and len(numbers) >= _FEWEST_OBJECTS:
                share = _agreement(self._calibrated, places, objects)
                if share >= _CALIBRATED_AGREEING:
                    self.mapping, self.elsewhere = self._calibrated, _elsewhere(share)
                    return True
            self.mapping, self.elsewhere = _learned(places, objects, seed + len(places))
        return is_due

    @property
    def is_confirmed(self) -> bool:
        """Whether objects agree with the mapping."""
        return self.mapping is not None and self.fitted_places > 0


def _learned(places: npt.NDArray[np.float64], objects: npt.NDArray[np.int64], seed: int) -> tuple[Matrix | None, float]:
    """The mapping of the `(n, 6)` places of numbered objects, and the share of the objects that it does not hold for.

    The mapping is None if too few objects agree, or if they do not predict each other.
    """
    points, sizes, others, other_sizes = places[:, 0:2], places[:, 2], places[:, 3:5], places[:, 5]
    found = fit_homography(points, others, sizes, other_sizes, _WITHIN, seed)
    if found is None:
        return None, 0.0
    mapping, agreeing = found
    deviations = (points[agreeing] - points[agreeing].mean(axis=0)) / sizes[agreeing].mean()
    spread = np.linalg.svd(deviations, compute_uv=False)[1] / np.sqrt(len(deviations))
    if spread < _SPREAD:
        return None, 0.0
    predicted, total = 0, int(objects.max()) + 1
    for held_out in range(total):
        own = objects == held_out
        rest = agreeing & ~own
        without = least_squares(points[rest], others[rest]) if rest.sum() >= _LEAST_REST else None
        if without is not None:
            far = distances_of(without, points[own], others[own], sizes[own], other_sizes[own])
            predicted += bool(np.median(far) < _HELD_OUT_WITHIN)
    if predicted < max(_FEWEST_OBJECTS, _AGREEING * total):
        return None, 0.0
    share = float((np.bincount(objects, agreeing) / np.bincount(objects)).mean())
    # Rounded, because the last bits depend on the memory layout; a replay must not differ.
    return np.round(mapping, 14), _elsewhere(share)


def _agreement(mapping: Matrix, places: npt.NDArray[np.float64], objects: npt.NDArray[np.int64]) -> float:
    """Mean share of the places of each object that agree with a mapping."""
    far = distances_of(mapping, places[:, 0:2], places[:, 3:5], places[:, 2], places[:, 5])
    return float((np.bincount(objects, far < _WITHIN) / np.bincount(objects)).mean())


def _elsewhere(share: float) -> float:
    return round(float(np.clip(1.0 - share, *_ELSEWHERE)), 6)


class _Common(NamedTuple):
    """The `k` moments that are known of a track and of another one, for `n` tracks and `m` others; flat indices."""

    here: npt.NDArray[np.intp]
    """`(k,)` track and moment, of `(n, S)`."""
    there: npt.NDArray[np.intp]
    """`(k,)` other track and moment, of `(m, S)`."""
    pairs: npt.NDArray[np.intp]
    """`(k,)` track and other track, of `(n, m)`."""
    moments: npt.NDArray[np.intp]
    """`(k,)` of `S`."""

    @classmethod
    def of(cls, one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> _Common:
        """Given which moments are known of each track, `(n, S)`, and of each other one, `(m, S)`."""
        if not one.any() or not other.any():
            return cls(*(np.zeros(0, np.intp),) * 4)
        pairs, moments = np.divmod(np.flatnonzero(one[:, None] & other[None]), one.shape[1])
        tracks, others = np.divmod(pairs, len(other))
        return cls(tracks * one.shape[1] + moments, others * one.shape[1] + moments, pairs, moments)


class _Sums:
    """Mean log-likelihood ratio of each of `n` tracks with each of `m` others, from those moments that both have."""

    def __init__(self, common: _Common, each: Ratios, shape: tuple[int, int], weights: Ratios) -> None:
        """From `k` common moments.

        Args:
            common: which they are.
            each: `(k,)` their ratios.
            shape: `(n, m)`.
            weights: `(S,)` how much each moment counts.
        """
        size, weight = shape[0] * shape[1], weights[common.moments]
        self.counts = np.bincount(common.pairs, minlength=size).reshape(shape)
        total = np.bincount(common.pairs, each * weight, size).reshape(shape)
        self.means = total / np.maximum(np.bincount(common.pairs, weight, size).reshape(shape), 1e-30)


def _distances_in_sizes(points: Ratios, feet: Ratios) -> Ratios:
    """Distances of `(k, 2)` points from `(k, 3)` feet, in object sizes; nan where one of them is not known."""
    with np.errstate(all="ignore"):
        apart: Ratios = np.hypot(points[:, 0] - feet[:, 0], points[:, 1] - feet[:, 1]) / feet[:, 2]
    return apart


def _hidden(points: Ratios, regions: Ratios) -> Ratios:
    """What places say of objects whose feet the border hides, `(k,)` log-likelihood ratios.

    Args:
        points: `(k, 2)` feet in the other picture, mapped into this one.
        regions: `(k, 5)`, see `Places.regions`.
    """
    (x, y), (low_x, high_x, low_y, high_y, sizes) = points.T, regions.T
    with np.errstate(all="ignore"):
        aside = np.maximum(np.maximum(low_x - x, x - high_x), 0.0)
        above = np.maximum(np.maximum(low_y - y, y - high_y), 0.0)
        far = np.nan_to_num(np.hypot(aside, above) / sizes, nan=_FARTHEST)
    ratios: Ratios = np.log(_HIDDEN_ELSEWHERE + np.exp(_HIDDEN_DENSITY - _HIDDEN_SLOPE * np.minimum(far, _FARTHEST)))
    return ratios


class ViewPairs:
    """All pairs of cameras that have seen something together."""

    def __init__(self, motion: MotionHistory, ground: Ground) -> None:
        self._motion, self._ground = motion, ground
        self._pairs: dict[Pair, ViewPair] = {}

    def _pair(self, cameras: Pair) -> ViewPair:
        if cameras not in self._pairs:
            self._pairs[cameras] = ViewPair(self._ground.mapping(*cameras))
        return self._pairs[cameras]

    def collect(self, couples: Sequence[Couple], here: Ratios, there: Ratios) -> None:
        """Take the newest places of tracks that are one object.

        Args:
            couples: `n` pairs of tracks.
            here: `(n, 3, 3)` places of the first tracks at the last three moments, the oldest first; see
                `MotionHistory.feet`.
            there: likewise of the others.
        """
        both = np.concatenate([here, there], axis=2)
        known = ~np.isnan(both).any(axis=2)
        for i in np.flatnonzero(known.any(axis=1)).tolist():
            cameras, _, tracks = couples[i]
            for place in both[i, known[i]].tolist():
                self._pair(cameras).add(place, tracks)

    def restart(self, camera: int) -> None:
        """Forget what is known of a camera, which shows another view."""
        self._pairs = {cameras: pair for cameras, pair in self._pairs.items() if camera not in cameras}

    def fit(self) -> bool:
        """Learn the mappings that are due; whether there were any."""
        fitted = [
            pair.fit_if_due(self._motion.now, 1000 * (first * 1000 + second))
            for (first, second), pair in sorted(self._pairs.items())
        ]
        return any(fitted)

    def ratios(self, cameras: Pair, here: Places, there: Places) -> Ratios | None:
        """Log-likelihood ratio of "one object" against "two" from places; None if no mapping is known.

        Args:
            cameras: the lower index first.
            here: `n` tracks in the first camera.
            there: `m` tracks in the second camera.

        Returns:
            `(n, m)` float64; 0 for tracks that were never seen at one moment.
        """
        pair = self._pair(cameras)
        if pair.mapping is None:
            return None
        shape = len(here.feet), len(there.feet)
        moments = np.arange(here.feet.shape[1])
        weights = 0.5 ** ((self._motion.now - moments) % len(moments) / _HALF_LIFE)
        feet, others = here.feet.reshape(-1, 3), there.feet.reshape(-1, 3)
        moved, back = mapped(pair.mapping, feet[:, :2]), mapped(inverse(pair.mapping), others[:, :2])
        both = _Common.of(here.has_foot, there.has_foot)
        far = np.maximum(
            _distances_in_sizes(moved.take(both.here, 0), others.take(both.there, 0)),
            _distances_in_sizes(back.take(both.there, 0), feet.take(both.here, 0)),
        )
        far = np.nan_to_num(far, nan=BEHIND)
        each = np.log(pair.elsewhere + np.exp(_DENSITY - 0.5 * np.minimum(far / _DEVIATION, _FARTHEST) ** 2))
        seen = _Sums(both, each, shape, weights)
        counted = np.minimum(seen.counts, _MOMENTS)
        ratios = seen.means * counted
        both = _Common.of(here.has_foot, there.is_cut)
        each = _hidden(moved.take(both.here, 0), there.regions.reshape(-1, 5).take(both.there, 0))
        hidden_there = _Sums(both, each, shape, weights)
        both = _Common.of(here.is_cut, there.has_foot)
        each = _hidden(back.take(both.there, 0), here.regions.reshape(-1, 5).take(both.here, 0))
        hidden_here = _Sums(both, each, shape, weights)
        for hidden in (hidden_there, hidden_here):
            ratios = ratios + hidden.means * np.minimum(hidden.counts, _MOMENTS - counted)
        return np.clip(ratios, *_CLIP)

    def learned(self) -> list[tuple[Pair, int, bool]]:
        """For each pair of cameras: how many places it has, and whether a mapping is known."""
        return [(cameras, len(pair.places), pair.mapping is not None) for cameras, pair in sorted(self._pairs.items())]

    def mapping(self, cameras: Pair) -> Matrix | None:
        """Places in the first picture to those in the second, `(3, 3)` float64; None if it is not known."""
        return self._pair(cameras).mapping

    def knows(self, cameras: Pair) -> bool:
        """Whether a mapping is learned, or given by calibrations."""
        pair = self._pairs.get(cameras)
        return (self._ground.mapping(*cameras) if pair is None else pair.mapping) is not None

    def mapped(self) -> list[Pair]:
        """The pairs of cameras with a mapping that objects agree with."""
        return [cameras for cameras, pair in sorted(self._pairs.items()) if pair.is_confirmed]

    def disagreeing(self) -> list[Pair]:
        """The pairs of cameras whose objects agree on no mapping."""
        return [cameras for cameras, pair in sorted(self._pairs.items()) if pair.disagrees]

    def to_dict(self) -> dict[str, Any]:
        """The places and mappings for a checkpoint."""
        return {
            "calibrations": sorted(self._ground.fingerprints.items()),
            "pairs": [
                [
                    *cameras,
                    pair.places,
                    None if pair.mapping is None else pair.mapping.tobytes(),
                    pair.elsewhere,
                    pair.fitted_places,
                    pair.fitted_slot,
                ]
                for cameras, pair in sorted(self._pairs.items())
            ],
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`; camera `i` has index `camera_index[i]` now, -1 if it is gone.

        What is known of a camera whose calibration has changed is dropped: its coordinates are others.
        """
        before = {camera_index[camera]: mark for camera, mark in data.get("calibrations", ())}
        changed = self._ground.changed_since(before)
        for first, second, places, mapping, elsewhere, fitted_places, fitted_slot in data.get("pairs", ()):
            cameras = camera_index[first], camera_index[second]
            if min(cameras) < 0 or not changed.isdisjoint(cameras):
                continue
            pair = self._pairs[cameras] = ViewPair(self._ground.mapping(*cameras))
            pair.places = [list(place) for place in places]
            pair.mapping = None if mapping is None else np.frombuffer(mapping, np.float64).reshape(3, 3).copy()
            pair.elsewhere, pair.fitted_places, pair.fitted_slot = elsewhere, fitted_places, fitted_slot
