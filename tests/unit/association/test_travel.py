"""Travel times are learned from handovers, and decide between objects that look alike."""

from __future__ import annotations

import numpy as np
import pytest

from association.core import Association
from association.learned_layout import LearnedStep
from association.passages import Ways
from association.routes import Known
from shared.layout import Layout
from tests.unit.association.scenes import Stay, entries, play, settings, street


def commuters(n: int, seconds: int) -> list[Stay]:
    """One object after another leaves camera 0 and is in camera 1 after `seconds`."""
    stays = []
    for who in range(n):
        start = 1 + 40 * who
        stays += [Stay(who, 0, start, start + 30), Stay(who, 1, start + 30 + 10 * seconds, start + 60 + 10 * seconds)]
    return stays


def steps(association: Association) -> list[LearnedStep]:
    learned = association.learned()
    assert learned is not None
    return list(learned.steps)


def test_the_time_of_a_step_is_learned_for_each_direction() -> None:
    run = play(street(2), commuters(12, 6), upto=700, mode="live")
    (step,) = steps(run.association)
    assert (step.source, step.target) == (0, 1)
    assert 8 <= step.handovers <= 12
    assert all(abs(seconds - 6) < 0.3 for seconds in step.seconds)


@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_that_look_alike_the_one_comes_that_left_at_the_usual_time(is_first: bool) -> None:
    """Without what was learned, the choice would be open: both may come at that time."""
    usual = commuters(12, 6)
    last = 1 + 40 * 12
    twins = [Stay(90, 0, last, last + 30), Stay(90, 0, last, last + 70)]
    came = last + (30 if is_first else 70) + 60
    run = play(street(2), [*usual, *twins, Stay(90, 1, came, came + 60)], upto=came + 60, mode="live")
    first, second, arrived = (run.gid(len(usual) + number) for number in (1, 2, 3))
    assert first != second
    assert arrived == (first if is_first else second)


def test_an_unlikely_time_is_soft_and_what_is_outside_the_layout_is_not() -> None:
    usual = commuters(8, 6)
    last = 1 + 40 * 8
    slow = [Stay(90, 0, last, last + 30), Stay(90, 1, last + 30 + 160, last + 260)]
    impossible = [Stay(91, 0, last, last + 30), Stay(91, 1, last + 30 + 230, last + 300)]
    run = play(street(2), [*usual, *slow, *impossible], upto=last + 300, mode="live")
    first = len(usual) + 1
    assert run.gid(first) == run.gid(first + 1), "16 s after 6 s eight times"
    assert run.gid(first + 2) != run.gid(first + 3), "23 s, and the layout says 20 s at most"


def test_what_was_learned_survives_a_restart_and_a_camera_that_is_removed() -> None:
    seen = entries(commuters(12, 6), noise=0.1)
    association = Association(street(2), settings(mode="live"))
    for tick in range(1, 500):
        association.cycle(tick, tick * 10**8, [one for one in seen if one.tick == tick])
    again = Association(street(2), settings(mode="live"))
    again.restore(association.to_dict(), [0, 1])
    assert steps(again) == steps(association)
    assert again.to_dict() == association.to_dict()
    moved = Association(Layout.open(tuple("ABC")), settings(mode="live"))
    moved.restore(association.to_dict(), [2, 1])
    assert [(step.source, step.target) for step in steps(moved)] == [(2, 1)]


def test_a_track_that_was_counted_and_is_divided_then_counts_once() -> None:
    travel = Association(street(2), settings(mode="live"))._grouping._learning.travel  # type: ignore[union-attr]
    travel._counted, travel._left = {3, 5}, {5}
    travel.cut(5, 8)
    assert (travel._counted, travel._left) == ({3, 8}, {8})
    travel.cut(4, 9)
    assert travel._counted == {3, 8}


def test_a_restored_track_in_a_camera_that_has_shown_nothing_yet_is_not_new() -> None:
    """As from the state of the reference mode, which has watched no camera."""
    seen = entries(commuters(1, 6), noise=0.1)
    association = Association(street(2), settings(mode="live"))
    for tick in range(1, 31):
        association.cycle(tick, tick * 10**8, [one for one in seen if one.tick == tick])
    state = association.to_dict()
    state["grouping"].pop("travel")
    again = Association(street(2), settings(mode="live"))
    again.restore(state, [0, 1])
    row = int(np.flatnonzero(again.table.rows["used"])[0])
    again.table.rows["first_ns"][row] -= 20 * 10**9
    travel = again._grouping._learning.travel  # type: ignore[union-attr]
    travel.learn(lambda *_: True)
    assert travel._counted == {row}
    assert not travel._new


def test_new_objects_of_a_route_are_counted_over_the_time_of_the_route_only() -> None:
    """A camera may have been watched for hours when its routes begin anew, because it was moved."""
    travel = Association(street(2), settings(mode="live"))._grouping._learning.travel  # type: ignore[union-attr]
    known = Known(begun=np.ones(1), arriving=np.full(1, 0.02), new=0.0, watched_s=10.0)
    ways = Ways(np.full(1, np.nan), np.zeros(1), np.full(1, -np.inf), known)
    found = []
    for watched_s in (100.0, 8000.0):
        travel._watched_s[1] = watched_s
        found.append(float(travel._with_routes(np.ones(1), 1, ways)[0]))
    assert found[0] == found[1]
