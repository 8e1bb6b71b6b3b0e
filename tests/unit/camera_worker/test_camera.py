from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.camera_worker.camera import Camera, Observed
from shared.camera_config import CameraConfig
from shared.keys import Keys
from shared.leases import Lease
from shared.messages import TrackBatch
from vision.inference.detection import Detections
from vision.tracking.settings import TrackerSettings
from vision.video.picture_health import Fault, FaultKind
from vision.video.source import Frame, SourceState
from vision.video.timing import Timing

S = 1_000_000_000
T0 = 1_790_000_000 * S
SETTINGS = TrackerSettings(min_hits=1, max_lost_seconds=1.0)


class StillSource:
    """A source without pictures: the tests pass them to the camera."""

    state, error, dropped = SourceState.LIVE, None, 0
    answered = threading.Event()
    fault: Fault | None = None
    moved: str | None = None

    def close(self) -> None: ...


def lease(epoch: int = 5) -> Lease:
    unused: Any = None
    return Lease(unused, Keys("yard"), "camera:north", f"{epoch}:ab", 2.0)


def camera(
    epoch: int = 5,
    *,
    source: str = "rtsp://cam/1",
    mask: npt.NDArray[np.uint8] | None = None,
    refresh_seconds: float = 0.5,
    timing: Timing | None = None,
) -> Camera:
    unused: Any = None
    return Camera(
        CameraConfig(name="north", source=source),
        lease(epoch),
        StillSource(),  # type: ignore[arg-type]
        unused,
        unused,
        SETTINGS,
        mask=mask,
        refresh_seconds=refresh_seconds,
        timing=timing or Timing(0, 0, 1.0),
    )


def frame(index: int, *, loop: int = 0, size: tuple[int, int] = (640, 480), time_ns: int | None = None) -> Frame:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    return Frame(image, T0 + index * S // 10 if time_ns is None else time_ns, index, loop)


def seen(*boxes: tuple[float, float, float, float]) -> Detections:
    n = len(boxes)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(n, 0.9, np.float32), np.zeros(n, np.int16))


ONE = seen((100, 100, 200, 300))
TWO = seen((100, 100, 200, 300), (400, 100, 500, 300))


def observe(camera: Camera, shown: Frame, detections: Detections) -> Observed:
    return camera.observe(shown, detections, camera.time_ns(shown, T0) / 1e9)


def batch_of(camera: Camera, observed: Observed | None) -> TrackBatch:
    m = len(observed.due) if observed is not None else 0
    return camera.batch(observed, np.tile(np.array([[0.6, 0.8]], np.float32), (m, 1)), "c0ffee")


def ids(observed: Observed) -> list[int]:
    return list(observed.tracked.track_ids.tolist())


def test_track_ids_contain_the_epoch_and_never_repeat_over_claims() -> None:
    first, second = camera(epoch=5), camera(epoch=6)
    assert ids(observe(first, frame(0), TWO)) == [5000, 5001]
    assert ids(observe(second, frame(0), TWO)) == [6000, 6001]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from([(640, 480), (320, 240)]), st.booleans()), max_size=25
    )
)
def test_track_ids_never_repeat_over_loops_and_sizes_and_every_track_ends_once(
    steps: list[tuple[int, tuple[int, int], bool]],
) -> None:
    one = camera()
    loop, alive, gone = 0, set[int](), list[int]()
    for index, (looped, size, two) in enumerate(steps):
        loop += looped == 2
        observed = observe(one, frame(index, loop=loop, size=size), TWO if two else seen())
        batch = batch_of(one, observed)
        ended = batch.ended.tolist()
        assert not set(ended) & set(ids(observed)), "a track that has ended is seen"
        assert not set(gone) & set(ids(observed)), "an id came twice"
        gone += ended
        alive = (alive | set(ids(observed))) - set(ended)
    one.end_tracks()
    gone += batch_of(one, None).ended.tolist()
    assert sorted(gone) == sorted(set(gone))
    assert alive <= set(gone), "a track never ended"


def test_a_loop_of_the_file_ends_all_tracks() -> None:
    one = camera()
    before = ids(observe(one, frame(0), ONE))
    batch_of(one, None)
    again = observe(one, frame(0, loop=1), ONE)
    assert batch_of(one, again).ended.tolist() == before
    assert ids(again) == [before[0] + 1]


