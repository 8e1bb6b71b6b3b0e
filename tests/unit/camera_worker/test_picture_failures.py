from __future__ import annotations

from services.camera_worker.picture_failures import SETTLED_S, DropReason, PictureFailures

REDIS, ENCODING = DropReason.REDIS, DropReason.ENCODING


def test_a_failure_is_logged_once_and_so_is_the_recovery() -> None:
    failures = PictureFailures()
    assert [failures.failed("north", ENCODING, now_s) for now_s in (1.0, 2.0, 3.0)] == [True, False, False]
    assert not failures.published("north", 4.0)
    assert failures.published("north", 3.0 + SETTLED_S)
    assert not failures.published("north", 4.0 + SETTLED_S)
    assert failures.failed("north", ENCODING, 5.0 + SETTLED_S)


def test_a_flapping_camera_does_not_fill_the_log() -> None:
    failures = PictureFailures()
    news = []
    for second in range(0, 600, 2):
        news += [failures.failed("north", ENCODING, second), failures.published("north", second + 1)]
    assert news == [True] + [False] * 599


def test_a_new_reason_is_logged() -> None:
    failures = PictureFailures()
    assert failures.failed("north", ENCODING, 0.0)
    assert failures.failed("north", REDIS, 1.0)
    assert failures.failed("north", ENCODING, 2.0)


def test_of_cameras_that_fail_because_of_redis_the_first_failure_and_the_last_recovery_are_logged() -> None:
    failures = PictureFailures()
    cameras = ("north", "south", "east")
    assert [failures.failed(camera, REDIS, at_s) for at_s, camera in enumerate(cameras)] == [True, False, False]
    recovered = [failures.published(camera, SETTLED_S + at_s) for at_s, camera in enumerate(cameras)]
    assert recovered == [False, False, True]


def test_a_camera_that_went_away_while_redis_failed_hides_no_later_failure() -> None:
    failures = PictureFailures()
    failures.failed("removed", REDIS, 0.0)
    assert failures.failed("north", REDIS, SETTLED_S)
    assert failures.published("north", 2 * SETTLED_S)


def test_only_the_camera_with_an_unexpected_exception_waits_and_longer_each_time() -> None:
    failures = PictureFailures()
    now_s, waits_s = 0.0, []
    for _ in range(30):
        waits_s.append(failures.suspend("north", now_s))
        assert failures.is_suspended("north", now_s + waits_s[-1] - 0.01)
        assert not failures.is_suspended("south", now_s)
        now_s += waits_s[-1]
        assert not failures.is_suspended("north", now_s)
        failures.published("north", now_s)
    assert waits_s[0] <= 1.0
    assert max(waits_s) > 10.0


def test_a_camera_that_has_settled_waits_only_shortly_the_next_time() -> None:
    failures = PictureFailures()
    for _ in range(10):
        until_s = failures.suspend("north", 0.0)
    settled_s = until_s + SETTLED_S + 0.001  # seconds are floats: their difference may be a little below SETTLED_S
    assert failures.published("north", settled_s)
    assert failures.suspend("north", settled_s) <= 1.0
