"""Where tracks begin and end says which object has arrived, and which was only hidden."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from association.core import Association
from association.outcome import CameraTick
from association.passages import Passages, Ways
from association.track_table import TrackTable
from shared.calibration import Calibration
from shared.layout import Layout
from tests.unit.association.scenes import TICK_NS, Stay, batch, settings, street

SIZE = (1280, 720)
METRES_PER_PIXEL = 0.05
SECOND = 10**9
LENGTH_M = 2.0


def seen_from_above(first_x: float) -> Calibration:
    """A camera above the ground that shows 64 by 36 metres, from x = `first_x` on."""
    matrix = np.array([[METRES_PER_PIXEL, 0, first_x], [0, METRES_PER_PIXEL, 0], [0, 0, 1.0]])
    return Calibration(matrix, *SIZE)


@dataclass(frozen=True)
class Drive:
    """One track of an object that moves in the picture of a camera."""

    stay: Stay
    start: tuple[float, float]
    """Pixels."""
    speed: tuple[float, float]
    """Pixels per second."""

    def box(self, tick: int) -> list[float]:
        x, y = np.array(self.start) + np.array(self.speed) * (tick - self.stay.first) * TICK_NS / SECOND
        half = LENGTH_M / METRES_PER_PIXEL / 2
        return [x - half, y - half, x + half, y + half]


def gids(layout: Layout, drives: list[Drive]) -> list[int]:
    """The gid of each track at its end."""
    return played(Association(layout, settings(mode="live")), drives)


def played(association: Association, drives: list[Drive], upto: int = 0) -> list[int]:
    """Runs the cycles of all tracks, or those up to a tick; the gid of each track at its end."""
    found, rng = dict[int, int](), np.random.default_rng(0)
    numbered = list(enumerate(drives, start=1))
    cameras = sorted({drive.stay.camera for drive in drives})
    for tick in range(1, max(upto, *(drive.stay.last for drive in drives)) + 1):
        seen = []
        for camera in cameras:
            own = [(number, drive) for number, drive in numbered if drive.stay.camera == camera]
            here = [(number, drive) for number, drive in own if drive.stay.first <= tick <= drive.stay.last]
            ended = [number for number, drive in own if tick == drive.stay.last + drive.stay.hidden]
            tracks = batch([(number, drive.stay) for number, drive in here], ended, 0.3, rng)
            boxes = np.array([drive.box(tick) for _, drive in here], np.float32).reshape(-1, 4)
            shown = replace(tracks, boxes_xyxy=boxes, width=SIZE[0], height=SIZE[1])
            seen.append(CameraTick(camera, tick, tick * TICK_NS, shown))
        for change in association.cycle(tick, tick * TICK_NS, seen).assignments:
            if change.gid:
                found[change.track_id] = change.gid
    return [found[number] for number, _ in numbered]


@pytest.mark.parametrize("east_is_first", [True, False])
def test_of_two_that_look_alike_the_one_arrives_that_left_towards_the_camera(east_is_first: bool) -> None:
    calibrations = {"A": seen_from_above(0.0), "B": seen_from_above(140.0)}
    layout = replace(street(2), calibrations=calibrations)
    east = Drive(Stay(5, 0, 1, 60), (300.0, 200.0), (160.0, 0.0))
    west = Drive(Stay(5, 0, 1, 60), (1250.0, 500.0), (-160.0, 0.0))
    twins = [east, west] if east_is_first else [west, east]
    # From x = 62 m to 142 m at 8 m/s.
    arrives = Drive(Stay(5, 1, 160, 220), (50.0, 200.0), (160.0, 0.0))
    first, second, arrived = gids(layout, [*twins, arrives])
    assert first != second
    assert arrived == (first if east_is_first else second)


@pytest.mark.parametrize("fast_is_first", [True, False])
def test_of_two_that_look_alike_the_one_arrives_whose_speed_fits(fast_is_first: bool) -> None:
    calibrations = {"A": seen_from_above(0.0), "B": seen_from_above(140.0)}
    layout = replace(street(2), calibrations=calibrations)
    slow = Drive(Stay(5, 0, 1, 60), (1000.0, 200.0), (40.0, 0.0))
    fast = Drive(Stay(5, 0, 1, 60), (300.0, 500.0), (160.0, 0.0))
    arrives = Drive(Stay(5, 1, 160, 220), (50.0, 350.0), (150.0, 0.0))
    first, second, arrived = gids(layout, [*([fast, slow] if fast_is_first else [slow, fast]), arrives])
    assert first != second
    assert arrived == (first if fast_is_first else second)


@pytest.mark.parametrize("is_near", [True, False])
def test_of_two_that_look_alike_the_nearer_one_was_only_hidden(is_near: bool) -> None:
    """Without a calibration: two stand in one view, both are hidden, and one of them is seen again."""
    left = Drive(Stay(5, 0, 1, 60), (200.0, 300.0), (0.0, 0.0))
    right = Drive(Stay(5, 0, 1, 60), (1000.0, 300.0), (0.0, 0.0))
    again = Drive(Stay(5, 0, 80, 140), (210.0 if is_near else 990.0, 300.0), (0.0, 0.0))
    first, second, found = gids(Layout.open(("A", "B")), [left, right, again])
    assert first != second
    assert found == (first if is_near else second)


def passages(*places: tuple[int, float, float]) -> tuple[Passages, int]:
    """One track that was at places: time in s, x and y in metres."""
    table = TrackTable()
    row = table.add(0, 1, 0, 0, 0)
    found = Passages(table)
    for seconds, x, y in places:
        found.observe(np.array([row]), round(seconds * SECOND), np.array([[x, y, LENGTH_M]]), -1)
    return found, row


def test_what_is_known_of_a_way() -> None:
    found, left = passages((0, 0.0, 0.0), (1, 8.0, 0.0), (2, 16.0, 0.0))
    arrived = found._table.add(1, 2, 0, 0, 0)
    for seconds, x in ((7, 56.0), (8, 64.0)):
        found.observe(np.array([arrived]), seconds * SECOND, np.array([[x, 0.0, LENGTH_M]]), -1)
    ways = found.ways(np.array([left, -1]), arrived)
    assert ways.densities[0] > 0.2, "5 s for 40 m at 8 m/s"
    assert ways.headings[0] > 1.0
    assert np.isnan(ways.densities[1])
    assert ways.headings[1] == 0.0
    assert ways.hidden[1] == -np.inf
    back = found.ways(np.array([arrived]), left)
    assert np.isnan(back.densities[0]), "it had not begun later"


def test_where_objects_come_in_nearness_says_little() -> None:
    """At a door, the next person to come in is often not the one who has just left."""
    found, left = passages((0, 0.0, 0.0), (1, 0.0, 0.0))
    arrived = found._table.add(0, 2, 0, 0, 0)
    found.observe(np.array([arrived]), 2 * SECOND, np.array([[0.5, 0.0, LENGTH_M]]), -1)
    ways = found.ways(np.array([left]), arrived)
    assert ways.hidden[0] > 2.0
    for _ in range(30):
        found.learn_arrival(arrived)
    learned = found.ways(np.array([left]), arrived).hidden[0]
    assert learned < 0.5
    again = Passages(found._table)
    again.restore(found.to_dict(), [0, 1])
    assert again.ways(np.array([left]), arrived).hidden[0] == learned
    again.restart(0)
    again.observe(np.array([left]), 1 * SECOND, np.array([[0.0, 0.0, LENGTH_M]]), -1)
    again.observe(np.array([arrived]), 2 * SECOND, np.array([[0.5, 0.0, LENGTH_M]]), -1)
    assert again.ways(np.array([left]), arrived).hidden[0] > 2.0


def test_where_objects_come_in_is_learned_from_those_that_are_new_or_come_from_elsewhere() -> None:
    """And not from one that was hidden for a moment in the middle of the picture."""
    association, middle = Association(Layout.open(("A",)), settings(mode="live")), (640.0, 300.0)
    drives = [Drive(Stay(who, 0, 40 * who, 40 * who + 30), (50.0, 650.0), (0.0, 0.0)) for who in range(1, 6)]
    drives += [Drive(Stay(9, 0, 1, 100), middle, (0.0, 0.0)), Drive(Stay(9, 0, 115, 250), middle, (0.0, 0.0))]
    found = played(association, drives, upto=340)
    assert found[-1] == found[-2]
    (arrivals,) = association.to_dict()["grouping"]["evidence"]["passages"]["arrivals"]
    assert arrivals[0] == 0
    assert len(arrivals[1]) == 5
    assert all(x < 100 for _, x, _ in arrivals[1])


def test_what_is_known_in_metres_of_another_calibration_is_dropped() -> None:
    def given(first_x: float) -> Layout:
        return replace(street(2), calibrations={"A": seen_from_above(first_x), "B": seen_from_above(140.0)})

    before = Association(given(0.0), settings(mode="live"))
    played(
        before,
        [Drive(Stay(1, 0, 1, 60), (300.0, 200.0), (160.0, 0.0)), Drive(Stay(2, 1, 1, 60), (9.0, 99.0), (9.0, 9.0))],
    )
    for first_x, kept in ((0.0, 2), (30.0, 1)):
        after = Association(given(first_x), settings(mode="live"))
        after.restore(before.to_dict(), [0, 1])
        frames = after.to_dict()["grouping"]["evidence"]["passages"]["frames"]
        assert len(frames) // 4 == kept, first_x


def test_nearness_says_nothing_after_a_long_time() -> None:
    found, left = passages((0, 0.0, 0.0), (1, 0.0, 0.0))
    arrived = found._table.add(0, 2, 0, 0, 0)
    found.observe(np.array([arrived]), 7 * SECOND, np.array([[0.0, 0.0, LENGTH_M]]), -1)
    assert found.ways(np.array([left]), arrived).hidden[0] == -np.inf


def test_a_place_in_metres_is_not_compared_with_one_in_pixels() -> None:
    found, left = passages((0, 0.0, 0.0), (1, 8.0, 0.0))
    arrived = found._table.add(1, 2, 0, 0, 0)
    found.observe(np.array([arrived]), 3 * SECOND, np.array([[20.0, 0.0, 40.0]]), 1)
    assert found.ways(np.array([left]), arrived).hidden[0] == -np.inf


def test_a_camera_that_was_moved_and_one_that_is_gone_have_no_places() -> None:
    found, left = passages((0, 0.0, 0.0), (1, 8.0, 0.0))
    arrived = found._table.add(1, 2, 0, 0, 0)
    found.observe(np.array([arrived]), 3 * SECOND, np.array([[20.0, 0.0, 40.0]]), 1)
    state = found.to_dict()
    again = Passages(found._table)
    again.restore(state, [0, -1])
    assert again.first_row([arrived]) == -1
    assert again.last_rows(np.array([left]), np.zeros(1, np.intp)).tolist() == [left]
    again.restart(0)
    assert again.last_rows(np.array([left]), np.zeros(1, np.intp)).tolist() == [-1]


def same_ways(one: Ways, other: Ways) -> bool:
    pairs = zip([*one[:3], *one.routes], [*other[:3], *other.routes], strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def test_what_is_known_survives_a_checkpoint_and_new_numbers_of_rows() -> None:
    found, left = passages((0, 0.0, 0.0), (1, 8.0, 0.0), (2, 16.0, 1.0))
    arrived = found._table.add(1, 2, 0, 0, 0)
    found.observe(np.array([arrived]), 7 * SECOND, np.array([[56.0, 0.0, LENGTH_M]]), -1)
    found.learn_route([left], arrived)
    again = Passages(found._table)
    again.restore(found.to_dict(), [0, 1])
    one, other = (part.ways(np.array([left]), arrived) for part in (found, again))
    assert same_ways(one, other)
    assert one.routes.begun[0] == 1.0
    swapped = np.arange(len(found._table.rows))
    swapped[[left, arrived]] = arrived, left
    again.renumber_rows(swapped)
    moved = again.ways(np.array([arrived]), left)
    assert same_ways(one, moved)


def test_the_part_of_a_divided_track_that_ended_keeps_its_beginning_and_the_other_begins_anew() -> None:
    found, row = passages((0, 0.0, 0.0), (1, 8.0, 0.0), (2, 16.0, 0.0), (3, 24.0, 0.0))
    ended = found._table.add(0, 2, 0, 0, 0)
    found.cut(row, ended)
    found.observe(np.array([row]), 4 * SECOND, np.array([[32.0, 0.0, LENGTH_M]]), -1)
    assert found.first_row([row, ended]) == ended
    assert found.last_rows(np.array([row, ended]), np.zeros(1, np.intp)).tolist() == [row]


@pytest.mark.filterwarnings("error")
def test_objects_without_a_size_are_of_no_harm() -> None:
    table = TrackTable()
    left, arrived = table.add(0, 1, 0, 0, 0), table.add(0, 2, 0, 0, 0)
    found = Passages(table)
    for row, seconds in ((left, 0), (left, 1), (arrived, 9), (arrived, 10)):
        found.observe(np.array([row]), seconds * SECOND, np.array([[float(seconds), 0.0, 0.0]]), 0)
    found.learn_route([left], arrived)
    found.learn_gone(arrived)
    assert found.ways(np.array([left]), arrived).routes.begun[0] == 1.0