def test_one_object_keeps_its_track_while_the_camera_turns() -> None:
    """Nothing but the background of the picture shows that it turns."""
    scene = np.random.default_rng(1).integers(0, 255, (40, 200, 3)).astype(np.uint8).repeat(12, 0).repeat(12, 1)
    one = camera()
    for index in range(15):
        turned = 80 * max(0, index - 9)
        image = np.ascontiguousarray(scene[:, 1600 - turned : 2240 - turned])
        observed = observe(one, Frame(image, T0 + index * S // 5, index, 0), seen((20 + turned, 100, 80 + turned, 220)))
        assert ids(observed) == [5000]


def test_a_new_picture_size_ends_all_tracks_and_is_in_the_batch() -> None:
    one = camera()
    before = ids(observe(one, frame(0), ONE))
    again = observe(one, frame(1, size=(320, 240)), ONE)
    batch = batch_of(one, again)
    assert batch.ended.tolist() == before
    assert (batch.width, batch.height) == (320, 240)
    assert ids(again) == [before[0] + 1]


def test_a_tick_without_a_picture_differs_from_an_empty_view() -> None:
    one = camera()
    assert (batch_of(one, None).width, batch_of(one, None).height) == (0, 0)
    before = ids(observe(one, frame(0), ONE))
    batch_of(one, one.repeated())
    without = batch_of(one, None)
    assert (len(without), without.width, without.height) == (0, 0, 0)
    one.end_tracks()
    ends = batch_of(one, None)
    assert (ends.ended.tolist(), ends.width) == (before, 0)
    empty = batch_of(one, observe(one, frame(1), seen()))
    assert (len(empty), empty.width, empty.height) == (0, 640, 480)


def test_the_same_picture_again_is_not_new_and_shows_the_same_without_embeddings() -> None:
    one = camera()
    first = frame(0)
    assert one.is_new(first)
    observed = observe(one, first, ONE)
    assert not one.is_new(first)
    assert one.is_new(frame(1))
    assert one.is_new(frame(0, loop=1))
    batch = batch_of(one, one.repeated())
    assert batch.track_ids.tolist() == ids(observed)
    assert batch.embedding_rows.tolist() == [-1]
    assert batch.embeddings.shape[0] == 0


def test_nothing_is_repeated_before_the_first_picture_or_after_the_source_went_down() -> None:
    one = camera()
    assert one.repeated() is None
    observe(one, frame(0), ONE)
    one.coast(one.time_ns(None, T0 + S) / 1e9)
    assert one.repeated() is None


def test_a_new_track_is_embedded_at_its_first_pictures_and_then_from_time_to_time() -> None:
    one = camera(refresh_seconds=0.5)
    due = [len(observe(one, frame(index), ONE).due) for index in range(20)]
    assert due == [1] * 5 + [0, 0, 0, 0, 1] + [0, 0, 0, 0, 1] * 2


def test_without_refresh_time_every_picture_is_embedded() -> None:
    one = camera(refresh_seconds=0)
    assert all(len(observe(one, frame(index), TWO).due) == 2 for index in range(20))


def test_embeddings_belong_to_their_tracks_and_zero_vectors_are_left_out() -> None:
    one = camera()
    observed = observe(one, frame(0), seen((0, 0, 50, 90), (200, 0, 250, 90), (400, 0, 450, 90)))
    vectors = np.array([[0, 1], [0, 0], [1, 0]], np.float32)
    batch = one.batch(observed, vectors, "c0ffee")
    assert batch.embedding_rows.tolist() == [0, -1, 1]
    assert batch.embeddings.tolist() == [[0, 1], [1, 0]]
    assert TrackBatch.decode(batch.encode()).embedder == "c0ffee"


def test_every_batch_of_a_camera_can_be_read_again() -> None:
    one = camera()
    for index in range(12):
        observed = observe(one, frame(index), TWO if index % 3 else seen())
        TrackBatch.decode(batch_of(one, observed).encode())
    TrackBatch.decode(batch_of(one, None).encode())


LEFT_BLACK = np.zeros((48, 64), np.uint8)
LEFT_BLACK[:, 32:] = 255


@pytest.mark.parametrize("scale", [1, 2, 10])
def test_a_mask_of_any_size_drops_detections_centred_on_black(scale: int) -> None:
    one = camera(mask=LEFT_BLACK.repeat(scale, axis=0).repeat(scale, axis=1))
    observed = observe(one, frame(0), TWO)
    assert observed.tracked.boxes_xyxy.tolist() == [[400, 100, 500, 300]]
    smaller = observe(one, frame(1, size=(320, 240)), seen((10, 10, 50, 90), (200, 10, 250, 90)))
    assert smaller.tracked.boxes_xyxy.tolist() == [[200, 10, 250, 90]]


def test_a_mask_accepts_boxes_outside_the_picture_and_nan() -> None:
    one = camera(mask=LEFT_BLACK)
    strange = seen((-500, -500, -400, -400), (9000, 9000, 9100, 9100), (np.nan, 0, 1, 1), (0, 0, np.inf, 10))
    observed = observe(one, frame(0), strange)
    assert observed.tracked.boxes_xyxy.tolist() == [[9000, 9000, 9100, 9100]]


def test_a_mask_that_is_all_white_changes_nothing() -> None:
    one = camera(mask=np.full((3, 5), 255, np.uint8))
    assert len(observe(one, frame(0), TWO).tracked.track_ids) == 2


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-300, 300), st.sampled_from(["new", "same", "none"])), max_size=25),
    st.sampled_from([-5 * S, 0, 5 * S]),
)
def test_time_never_goes_back_whatever_the_source_says(steps: list[tuple[int, str]], offset_ns: int) -> None:
    """The tracker raises if it does."""
    one = camera(timing=Timing(0, offset_ns, 1.0))
    shown, last, tick_ns = None, 0, T0
    for index, (ms, kind) in enumerate(steps):
        tick_ns += S // 20
        if kind == "new" or (kind == "same" and shown is None):
            shown = frame(index, time_ns=tick_ns + ms * 1_000_000)
        current = None if kind == "none" else shown
        new = current is not None and one.is_new(current)
        time_ns = one.time_ns(current, tick_ns)
        assert time_ns >= last
        if new:
            assert current is not None
            assert time_ns > last
            one.observe(current, ONE, time_ns / 1e9)
        elif current is None:
            one.coast(time_ns / 1e9)
        last = time_ns


