"""A camera whose pictures are late is noticed, and its objects are compared with where the others were then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from association.core import Association
from association.outcome import CameraTick
from tests.unit.association.crossing import FPS, TICK_NS, crossing_entries, traffic
from tests.unit.association.test_ground import LIVE, gids_of, layout, shares_of

SECONDS = 90.0


def late(seen: list[CameraTick], ticks: dict[int, int]) -> list[CameraTick]:
    """The entries, with those of some cameras so many ticks later."""
    moved = [
        replace(one, tick=one.tick + (by := ticks.get(one.camera, 0)), time_ns=one.time_ns + by * TICK_NS)
        for one in seen
    ]
    last = seen[-1].tick
    return sorted((one for one in moved if 1 <= one.tick <= last), key=lambda one: (one.tick, one.camera))


def run(ticks: dict[int, int], seed: int) -> tuple[Association, float]:
    seen = late(crossing_entries(traffic(34, 6, seed, SECONDS), 3, SECONDS, 0.5, seed), ticks)
    association = Association(layout(0, 1, 2), LIVE)
    return association, shares_of(gids_of(association, seen))[0]


@pytest.mark.parametrize("ticks", [{}, {1: 3}, {0: -2, 2: 2}])
def test_the_offsets_of_the_cameras_are_learned(ticks: dict[int, int]) -> None:
    association, _ = run(ticks, 1)
    learned = association.learned()
    assert learned is not None
    mean = sum(ticks.values()) / 3
    for one in learned.offsets:
        expected = (ticks.get(one.camera, 0) - mean) / FPS
        assert one.seconds == pytest.approx(expected, abs=0.08)
        assert one.corrected == pytest.approx(expected, abs=0.2 if ticks else 0)
    assert [one.camera for one in learned.offsets] == [0, 1, 2]


def test_late_pictures_do_not_tear_identities_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    _, same = run({1: 5}, 4)
    monkeypatch.setattr("association.time_offsets._CERTAIN_S", 0.0)
    _, uncorrected = run({1: 5}, 4)
    assert same > uncorrected + 0.05


def test_more_than_a_second_is_not_corrected() -> None:
    association, _ = run({1: 12}, 3)
    learned = association.learned()
    assert learned is not None
    assert all(abs(one.corrected) <= 1 for one in learned.offsets)


def test_what_was_learned_survives_a_restart_to_the_bit() -> None:
    seen = late(crossing_entries(traffic(30, 30, 1, 60.0), 3, 60.0, 0.4, 1), {1: 3})
    whole, again = Association(layout(0, 1, 2), LIVE), Association(layout(0, 1, 2), LIVE)
    half = 30 * FPS
    gids_of(whole, [one for one in seen if one.tick <= half])
    again.restore(whole.to_dict(), [0, 1, 2])
    assert again.learned() == whole.learned()
    rest = [one for one in seen if one.tick > half]
    assert gids_of(again, rest) == gids_of(whole, rest)
    assert again.to_dict() == whole.to_dict()


def test_without_learning_no_time_is_changed() -> None:
    seen = late(crossing_entries(traffic(30, 30, 1, 40.0), 3, 40.0, 0.4, 1), {1: 3})
    association = Association(layout(0, 1, 2), replace(LIVE, learn=False))
    gids_of(association, seen)
    learned = association.learned()
    assert learned is not None
    assert not learned.offsets
