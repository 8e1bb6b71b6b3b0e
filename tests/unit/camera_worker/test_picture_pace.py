from __future__ import annotations

from services.camera_worker.picture_pace import PicturePace


def published(pace: PicturePace, *, watched: bool, ticks: int = 31, fps: float = 10.0) -> list[int]:
    return [tick for tick in range(ticks) if pace.due("a", tick / fps, watched=watched)]


def test_every_picture_of_a_watched_camera_is_published() -> None:
    assert published(PicturePace(), watched=True) == list(range(31))


def test_an_unwatched_camera_publishes_its_first_picture_at_once_and_then_one_per_second() -> None:
    assert published(PicturePace(), watched=False) == [0, 10, 20, 30]


def test_cameras_are_paced_apart_and_a_new_viewer_sees_the_next_picture() -> None:
    pace = PicturePace()
    assert pace.due("a", 0.0, watched=False)
    assert pace.due("b", 0.1, watched=False)
    assert not pace.due("a", 0.5, watched=False)
    assert pace.due("a", 0.6, watched=True)
