"""With calibrations, places decide from the first boxes on, and need no learning."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from association.core import Association
from association.ground import Ground
from association.outcome import CameraTick
from association.view_pairs import ViewPair
from shared.calibration import Calibration
from shared.calibration_files import parse_calibration
from shared.homography import mapped
from shared.layout import Layout
from shared.messages import Pose
from tests.unit.association.crossing import FPS, SIZE, TICK_NS, Driver, camera_matrix, crossing_entries, traffic
from tests.unit.association.scenes import Stay, play, settings
from tests.unit.association.test_homography import TURNED, places

NAMES = ("A", "B", "C")
LIVE = replace(settings(mode="live", interval_ticks=FPS), tick_ns=TICK_NS)
SECONDS = 40.0
ARRAYS = ("track_ids", "boxes_xyxy", "scores", "class_ids", "qualities", "embedding_rows", "ended")


def calibration(camera: int, factor: float = 1.0) -> Calibration:
    """Of a camera of the crossing; `factor`: made for pictures so much larger than those that it has now."""
    matrix = np.linalg.inv(np.diag([factor, factor, 1.0]) @ camera_matrix(camera))
    width, height = (round(side * factor) for side in SIZE)
    return replace(parse_calibration(str(matrix.tolist())), width=width, height=height)


def layout(*cameras: int, factor: float = 1.0) -> Layout:
    """Nothing is known but the calibrations of some cameras."""
    return replace(Layout.open(NAMES), calibrations={NAMES[camera]: calibration(camera, factor) for camera in cameras})


def shares(given: Layout, looks: int, seed: int) -> tuple[float, float]:
    """Share of pairs of tracks of one object with one gid, and of different objects with one gid."""
    seen = crossing_entries(traffic(16, looks, seed, SECONDS), 3, SECONDS, 0.5, seed)
    return shares_of(gids_of(Association(given, LIVE), seen))


def gids_of(association: Association, seen: list[CameraTick]) -> dict[tuple[int, int], int]:
    """Camera and track → gid."""
    gids: dict[tuple[int, int], int] = {}
    for tick in range(seen[0].tick, seen[-1].tick + 1):
        result = association.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick])
        gids |= {(one.camera, one.track_id): one.gid for one in result.assignments if one.gid}
    return gids


def shares_of(gids: dict[tuple[int, int], int]) -> tuple[float, float]:
    counts: Counter[tuple[bool, bool]] = Counter()
    for ((one, track), gid), ((other, other_track), other_gid) in combinations(gids.items(), 2):
        if one != other:
            counts[track % 100 == other_track % 100, gid == other_gid] += 1
    same, different = counts[True, True] + counts[True, False], counts[False, True] + counts[False, False]
    return counts[True, True] / same, counts[False, True] / different


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_objects_that_all_look_the_same_are_told_apart_by_their_places(factor: float) -> None:
    same, different = shares(layout(0, 1, 2, factor=factor), looks=1, seed=5)
    assert same > 0.9
    assert different < 0.1, "nothing can tell apart two that leave and return"


def test_calibrated_views_overlap_where_both_see_the_ground_and_others_have_to_be_learned() -> None:
    learned = Association(layout(0, 1), LIVE).learned()
    assert learned is not None
    found = {one.cameras: (one.source, one.is_mapped) for one in learned.overlaps}
    assert found == {(0, 1): ("calibration", True), (0, 2): ("unknown", False), (1, 2): ("unknown", False)}


def test_views_of_different_places_do_not_overlap() -> None:
    far = np.array([[1, 0, 500.0], [0, 1, 0], [0, 0, 1]])
    moved = replace(calibration(1), image_to_ground=far @ calibration(1).image_to_ground)
    given = replace(Layout.open(("A", "B")), calibrations={"A": calibration(0), "B": moved})
    assert Ground(given).overlap(0, 1) is False
    learned = Association(given, LIVE).learned()
    assert learned is not None
    assert learned.overlaps == ()


def test_an_object_may_cross_the_edge_between_calibrated_views_that_do_not_overlap() -> None:
    far = np.array([[1, 0, 500.0], [0, 1, 0], [0, 0, 1]])
    moved = replace(calibration(1), image_to_ground=far @ calibration(1).image_to_ground)
    given = replace(Layout.open(("A", "B")), calibrations={"A": calibration(0), "B": moved})
    stays = [Stay(1, 0, 1, 55), Stay(1, 1, 50, 120), Stay(2, 0, 1, 120), Stay(3, 1, 1, 120)]
    run = play(given, stays, upto=120, mode="live")
    assert run.gid(1) == run.gid(2)


def test_the_layout_comes_before_the_calibrations() -> None:
    given = replace(Layout.closed(NAMES), calibrations={"A": calibration(0), "B": calibration(1)})
    learned = Association(given, LIVE).learned()
    assert learned is not None
    assert learned.overlaps == ()


def test_a_place_in_one_picture_is_found_in_the_other() -> None:
    ground = Ground(layout(0, 1))
    mapping = ground.mapping(0, 1)
    assert mapping is not None
    spots = np.array([[0.0, 0.0, 1.0], [3.0, -2.0, 1.0], [-4.0, 1.0, 1.0]])
    one, other = (spots @ camera_matrix(camera).T for camera in (0, 1))
    here, there = one[:, :2] / one[:, 2:], other[:, :2] / other[:, 2:]
    np.testing.assert_allclose(mapped(mapping, here), there, atol=1e-6)
    np.testing.assert_allclose(ground.to_ground(0, here), spots[:, :2], atol=1e-9)
    assert ground.mapping(0, 2) is None


def test_calibrations_that_objects_contradict_are_replaced_by_what_is_learned() -> None:
    points, others, _ = places(TURNED, 40)
    for is_right in (True, False):
        pair = ViewPair(TURNED if is_right else np.diag([-1.0, 1.0, 1.0]) @ TURNED)
        for number, (here, there) in enumerate(zip(points.tolist(), others.tolist(), strict=True)):
            pair.places.append([*here, 60.0, *there, 60.0, number % 8, number % 8])
        pair.fit_if_due(slot=1, seed=1)
        assert pair.mapping is not None
        assert np.linalg.norm(mapped(pair.mapping, points) - others, axis=1).max() < 1


def test_what_was_learned_with_another_calibration_is_dropped() -> None:
    seen = crossing_entries(traffic(16, 16, 1, SECONDS), 3, SECONDS, 0.3, 1)
    before = Association(layout(0, 1), LIVE)
    for tick in range(1, 150):
        before.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick])
    saved = before.to_dict()
    kept = saved["grouping"]["evidence"]["view_pairs"]["pairs"]
    assert {tuple(pair[:2]) for pair in kept} >= {(0, 1)}
    for given, expected in ((layout(0, 1), True), (layout(0, 1, factor=2.0), False), (layout(1), False)):
        after = Association(given, LIVE)
        after.restore(saved, [0, 1, 2])
        pairs = after.to_dict()["grouping"]["evidence"]["view_pairs"]["pairs"]
        assert ((0, 1) in {tuple(pair[:2]) for pair in pairs}) == expected


def test_identities_have_the_place_and_the_speed_of_their_objects() -> None:
    drivers = [Driver(who, who, (-6.0, 3.0 * who - 4), (1.5, 0.5 * who), 0.0, 9.0) for who in range(3)]
    seen = crossing_entries(drivers, 3, 9.0, 0.2, 1)
    association, gids, checked = Association(layout(0, 1, 2), LIVE), {}, 0
    for tick in range(1, 9 * FPS):
        result = association.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick])
        gids |= {one.gid: one.track_id % 100 - 1 for one in result.assignments if one.gid}
        for gid, position in result.positions.items():
            driver = drivers[gids[gid]]
            exact = driver.place(tick / FPS)
            assert np.linalg.norm((position.x, position.y) - exact) < 1.5
            assert 0 < position.uncertainty < 1
            if position.speed is not None and tick > 4 * FPS:
                assert position.speed == pytest.approx(np.linalg.norm(driver.velocity), abs=0.6)
                checked += 1
    assert checked >= 6


@pytest.mark.parametrize("is_calibrated", [True, False])
def test_a_calibrated_track_gets_its_gid_with_its_first_box(is_calibrated: bool) -> None:
    """If another camera already shows the object at that place; otherwise after `min_track_frames`."""
    driver = Driver(0, 0, (-6.0, 1.0), (0.4, 0.2), 0.0, 20.0)
    seen = crossing_entries([driver, Driver(1, 1, (4.0, -4.0), (0.1, 0.1), 0.0, 20.0)], 2, 20.0, 0.2, 1)
    start = 8 * FPS + 4  # not the first picture of a slot
    late = [one for one in seen if one.camera == 0 or one.tick >= start]
    association = Association(layout(0, 1) if is_calibrated else Layout.open(NAMES), LIVE)
    first: dict[int, int] = {}
    gids: dict[tuple[int, int], int] = {}
    for tick in range(1, start + 5):
        result = association.cycle(tick, tick * TICK_NS, [one for one in late if one.tick == tick])
        for one in result.assignments:
            gids[one.camera, one.track_id] = one.gid
            if one.camera == 1:
                first.setdefault(one.track_id, tick - start)
        for event in result.events:
            if event.kind == "handover":
                assert event.decision is not None
                assert event.decision.terms["position"] > 3
    if is_calibrated:
        assert first == {101: 0, 102: 0}
        assert [gids[1, 101], gids[1, 102]] == [gids[0, 1], gids[0, 2]]
    else:
        assert all(age >= 2 for age in first.values())


def test_without_calibrations_nobody_has_a_place() -> None:
    seen = crossing_entries(traffic(6, 6, 1, 13.0), 3, 13.0, 0.2, 1)
    association = Association(Layout.open(NAMES), LIVE)
    for tick in range(1, 50):
        assert not association.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick]).positions


def turned(seen: CameraTick, pose: Pose) -> CameraTick:
    """The picture of a camera that was turned: everything is elsewhere in it."""
    boxes = seen.batch.boxes_xyxy
    mirrored = np.stack([SIZE[0] - boxes[:, 2], boxes[:, 1], SIZE[0] - boxes[:, 0], boxes[:, 3]], axis=1)
    return replace(seen, batch=replace(seen.batch, boxes_xyxy=mirrored, pose=pose))


def test_the_places_of_a_camera_that_was_turned_mislead_nobody() -> None:
    seen = crossing_entries(traffic(40, 4, 2, 80.0), 3, 80.0, 0.6, 2)
    half = 40 * FPS
    late = {one for entry in seen if entry.tick > half for one in entry.batch.track_ids.tolist()}
    late -= {one for entry in seen if entry.tick <= half for one in entry.batch.track_ids.tolist()}

    def same(pose_told: Pose) -> float:
        shown = [turned(one, pose_told) if one.camera == 1 and one.tick > half else one for one in seen]
        gids = gids_of(Association(layout(0, 1, 2), LIVE), shown)
        return shares_of({track: gid for track, gid in gids.items() if track[1] in late})[0]

    moved, moving, fixed = same("moved"), same("moving"), same("fixed")
    assert min(moved, moving) > 0.8
    assert fixed < min(moved, moving) - 0.1


def test_a_moved_camera_gives_nobody_a_position_until_it_is_set_up_again() -> None:
    drivers = [Driver(0, 0, (-6.0, 0.0), (0.3, 0.1), 0.0, 30.0)]
    seen = [one for one in crossing_entries(drivers, 2, 30.0, 0.2, 1) if one.camera == 0]
    association, known = Association(layout(0, 1), LIVE), []
    for tick in range(1, 30 * FPS):
        pose: Pose = "moved" if 10 * FPS <= tick < 20 * FPS else "fixed"
        now = [replace(one, batch=replace(one.batch, pose=pose)) for one in seen if one.tick == tick]
        if tick == 15 * FPS:
            again = Association(layout(0, 1), LIVE)
            again.restore(association.to_dict(), [0, 1])
            association = again
        known.append(bool(association.cycle(tick, tick * TICK_NS, now).positions))
    assert any(known[: 10 * FPS - 1])
    assert not any(known[10 * FPS - 1 : 20 * FPS - 1])
    assert any(known[20 * FPS - 1 :])


def test_the_position_of_a_hidden_object_moves_on_for_three_seconds_ever_less_certain() -> None:
    driver = Driver(0, 0, (-6.0, 0.0), (1.0, 0.0), 0.0, 20.0)
    seen = crossing_entries([driver], 1, 20.0, 0.2, 1)
    hidden = 6 * FPS
    shown = [one for one in seen if one.tick <= hidden]
    empty = replace(shown[-1].batch, **{name: getattr(shown[-1].batch, name)[:0] for name in ARRAYS})
    shown += [CameraTick(0, tick, tick * TICK_NS, empty) for tick in range(hidden + 1, 11 * FPS)]
    association = Association(layout(0), replace(LIVE, lost_ns=10 * 10**9))
    found = {}
    for tick in range(1, 11 * FPS):
        result = association.cycle(tick, tick * TICK_NS, [one for one in shown if one.tick == tick])
        if result.positions:
            (found[tick / FPS],) = result.positions.values()
    for second in (7, 8, 9):
        assert (found[second].x, found[second].y) == pytest.approx(driver.place(second), abs=0.7)
        assert found[second].speed == pytest.approx(1.0, abs=0.3)
    assert found[6].uncertainty < found[7].uncertainty < found[8].uncertainty < found[9].uncertainty
    assert max(found) <= 9.5
