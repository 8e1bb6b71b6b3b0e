"""A camera's mean is that of its objects, and not of the one that stays longest."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from association.camera_means import CameraMeans
from association.core import Association
from association.outcome import CameraTick
from association.settings import AssociationSettings
from association.track_table import TrackTable
from shared.messages import TrackBatch
from tests.unit.association.scenes import appearance, overlapping, settings

FPS, SECOND_NS, DIMENSION = 5, 10**9, 64
PARKED, ANOTHER = 1, 2


class Sight(NamedTuple):
    """One track: `camera` sees `who` between these seconds."""

    who: int
    camera: int
    first_s: int
    last_s: int


PARKED_BESIDE = [Sight(PARKED, 0, 1, 100), Sight(PARKED, 1, 30, 100), Sight(PARKED, 2, 60, 75)]
"""An object stands in the view of a camera that shows nothing else, and two other views begin to show it."""


class Looks:
    """Embeddings as of a real model: what all have in common, the camera, the object, the side that is seen, noise."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._common, self._looks = 0.8 * self._direction(), dict[tuple[int, ...], npt.NDArray[np.float64]]()

    def _direction(self) -> npt.NDArray[np.float64]:
        vector = self._random.standard_normal(DIMENSION)
        return np.asarray(vector / np.linalg.norm(vector))

    def crop(self, who: int, camera: int) -> npt.NDArray[np.float64]:
        keys = (camera,), (who, -1), (who, camera)
        parts = [self._looks.setdefault(key, self._direction()) for key in keys]
        vector = self._common + np.array([0.3, 1.0, 0.5]) @ parts + 0.15 * self._direction()
        return np.asarray(vector / np.linalg.norm(vector))


