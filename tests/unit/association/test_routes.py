"""Objects that go where others went before are known again, also where no camera sees the way."""

from __future__ import annotations

import numpy as np
import pytest

from association.core import Association
from association.routes import End, Routes, directions
from shared.layout import Layout
from tests.unit.association.scenes import Stay, settings
from tests.unit.association.test_passages import Drive, played

SPEED = 150.0
"""Pixels per second."""
TURN_TICKS = 150
NORTH, EAST = (0.0, -1.0), (1.0, 0.0)


def turning(who: int, first: int, *, at_the_right: bool) -> list[Drive]:
    """An object that leaves the picture at one side and comes back there, on the other lane, after 15 s."""
    away = SPEED if at_the_right else -SPEED
    border = 1220.0 if at_the_right else 60.0
    leaves = Drive(Stay(who, 0, first, first + 40), (border - away * 4, 250.0), (away, 0.0))
    begins = first + 40 + TURN_TICKS
    return [leaves, Drive(Stay(who, 0, begins, begins + 40), (border, 450.0), (-away, 0.0))]


@pytest.mark.parametrize("turns_at_the_right", [True, False])
def test_of_two_that_look_alike_the_one_comes_back_that_left_where_others_turned(turns_at_the_right: bool) -> None:
    others = [drive for who in range(5) for drive in turning(who, 1 + 60 * who, at_the_right=turns_at_the_right)]
    right, again = turning(90, 400, at_the_right=True)
    left, again_left = turning(90, 400, at_the_right=False)
    back = again if turns_at_the_right else again_left
    drives = [*others, right, left, back]
    *_, right_gid, left_gid, back_gid = played(Association(Layout.open(("A", "B")), settings(mode="live")), drives)
    assert right_gid != left_gid
    assert back_gid == (right_gid if turns_at_the_right else left_gid)


def test_who_is_not_seen_again_for_a_minute_counts_as_gone() -> None:
    association = Association(Layout.open(("A", "B")), settings(mode="live", retention_s=300))
    played(association, turning(1, 1, at_the_right=True)[:1], upto=700)
    routes = association._grouping.evidence.passages._routes  # type: ignore[union-attr]
    ((left, entered, *_),) = [passage for passage in routes.to_list() if passage[0]]
    assert left[0] == 0
    assert entered == []


def end(camera: int, x: float, y: float, towards: tuple[float, float], frame: int = -1) -> End:
    return End(camera, frame, x, y, 2.0, *towards)


def known(routes: Routes, left: End, entered: End, seconds: float) -> tuple[float, float, float]:
    begun, arriving, new, _ = routes.known(
        np.array([left[1:]]), entered.camera, np.array(entered[1:]), np.array([seconds]), 1000.0
    )
    return float(begun[0]), float(arriving[0]), new


def test_a_passage_counts_for_those_that_begin_and_end_as_it_did() -> None:
    routes = Routes()
    left, entered = end(0, 0.0, 0.0, EAST), end(1, 100.0, 50.0, NORTH)
    for _ in range(3):
        routes.learn(left, entered, 10.0, 100.0)
    begun, arriving, new = known(routes, left, entered, 10.0)
    assert begun == pytest.approx(3.0)
    assert arriving > 0.3
    assert new == 0.0
    near = known(routes, end(0, 3.0, 1.0, EAST), end(2, 98.0, 52.0, NORTH), 11.0)
    assert near[0] > 2.0
    assert near[1] > 0.2, "metres are the same in all cameras"
    for name, passage in {
        "elsewhere": (end(0, 30.0, 0.0, EAST), entered, 10.0),
        "the other way": (end(0, 0.0, 0.0, (-1.0, 0.0)), entered, 10.0),
        "to another place": (left, end(1, 60.0, 50.0, NORTH), 10.0),
        "too late": (left, entered, 30.0),
        "in pixels": (left, end(1, 100.0, 50.0, NORTH, frame=1), 10.0),
    }.items():
        assert known(routes, *passage)[1] < 0.01, name


def test_new_objects_and_those_that_never_come_again_count() -> None:
    routes = Routes()
    left, entered = end(0, 0.0, 0.0, EAST), end(1, 100.0, 50.0, NORTH)
    routes.learn(left, entered, 10.0, 100.0)
    alone = known(routes, left, entered, 10.0)
    for _ in range(4):
        routes.learn(None, entered, 0.0, 100.0)
        routes.learn(end(0, 0.5, 0.0, EAST), None, 0.0, 100.0)
    begun, arriving, new = known(routes, left, entered, 10.0)
    assert (begun, new) == (pytest.approx(5.0, abs=0.1), pytest.approx(4.0))
    assert arriving == alone[1]


