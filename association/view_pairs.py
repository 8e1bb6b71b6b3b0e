"""Learns how the ground in one camera's picture maps to that in another's, from objects that both see. Pure.

Identities that two overlapping views share give pairs of places. Once enough objects agree on one homography, it tells
for every two tracks whether they are at one place. Wrong identities do not disturb it: they agree on nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from association.ground import Ground
from association.homography import BEHIND, fit_homography
from association.homography import distances as distances_of
from association.motion import SLOTS, MotionHistory, Ratios, Rows
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
_BACK = (*range(6), *range(8, SLOTS, 4))
"""The moments that are compared, in slots before the newest: older ones add little."""
_MOMENTS = 3
"""Most moments that count as independent."""
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

    def fit_if_due(self, slot: int, seed: int) -> None:
        """Learn the mapping again if there is enough that is new."""
        grown = len(self.places) >= max(_FEWEST_PLACES, _GROWTH * self.fitted_places)
        aged = len(self.places) == _PLACES and slot - self.fitted_slot >= _REFRESH_SLOTS
        if grown or aged:
            self.fitted_places, self.fitted_slot = len(self.places), slot
            tracks = [tuple(place[6:8]) for place in self.places]
            numbers = {pair: number for number, pair in enumerate(dict.fromkeys(tracks))}
            objects = np.array([numbers[pair] for pair in tracks])
            places = np.array([place[:6] for place in self.places])
            if self._calibrated is not None and len(numbers) >= _FEWEST_OBJECTS:
                share = _agreement(self._calibrated, places, objects)
                if share >= _CALIBRATED_AGREEING:
                    self.mapping, self.elsewhere = self._calibrated, _elsewhere(share)
                    return
            self.mapping, self.elsewhere = _learned(places, objects, seed + len(places))

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


def _hidden(points: Ratios, regions: Ratios) -> tuple[Ratios, Ratios]:
    """What places say of objects whose feet the border hides.

    Args:
        points: `(n, S, 2)` feet of tracks in the other picture, mapped into this one.
        regions: `(m, S, 5)`, see `MotionHistory.hidden_feet`.

    Returns:
        `(n, m)` mean log-likelihood ratio, and `(n, m)` number of moments.
    """
    x, y = points[:, None, :, 0], points[:, None, :, 1]
    low_x, high_x, low_y, high_y, sizes = np.moveaxis(regions[None], -1, 0)
    with np.errstate(all="ignore"):
        aside = np.maximum(np.maximum(low_x - x, x - high_x), 0.0)
        above = np.maximum(np.maximum(low_y - y, y - high_y), 0.0)
        far = np.hypot(aside, above) / sizes
    known = ~np.isnan(far)
    each = np.log(
        _HIDDEN_ELSEWHERE + np.exp(_HIDDEN_DENSITY - _HIDDEN_SLOPE * np.where(known, np.minimum(far, 30.0), 30.0))
    )
    count = known.sum(axis=-1)
    return np.where(known, each, 0.0).sum(axis=-1) / np.maximum(count, 1), count


class ViewPairs:
    """All pairs of cameras that have seen something together."""

    def __init__(self, motion: MotionHistory, ground: Ground) -> None:
        self._motion, self._ground = motion, ground
        self._pairs: dict[Pair, ViewPair] = {}

    def _pair(self, cameras: Pair) -> ViewPair:
        if cameras not in self._pairs:
            self._pairs[cameras] = ViewPair(self._ground.mapping(*cameras))
        return self._pairs[cameras]

    def collect(self, couples: Iterable[Couple]) -> None:
        """Take the newest places of tracks that are one object."""
        listed = list(couples)
        if not listed:
            return
        feet = [self._motion.feet(np.array(side)) for side in zip(*(rows for _, rows, _ in listed), strict=True)]
        for number, (cameras, _, tracks) in enumerate(listed):
            for slot in range(self._motion.now - 2, self._motion.now + 1):
                here, there = (side[number, slot % side.shape[1]] for side in feet)
                if not (np.isnan(here).any() or np.isnan(there).any()):
                    self._pair(cameras).add([*here.tolist(), *there.tolist()], tracks)

    def fit(self) -> None:
        """Learn the mappings that are due."""
        for (first, second), pair in sorted(self._pairs.items()):
            pair.fit_if_due(self._motion.now, 1000 * (first * 1000 + second))

    def ratios(self, cameras: Pair, a: Rows, b: Rows) -> Ratios | None:
        """Log-likelihood ratio of "one object" against "two" from places; None if no mapping is known.

        Args:
            cameras: of `a` and of `b`, the lower index first.
            a: `(n,)` rows of tracks in the first camera.
            b: `(m,)` rows of tracks in the second camera.

        Returns:
            `(n, m)` float64; 0 for tracks that were never seen at one moment.
        """
        pair = self._pair(cameras)
        if pair.mapping is None:
            return None
        columns = (self._motion.now - np.array(_BACK)) % SLOTS
        here, there = self._motion.feet(a)[:, columns], self._motion.feet(b)[:, columns]
        moved, back = mapped(pair.mapping, here[..., :2]), mapped(inverse(pair.mapping), there[..., :2])
        with np.errstate(all="ignore"):
            far = np.maximum(
                np.linalg.norm(moved[:, None] - there[None, ..., :2], axis=-1) / there[None, ..., 2],
                np.linalg.norm(back[None] - here[:, None, :, :2], axis=-1) / here[:, None, :, 2],
            )
        both = ~np.isnan(here[..., 2])[:, None] & ~np.isnan(there[..., 2])[None]
        far = np.where(np.isfinite(far), far, BEHIND)
        each = np.log(pair.elsewhere + np.exp(_DENSITY - 0.5 * np.minimum(far / _DEVIATION, 30.0) ** 2))
        moments = both.sum(axis=-1)
        mean = np.where(both, each, 0.0).sum(axis=-1) / np.maximum(moments, 1)
        counted = np.minimum(moments, _MOMENTS)
        ratios = mean * counted
        for points, regions, is_turned in (
            (moved, self._motion.hidden_feet(b)[:, columns], False),
            (back, self._motion.hidden_feet(a)[:, columns], True),
        ):
            one_way, count = _hidden(points, regions)
            if is_turned:
                one_way, count = one_way.T, count.T
            ratios = ratios + one_way * np.minimum(count, _MOMENTS - counted)
        return np.clip(ratios, *_CLIP)

    def learned(self) -> list[tuple[Pair, int, bool]]:
        """For each pair of cameras: how many places it has, and whether a mapping is known."""
        return [(cameras, len(pair.places), pair.mapping is not None) for cameras, pair in sorted(self._pairs.items())]

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
        marks = self._ground.fingerprints
        changed = {camera for camera in {*before, *marks} if before.get(camera) != marks.get(camera)}
        for first, second, places, mapping, elsewhere, fitted_places, fitted_slot in data.get("pairs", ()):
            cameras = camera_index[first], camera_index[second]
            if min(cameras) < 0 or not changed.isdisjoint(cameras):
                continue
            pair = self._pairs[cameras] = ViewPair()
            pair.places = [list(place) for place in places]
            pair.mapping = None if mapping is None else np.frombuffer(mapping, np.float64).reshape(3, 3).copy()
            pair.elsewhere, pair.fitted_places, pair.fitted_slot = elsewhere, fitted_places, fitted_slot
