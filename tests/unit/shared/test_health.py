from __future__ import annotations

import pytest

from shared.monitoring.health import HUNG_SECONDS, READY_SECONDS, Health


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def health(watch: Watch) -> Health:
    return Health(watch)


def test_a_starting_process_is_not_ready_and_not_hung(health: Health, watch: Watch) -> None:
    health.waiting("it waits: Redis does not answer yet")
    watch.now += 600
    assert (health.hung(), health.not_ready()) == (None, "it waits: Redis does not answer yet")


def test_a_service_is_ready_after_its_first_step(health: Health) -> None:
    health.enter_loop(lambda: None)
    assert health.not_ready() == "its first step is not done yet"
    health.stepped()
    assert (health.hung(), health.not_ready()) == (None, None)


def test_a_loop_without_a_step_is_first_not_ready_and_then_hung(health: Health, watch: Watch) -> None:
    health.enter_loop(lambda: None)
    health.stepped()
    watch.now += READY_SECONDS + 0.1
    assert (health.hung(), health.not_ready()) == (None, "its loop has finished no step for 3.1 s")
    watch.now += HUNG_SECONDS - READY_SECONDS
    assert health.hung() == health.not_ready() == "its loop has made no progress for 10 s"
    health.stepped()
    assert (health.hung(), health.not_ready()) == (None, None)


def test_a_long_step_that_makes_progress_is_not_hung(health: Health, watch: Watch) -> None:
    health.enter_loop(lambda: None)
    health.stepped()
    for _ in range(10):
        watch.now += HUNG_SECONDS / 2
        health.progressed()
        assert health.hung() is None
    assert health.not_ready() == "its loop has finished no step for 50.0 s"


def test_a_failed_step_is_progress_and_the_next_good_one_clears_the_problem(health: Health, watch: Watch) -> None:
    health.enter_loop(lambda: None)
    for _ in range(5):
        watch.now += HUNG_SECONDS / 2
        health.failed("Redis does not answer: it is gone")
    assert (health.hung(), health.not_ready()) == (None, "Redis does not answer: it is gone")
    health.stepped()
    assert health.not_ready() is None


def test_the_services_own_problem_is_a_reason(health: Health) -> None:
    problems = ["it is 40 ticks behind", None]
    health.enter_loop(lambda: problems.pop(0))
    health.stepped()
    assert [health.not_ready(), health.not_ready()] == ["it is 40 ticks behind", None]


def test_a_stopping_process_is_not_ready(health: Health, watch: Watch) -> None:
    health.enter_loop(lambda: None)
    health.stepped()
    health.waiting("it is stopping")
    watch.now += HUNG_SECONDS + 1
    assert (health.hung(), health.not_ready()) == (None, "it is stopping")


def test_a_reason_is_one_line_without_credentials(health: Health) -> None:
    secret = "cannot read rtsp://me:hunter2@box/1\nAuthorization failed\n" + "x" * 1000
    health.enter_loop(lambda: secret)
    health.failed(secret)
    failed = health.not_ready()
    health.stepped()
    for reason in (failed, health.not_ready()):
        assert reason is not None
        assert reason.startswith("cannot read rtsp://***@box/1 Authorization failed x")
        assert len(reason) == 300
