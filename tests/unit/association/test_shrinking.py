"""The table gives memory back after a rush, and nothing else changes."""

from __future__ import annotations

from typing import Any, Literal

import msgpack
import numpy as np
import pytest

from association import track_table
from association.core import Association
from association.outcome import CycleResult
from association.track_table import TrackTable
from shared.layout import Layout
from tests.unit.association.scenes import Stay, entries, settings
from tests.unit.association.test_association import random_scene


def run(mode: Literal["live", "reference"], monkeypatch: pytest.MonkeyPatch, *, shrinks: bool) -> tuple[Any, Any]:
    """The changes of a busy scene, and the capacity of the table after each cycle."""
    monkeypatch.setattr(track_table, "_FIRST_CAPACITY", 4)
    monkeypatch.setattr(track_table, "_SHRINK_ABOVE", 4 if shrinks else 10**9)
    monkeypatch.setattr(track_table, "_SHRINK_BELOW", 0.5)
    association = Association(Layout.open(tuple("ABCD")), settings(mode=mode, retention_s=4))
    busy = entries([*random_scene(50, 60), *(Stay(100 + i, i % 4, 5, 20 + i) for i in range(20))], 2.5, 50)
    seen: dict[int, list[Any]] = {}
    for entry in busy:
        seen.setdefault(entry.tick, []).append(entry)
    changes, capacities = [], []
    for tick in range(1, 200):
        result: CycleResult = association.cycle(tick, tick * 10**8, seen.get(tick, []))
        changes.append((result.assignments, result.events, result.sightings, result.aliases, result.positions))
        capacities.append(len(association.table.rows))
        if tick % 37 == 0:
            state = msgpack.unpackb(msgpack.packb(association.to_dict()), strict_map_key=False)
            again = Association(Layout.open(tuple("ABCD")), association.settings)
            again.restore(state, range(4))
            assert again.to_dict() == association.to_dict()
            association = again
    return changes, capacities


@pytest.mark.parametrize("mode", ["live", "reference"])
def test_a_table_that_shrinks_comes_to_the_same_identities(
    mode: Literal["live", "reference"], monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, grown = run(mode, monkeypatch, shrinks=False)
    changes, capacities = run(mode, monkeypatch, shrinks=True)
    assert changes == straight
    assert grown == sorted(grown)
    assert capacities[-1] == 4 < max(capacities)


def test_a_checkpoint_of_a_table_has_only_the_rows_in_use() -> None:
    table = TrackTable()
    rows = [table.add(0, track, 0, 1, 1) for track in range(1000)]
    table.embed(np.array(rows), np.ones((1000, 8), np.float32), np.ones(1000, np.float32), "m")
    for row in rows[3:]:
        table.remove(row)
    state = table.to_dict()
    assert len(state["sums"]) == 3 * 8 * 4
    again = TrackTable.from_dict(state)
    assert again.to_dict() == state
    assert [again.find(0, track) for track in range(4)] == [*rows[:3], None]
    assert [again.add(1, track, 0, 1, 1) for track in range(5)] == [table.add(1, track, 0, 1, 1) for track in range(5)]
    assert np.array_equal(again.features(np.array(rows[:3])), table.features(np.array(rows[:3])))
