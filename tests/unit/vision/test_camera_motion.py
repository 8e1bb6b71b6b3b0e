"""The shift of the picture, from tracks and detections."""

from __future__ import annotations

import numpy as np
import pytest

from vision.tracking.camera_motion import CameraMotion, CameraMotionSettings, common_shift, voted_shift
from vision.tracking.settings import TrackerSettings
from vision.tracking.tracker import Tracker

SETTINGS = CameraMotionSettings()


def crowd(rng: np.random.Generator, count: int) -> np.ndarray:
    """Centre x, centre y, width, height."""
    heights = rng.uniform(60, 220, count)
    return np.column_stack([rng.uniform((0, 0), (1900, 1000), (count, 2)), 0.4 * heights, heights])


@pytest.mark.parametrize("count", [10, 20, 60])
@pytest.mark.parametrize("heights", [0.6, 0.9])
def test_a_shift_of_the_camera_is_nearly_always_found(count: int, heights: float) -> None:
    missed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        tracks, angle = crowd(rng, count), rng.uniform(0, 6.28)
        shift = heights * np.median(tracks[:, 3]) * np.array([np.cos(angle), np.sin(angle)])
        detections = tracks + np.array([*shift, 0, 0])
        detections[:, :2] += rng.normal(0, 0.03, (count, 2)) * tracks[:, 3:]
        detections = rng.permutation(detections[rng.random(count) > 0.15])
        found = voted_shift(tracks, detections, 0.1, SETTINGS, was_moving=False)
        missed += bool(np.abs(found - shift).max() > 0.1 * np.median(tracks[:, 3]))
    assert missed <= 4


@pytest.mark.parametrize("count", [5, 8, 15, 40])
def test_objects_that_walk_about_are_hardly_ever_taken_for_a_shift(count: int) -> None:
    mistaken = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        tracks = crowd(rng, count)
        detections = tracks.copy()
        detections[:, :2] += rng.normal(0, 0.3, (count, 2)) * tracks[:, 3:]
        mistaken += bool(voted_shift(tracks, detections, 0.1, SETTINGS, was_moving=False).any())
    assert (
        mistaken <= 9
    )  # of 300, all with the fewest objects: at three body heights per second, few may agree by chance


def test_a_queue_that_starts_to_drive_beside_a_parking_lot_is_no_shift() -> None:
    rng = np.random.default_rng(0)
    tracks = crowd(rng, 20)
    detections = tracks.copy()
    detections[:9, 0] += 80
    assert not voted_shift(tracks, detections, 0.1, SETTINGS, was_moving=False).any()


def test_a_small_shift_that_all_have_in_common_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    heights = rng.uniform(60, 200, 30)
    noise = rng.normal(0, 3, (30, 2))
    assert common_shift(np.add(noise, (6, -4)), heights, SETTINGS, was_moving=False) == pytest.approx((6, -4), abs=2)
    assert not common_shift(noise, heights, SETTINGS, was_moving=False).any()
    assert not common_shift(noise[:2] + 50, heights[:2], SETTINGS, was_moving=True).any()


@pytest.mark.parametrize("rate_hz", [25.0, 10.0, 5.0])
@pytest.mark.parametrize("kind", ["pan", "shake"])
def test_nobody_loses_an_id_when_the_camera_moves(rate_hz: float, kind: str) -> None:
    rng = np.random.default_rng(1)
    people = crowd(rng, 15)
    speeds = rng.uniform(-0.4, 0.4, (15, 2)) * people[:, 3:]
    tracker, ids = Tracker(TrackerSettings()), list[set[int]]()
    offset = np.zeros(2)
    for tick in range(round(6 * rate_hz)):
        time_s = tick / rate_hz
        if time_s > 1.0:
            offset = rng.normal(0, 25, 2) if kind == "shake" else np.array([180.0, 30.0]) * (time_s - 1.0)
        centres = people[:, :2] + speeds * time_s + offset
        boxes = np.concatenate([centres - people[:, 2:] / 2, centres + people[:, 2:] / 2], axis=1).astype(np.float32)
        done = tracker.update(boxes, np.full(15, 0.9, np.float32), np.zeros(15, np.int16), time_s)
        ids.append(set(done.track_ids.tolist()))
    assert len(set.union(*ids)) == 15
    assert len(ids[-1]) == 15


def test_a_camera_that_moved_counts_as_still_again_after_the_film_starts_over() -> None:
    motion = CameraMotion(SETTINGS)
    rng = np.random.default_rng(0)
    heights, noise = rng.uniform(60, 200, 30), rng.normal(0, 3, (30, 2))
    slight = noise - noise.mean(axis=0) + (2.3, 0.0)  # enough for a camera that moves, not for one that stands still
    assert not motion.small(slight, heights, 5.0).any()
    assert motion.small(noise + np.array([60, 0]), heights, 100.0).any()
    assert motion.small(slight, heights, 100.5).any()
    motion.forget()
    assert not motion.small(slight, heights, 5.0).any()


def test_the_tracker_forgets_the_motion_of_the_camera_with_its_tracks() -> None:
    tracker = Tracker(TrackerSettings())
    tracker._camera._moved_s = 500.0
    tracker.end_all()
    assert tracker._camera._moved_s == -np.inf