def test_the_oldest_passages_of_a_camera_are_forgotten() -> None:
    routes = Routes()
    for x in range(500):
        routes.learn(None, end(0, float(x), 0.0, EAST), 0.0, float(x))
        routes.learn(end(1, float(x), 0.0, EAST), None, 0.0, float(x))
    assert len(routes.to_list()) == 200
    assert known(routes, end(1, 0.0, 0.0, EAST), end(0, 0.0, 0.0, EAST), 1.0) == (0.0, 0.0, 0.0)
    begun, _, new = known(routes, end(1, 499.0, 0.0, EAST), end(0, 499.0, 0.0, EAST), 1.0)
    assert begun == pytest.approx(new)
    assert new > 1.0
    nowhere = np.zeros((0, 6))
    counted_s = [routes.known(nowhere, camera, np.zeros(6), np.zeros(0), 1000.0).watched_s for camera in (0, 1)]
    assert counted_s == [600.0, 0.0], "since the oldest that is kept; nothing has appeared in the other camera"


def test_passages_survive_a_checkpoint_and_go_with_their_cameras() -> None:
    routes = Routes()
    metric, pixels = end(0, 0.0, 0.0, EAST), end(1, 100.0, 50.0, NORTH, frame=1)
    routes.learn(metric, pixels, 10.0, 100.0)
    routes.learn(None, metric, 0.0, 110.0)
    routes.learn(pixels, None, 0.0, 120.0)
    again = Routes()
    again.restore(routes.to_list(), [2, 0])
    moved = end(2, 0.0, 0.0, EAST), end(0, 100.0, 50.0, NORTH, frame=0)
    assert known(again, *moved, 10.0) == known(routes, metric, pixels, 10.0) != (0.0, 0.0, 0.0)
    without = Routes()
    without.restore(routes.to_list(), [-1, 0])
    assert known(without, *moved, 10.0) == (0.0, 0.0, 0.0)
    assert known(without, moved[1], moved[0], 10.0)[0] == 1.0, "of the camera that is left"
    again.restart(0)
    assert known(again, *moved, 10.0) == (0.0, 0.0, 0.0)
    assert known(again, metric, moved[0], 1.0)[2] == 1.0


def test_who_comes_back_after_having_been_taken_for_gone_counts_once() -> None:
    routes = Routes()
    left, entered = end(0, 0.0, 0.0, EAST), end(1, 100.0, 50.0, NORTH)
    routes.learn(left, None, 0.0, 0.0)
    assert known(routes, left, entered, 85.0)[:2] == (1.0, 0.0)
    routes.learn(left, entered, 85.0, 85.0)
    begun, arriving, _ = known(routes, left, entered, 85.0)
    assert begun == 1.0
    assert arriving > 0


def test_what_is_learned_after_a_restart_is_the_same_to_the_bit_after_a_checkpoint() -> None:
    rng, routes = np.random.default_rng(0), Routes()

    def some(camera: int) -> End:
        return end(camera, *rng.uniform(0, 9, 2).tolist(), tuple(rng.uniform(-1, 1, 2).tolist()))  # type: ignore[arg-type]

    for camera in (0, 1):
        routes.learn(None, some(camera), 0.0, 1.0)
        routes.learn(some(camera), None, 0.0, 1.0)
    routes.restart(0)
    again = Routes()
    again.restore(routes.to_list(), [0, 1])
    for number in range(30):
        passage = some(number % 2), some((number + 1) % 2), 5.0, float(number)
        for one in (routes, again):
            one.learn(*passage)
    assert again.to_list() == routes.to_list()
    for _ in range(100):
        left, entered = some(0), some(1)
        assert known(again, left, entered, 5.0) == known(routes, left, entered, 5.0)


def test_an_unknown_velocity_has_no_direction() -> None:
    found = directions(np.array([[3.0, 0.0], [np.nan, np.nan], [0.0, 0.0]]))
    assert found[0] == pytest.approx([3.0 / 3.3, 0.0])
    assert not found[1:].any()
