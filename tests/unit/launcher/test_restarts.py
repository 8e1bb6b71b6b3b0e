"""The backoff of a process that keeps ending."""

from __future__ import annotations

from launcher.restarts import LONGEST_SECONDS, SETTLED_SECONDS, Restarts


def waits(*ran_s: float) -> list[float]:
    """The delay before each restart of a process with these run times."""
    restarts, now, found = Restarts(), 1000.0, []
    for lived in ran_s:
        restarts.note_start(now)
        now += lived
        found.append(restarts.wait_s(now))
        now += found[-1]
        assert restarts.wait_s(now) == 0
    return found


def test_a_process_that_ran_long_is_restarted_at_once() -> None:
    assert waits(SETTLED_SECONDS, SETTLED_SECONDS, 1e6) == [0, 0, 0]


def test_the_delay_grows_while_a_process_keeps_ending_early() -> None:
    soon = SETTLED_SECONDS - 1
    assert waits(soon, soon, 0, 0, soon) == [1, 2, 4, 8, 16]
    assert set(waits(*[soon] * 2000)[5:]) == {LONGEST_SECONDS}


def test_a_long_run_resets_the_delay() -> None:
    assert waits(0, 0, 0, SETTLED_SECONDS, 0) == [1, 2, 4, 0, 1]


def test_asking_again_does_not_restart_the_delay() -> None:
    restarts = Restarts()
    restarts.note_start(100.0)
    assert [restarts.wait_s(now) for now in (101.0, 101.25, 101.75, 102.0, 105.0)] == [1.0, 0.75, 0.25, 0.0, 0.0]