def test_a_picture_taken_after_its_tick_began_does_not_stop_the_camera_when_it_goes_down_next() -> None:
    one = camera()
    late = frame(0, time_ns=T0 + S // 20)
    observe(one, late, ONE)
    one.coast(one.time_ns(None, T0 + S // 20) / 1e9)
    one.coast(one.time_ns(None, T0 + 2 * S) / 1e9)
    assert len(batch_of(one, None).ended) == 1


@pytest.mark.parametrize("offset_s", [-5, 0, 5])
def test_a_source_that_is_down_ends_its_tracks_by_time_also_with_an_offset(offset_s: int) -> None:
    one = camera(timing=Timing(0, offset_s * S, 1.0))
    observe(one, frame(0), ONE)
    one.coast(one.time_ns(None, T0 + S // 2) / 1e9)
    assert len(batch_of(one, None).ended) == 0
    one.coast(one.time_ns(None, T0 + 2 * S) / 1e9)
    assert len(batch_of(one, None).ended) == 1


def test_a_file_at_another_speed_has_site_time() -> None:
    timing = Timing(T0, 0, 2.0)
    one = camera(source="north.mp4", timing=timing)
    assert timing.media_time_s(T0 + 3 * S) == 6
    assert one.time_ns(frame(0, time_ns=T0 + 6 * S), T0 + 3 * S) == T0 + 3 * S


def test_gids_follow_the_map_and_are_dropped_with_their_tracks() -> None:
    one = camera()
    [track] = ids(observe(one, frame(0), ONE))
    one.change_gid(track, 7)
    one.change_gid(123, 8)
    assert one.gids == {track: 7, 123: 8}
    one.change_gid(123, 0)
    one.change_gid(123, 0)
    one.end_tracks()
    batch_of(one, None)
    assert one.gids == {}


def test_the_rate_counts_recent_ticks() -> None:
    one = camera()
    assert one.rate() == 0
    for _ in range(5):
        one.count_handled()
    assert one.rate() > 0


def test_a_poor_crop_is_embedded_only_until_the_track_has_enough_better_ones() -> None:
    free, half_hidden = seen((100, 100, 200, 300)), seen((100, 100, 200, 300), (110, 100, 210, 310))

    def due_of_the_rear_one(shown: list[bool]) -> list[bool]:
        """Whether it is embedded at each picture; `shown` says whether it is free there."""
        one, due = camera(refresh_seconds=0), list[bool]()
        rear = observe(one, frame(0), free)
        track = ids(rear)[0]
        for index, is_free in enumerate(shown, start=1):
            observed = observe(one, frame(index), free if is_free else half_hidden)
            due.append(track in observed.tracked.track_ids[observed.due].tolist())
        return due

    assert due_of_the_rear_one([True, True, False, False, True]) == [True, True, False, False, True]
    assert due_of_the_rear_one([False, False, False]) == [True, True, True]


@pytest.mark.parametrize(
    ("fault", "moved", "pose"),
    [
        (None, None, "fixed"),
        (FaultKind.FROZEN, None, "fixed"),
        (FaultKind.MOVING, None, "moving"),
        (FaultKind.MOVED, "turned at 10:03", "moved"),
        (FaultKind.FROZEN, "turned at 10:03", "moved"),
        (FaultKind.MOVING, "turned at 10:03", "moving"),
    ],
)
def test_the_entries_say_whether_the_camera_moves_or_was_moved(
    fault: FaultKind | None, moved: str | None, pose: str
) -> None:
    north = camera()
    north.source.fault = Fault(fault, "") if fault else None  # type: ignore[misc]
    north.source.moved = moved  # type: ignore[misc]
    observed = north.observe(frame(1), ONE, T0 / S)
    assert north.batch(observed, np.zeros((len(observed.due), 4), np.float32), "e").pose == pose


def test_a_track_that_leaves_the_picture_ends_before_a_lost_one() -> None:
    one, ended_at = camera(), {}
    for index in range(16):
        left = 440.0 + 25 * index
        shown = index < 6
        leaving = [(left, 100.0, min(left + 100, 640.0), 300.0)] if shown else []
        staying = [(100.0, 100.0, 200.0, 300.0)] if shown else []
        observed = observe(one, frame(index), seen(*leaving, *staying))
        ended_at |= dict.fromkeys(batch_of(one, observed).ended.tolist(), index)
    assert len(ended_at) == 1
    assert max(ended_at.values()) < 12