def scene(sights: Sequence[Sight], seed: int) -> Iterator[tuple[int, list[CameraTick]]]:
    """The entries of each tick; the number of a track is that of its sight, from 1.

    As in the camera worker, a track is embedded at each of its first five ticks, then about every half second.
    """
    looks = Looks(seed)
    for tick in range(FPS, (max(sight.last_s for sight in sights) + 6) * FPS):
        seen = []
        for camera in sorted({sight.camera for sight in sights}):
            own = [(track, sight) for track, sight in enumerate(sights, start=1) if sight.camera == camera]
            here = [(track, sight) for track, sight in own if sight.first_s * FPS <= tick <= sight.last_s * FPS]
            ages = [tick - sight.first_s * FPS for _, sight in here]
            due = [number for number, age in enumerate(ages) if age < 5 or age % 3 == 0]
            rows = np.full(len(here), -1, np.int32)
            rows[due] = np.arange(len(due))
            crops = [looks.crop(here[number][1].who, camera) for number in due]
            batch = TrackBatch(
                track_ids=np.array([track for track, _ in here], np.int64),
                boxes_xyxy=np.zeros((len(here), 4), np.float32),
                scores=np.ones(len(here), np.float32),
                class_ids=np.zeros(len(here), np.int16),
                qualities=np.full(len(here), 0.8, np.float32),
                embedding_rows=rows,
                embeddings=np.array(crops, np.float16).reshape(-1, DIMENSION),
                ended=np.array([track for track, sight in own if tick == (sight.last_s + 1) * FPS], np.int64),
                embedder="sim",
            )
            seen.append(CameraTick(camera, tick, tick * SECOND_NS // FPS, batch))
        yield tick, seen


def live(**given: float) -> AssociationSettings:
    return replace(settings(mode="live", interval_ticks=FPS, **given), tick_ns=SECOND_NS // FPS)  # type: ignore[arg-type]


def gids_of(sights: Sequence[Sight], seed: int) -> list[list[int]]:
    """All gids that the track of each sight has had."""
    association = Association(overlapping(3), live())
    found: list[list[int]] = [[] for _ in sights]
    for tick, seen in scene(sights, seed):
        for change in association.cycle(tick, tick * SECOND_NS // FPS, seen).assignments:
            if change.gid:
                found[change.track_id - 1].append(change.gid)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_parked_object_that_is_all_a_site_knows_keeps_its_gid_in_other_views(seed: int) -> None:
    *parked, other = gids_of([*PARKED_BESIDE, Sight(ANOTHER, 2, 85, 100)], seed)
    assert parked == [[1]] * 3
    assert other == [2]


def filled(*tracks: tuple[int, int, int, int]) -> TrackTable:
    """A table of tracks: who, camera, number of crops, gid. Their last pictures are one second apart."""
    table = TrackTable()
    for number, (who, camera, crops, gid) in enumerate(tracks, start=1):
        row = table.add(camera, number, 0, number, number * SECOND_NS)
        for _ in range(crops):
            crop = appearance(who)[None].astype(np.float32)
            table.embed(np.array([row]), crop, np.ones(1, np.float32), "sim")
        table.rows["gid"][row] = gid
    return table


def mean_of(table: TrackTable, camera: int = 0) -> npt.NDArray[np.float32]:
    means = CameraMeans(table)
    means.renew()
    return means.of((camera, 0))


def test_an_object_counts_once_however_long_it_stays_and_in_however_many_tracks() -> None:
    others = [(who, 0, 20, who) for who in range(2, 7)]
    expected = mean_of(filled((1, 0, 20, 1), *others))
    assert mean_of(filled((1, 0, 900, 1), *others)) == pytest.approx(expected, abs=1e-5)
    assert mean_of(filled((1, 0, 400, 1), (1, 0, 30, 1), (1, 0, 2, 1), *others)) == pytest.approx(expected, abs=1e-5)
    assert mean_of(filled((1, 0, 20, 0), *others)) == pytest.approx(expected, abs=1e-5), "also without a gid"


def test_an_object_in_several_views_counts_once_in_the_mean_of_all_cameras() -> None:
    """A fourth camera has shown nothing of its own yet, but a glimpse."""
    glimpse = (9, 3, 1, 0)
    alone = mean_of(filled((1, 0, 20, 1), (2, 0, 20, 2), glimpse), camera=3)
    everywhere = mean_of(filled(*((1, camera, 20, 1) for camera in range(3)), (2, 0, 20, 2), glimpse), camera=3)
    assert everywhere == pytest.approx(alone, abs=1e-5)


def test_little_is_removed_of_the_only_object_and_all_that_many_have_in_common() -> None:
    alone = mean_of(filled((1, 0, 1000, 1)))
    assert 0.3 < alone @ appearance(1) < 0.75
    shared = appearance(100)
    table = filled(*((who, 0, 20, who) for who in range(1, 61)))
    table.sums += 0.8 * shared.astype(np.float32) * table.weights[:, None]
    mean = mean_of(table)
    assert mean @ shared == pytest.approx(0.8, abs=0.1)


def test_what_the_table_forgets_still_counts_once() -> None:
    table = filled((1, 0, 400, 1), (1, 0, 30, 1), (2, 0, 20, 2), (3, 0, 20, 3))
    means = CameraMeans(table)
    means.renew()
    before = means.of((0, 0)).copy()
    for leaving in ([1], [0, 2]):
        tracks = [row for number in leaving if (row := table.find(0, number + 1)) is not None]
        means.retire(tracks)
        for row in tracks:
            table.remove(row)
        means.renew()
        assert means.of((0, 0)) == pytest.approx(before, abs=1e-5)
        assert means.crops() == {(0, 0): 60.0}
    again = CameraMeans(table)
    again.restore(copy.deepcopy(means.to_dict()), [0])
    assert again.to_dict() == means.to_dict()
    again.renew()
    assert (again.of((0, 0)) == means.of((0, 0))).all()


def test_means_forget_all_but_the_newest_objects() -> None:
    """Of 250 objects with 20 crops each, the newest 150 count, whether the table knows the others or not."""
    old, new = [(1, 0, 20, 1000 + i) for i in range(100)], [(2, 0, 20, 2000 + i) for i in range(150)]
    table = filled(*old, *new)
    expected = mean_of(filled(*new))
    assert mean_of(table) == pytest.approx(expected, abs=1e-5)
    means = CameraMeans(table)
    rows = [row for number in range(1, 101) if (row := table.find(0, number)) is not None]
    means.retire(rows)
    for row in rows:
        table.remove(row)
    means.renew()
    assert means.of((0, 0)) == pytest.approx(expected, abs=1e-5)
    assert means.crops() == {(0, 0): 3000.0}


def test_a_restored_state_with_forgotten_tracks_goes_on_to_the_bit() -> None:
    sights = [Sight(who, who % 3, 1 + 3 * who, 8 + 3 * who) for who in range(8)]
    whole, again = (Association(overlapping(3), live(retention_s=4, lost_s=2)) for _ in range(2))
    published: list[Counter[tuple[int, int, int]]] = [Counter(), Counter()]
    for tick, seen in scene(sights, 1):
        if tick == 24 * FPS:
            again.restore(copy.deepcopy(whole.to_dict()), [0, 1, 2])
            assert whole.to_dict()["grouping"]["evidence"]["appearance"]["gone"]
            assert again.to_dict() == whole.to_dict()
        for found, association in zip(published, (whole, again), strict=True):
            if association is whole or tick >= 24 * FPS:
                result = association.cycle(tick, tick * SECOND_NS // FPS, seen)
                if tick >= 24 * FPS:
                    found.update((one.camera, one.track_id, one.gid) for one in result.assignments)
    assert published[0] == published[1]
    assert again.to_dict() == whole.to_dict()
