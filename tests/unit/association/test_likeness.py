"""A search by appearance: which identities look like a crop."""

from __future__ import annotations

from typing import Literal

import msgpack
import numpy as np
import numpy.typing as npt
import pytest

from association.core import Association
from association.outcome import CameraTick
from shared.layout import Layout
from shared.messages import TrackBatch
from tests.unit.association.scenes import settings

DIMENSION = 32
OFFSETS = np.random.default_rng(7).normal(size=(2, DIMENSION)) * 2
"""What all crops of a camera have in common."""
OBJECTS = np.random.default_rng(8).normal(size=(6, DIMENSION))


def crop(number: int, camera: int, seed: int) -> npt.NDArray[np.float32]:
    """An embedding of an object as a camera shows it."""
    vector = OBJECTS[number] + OFFSETS[camera] + np.random.default_rng(seed).normal(size=DIMENSION) * 0.2
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def watched(mode: Literal["live", "reference"]) -> Association:
    """Objects 0 to 2 are in camera 0, and 3 to 5 in camera 1, for 3 s."""
    association = Association(Layout.closed(("north", "south")), settings(mode=mode, min_similarity=0.95))
    watch(association, range(1, 31))
    return association


def watch(association: Association, ticks: range) -> None:
    """The next cycles."""
    for tick in ticks:
        seen = []
        for camera in (0, 1):
            numbers = range(3 * camera, 3 * camera + 3)
            batch = TrackBatch(
                track_ids=np.array(list(numbers), np.int64) + 1,
                boxes_xyxy=np.array([[200 * n, 10, 200 * n + 50, 110] for n in range(3)], np.float32),
                scores=np.full(3, 0.9, np.float32),
                class_ids=np.zeros(3, np.int16),
                qualities=np.full(3, 0.8, np.float32),
                embedding_rows=np.arange(3, dtype=np.int32),
                ended=np.zeros(0, np.int64),
                embeddings=np.stack([crop(n, camera, 100 * tick + n) for n in numbers]).astype(np.float16),
                embedder="ab12",
                width=1280,
                height=720,
            )  # fmt: skip
            seen.append(CameraTick(camera, tick, tick * 100_000_000, batch))
        association.cycle(tick, tick * 100_000_000, seen)


@pytest.mark.parametrize("mode", ["live", "reference"])
@pytest.mark.parametrize("names_camera", [True, False])
def test_a_crop_is_nearest_to_its_own_identity(mode: Literal["live", "reference"], names_camera: bool) -> None:
    association = watched(mode)
    before = msgpack.packb(association.to_dict(), default=str)
    rows = association.table.rows
    gids = [int(rows["gid"][association.table.find(number // 3, number + 1)]) for number in range(6)]
    assert len(set(gids)) == 6
    for number, gid in enumerate(gids):
        camera = number // 3
        found = association.gallery("ab12", camera if names_camera else None).search(
            crop(number, camera, 9000 + number)
        )
        assert found[0].gid == gid, (number, found)
        assert sorted(one.gid for one in found) == sorted(gids)
        assert found == sorted(found, key=lambda one: -one.score)
        assert found[0].similarity > found[1].similarity + 0.1
        if mode == "live" and names_camera:
            assert found[0].score > max(0, found[1].score)
    assert msgpack.packb(association.to_dict(), default=str) == before, "a search changes nothing"


@pytest.mark.parametrize("mode", ["live", "reference"])
def test_what_cannot_be_compared_finds_nothing(mode: Literal["live", "reference"]) -> None:
    association = watched(mode)
    assert association.gallery("another embedder").search(crop(0, 0, 1)) == []
    assert association.gallery("ab12").search(np.ones(DIMENSION + 1, np.float32) / 6) == []
    assert Association(Layout.closed(("north",)), settings(mode=mode)).gallery("ab12").search(crop(0, 0, 1)) == []


@pytest.mark.parametrize("mode", ["live", "reference"])
def test_later_cycles_do_not_change_a_gallery(mode: Literal["live", "reference"]) -> None:
    association = watched(mode)
    gallery = association.gallery("ab12")
    found = gallery.search(crop(0, 0, 1))
    watch(association, range(31, 51))
    assert gallery.search(crop(0, 0, 1)) == found
    assert association.gallery("ab12").search(crop(0, 0, 1)) != found
