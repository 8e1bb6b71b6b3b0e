"""The lines that `mtmc up` prints about processes and cameras."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.news import News, RepeatLimit, camera_news, is_settled, problem_news, process_news
from launcher.supervision import ProcessInfo
from shared.site_state.problems import SiteProblem
from shared.site_state.states import STATES, CameraState, State


def process(state: str = "RUNNING", pid: int = 7, exit_code: int = 0, restart_in_s: float = 0.0) -> ProcessInfo:
    return ProcessInfo("clock", state, pid, exit_code, restart_in_s)


def camera(state: State, message: str = "", *, error: str | None = None, stalled: bool = False) -> CameraState:
    return CameraState("a", state, message or error or state, stalled=stalled, error=error)


LIVE, DOWN = camera("live"), camera("down", error="connection refused")
WAITING, STALLED = camera("waiting", "no worker has it"), camera("stalled", "no new picture since 12:00")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, WAITING, []),
        (WAITING, camera("starting", "opening the source"), ["camera a: starting"]),
        (None, camera("starting", "opening the source"), ["camera a: starting"]),
        (camera("starting", "opening the source"), camera("starting", "waiting for the first picture"), []),
        (camera("starting"), LIVE, ["camera a: live again"]),
        (LIVE, LIVE, []),
        (LIVE, WAITING, ["camera a: waiting (no worker has it)"]),
        (LIVE, DOWN, ["camera a: down (connection refused); retrying"]),
        (DOWN, camera("down", error="timed out"), ["camera a: down (timed out); retrying"]),
        (DOWN, LIVE, ["camera a: live again"]),
        (LIVE, STALLED, ["camera a: stalled (no new picture since 12:00)"]),
        (STALLED, camera("stalled", "its worker w does not answer"), []),
        (
            LIVE,
            camera("stalled", "its worker w handles no tick", stalled=True),
            ["camera a: stalled (its worker w handles no tick); the other cameras no longer wait for it"],
        ),
        (STALLED, LIVE, ["camera a: live again"]),
        (LIVE, camera("ended", "the file has ended"), ["camera a: the file has ended"]),
        (LIVE, camera("paused"), ["camera a: paused"]),
        (LIVE, camera("live", error="a hiccup"), []),
    ],
)
def test_each_changed_camera_gets_one_line(before: CameraState | None, now: CameraState, expected: list[str]) -> None:
    seen = {"a": before} if before else {}
    assert [item.text for item in camera_news(seen, {"a": now}, {"a"})] == expected


def test_a_camera_that_was_never_live_is_not_live_again() -> None:
    assert [item.text for item in camera_news({}, {"a": LIVE})] == ["camera a: live"]


def test_a_removed_camera_gets_one_line() -> None:
    assert [item.text for item in camera_news({"a": LIVE, "b": LIVE}, {"a": LIVE})] == [
        "camera b: removed from the site"
    ]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (process(), process(), []),
        (process(), process("STARTING", 8, -1), ["clock died (killed) and was restarted (pid 7, now 8)"]),
        (process(), process("STARTING", 8, 1), ["clock died (exit code 1) and was restarted (pid 7, now 8)"]),
        (process(), process("EXITED", 0, 1, 3.7), ["clock died (exit code 1, pid 7); restarting in 4 s"]),
        (process(), process("EXITED", 0, -1), ["clock died (killed, pid 7); restarting now"]),
        (process("EXITED", 0, 1, 3.7), process("EXITED", 0, 1, 3.4), []),
        (process("EXITED", 0), process("STARTING", 9), ["clock was restarted (pid 9)"]),
        (
            process(),
            process("EXITED", 0, 2, 1.0),
            ["clock stopped with an error that you have to fix: no such model; restarting in 1 s"],
        ),
    ],
)
def test_each_process_that_died_or_was_restarted_gets_one_line(
    before: ProcessInfo, now: ProcessInfo, expected: list[str]
) -> None:
    assert [
        item.text for item in process_news({"clock": before}, {"clock": now}, lambda _: "no such model")
    ] == expected


@pytest.mark.parametrize("state", STATES)
def test_up_does_not_wait_for_a_camera_that_is_live_or_has_failed(state: State) -> None:
    assert is_settled(camera(state)) is (
        state in {"live", "frozen", "blank", "moving", "moved", "down", "ended", "paused"}
    )


def test_a_process_that_keeps_dying_does_not_fill_the_screen() -> None:
    limit = RepeatLimit(lines=2, seconds=60)
    died, other = News("it died", "bad", "clock"), News("it died too", "bad", "streamer")
    printed = [limit.filtered([died], now_s) for now_s in range(10)]
    assert printed[:2] == [[died], [died]]
    assert [item.text for item in printed[2]] == ["clock keeps dying and is being restarted; see its log"]
    assert printed[3:] == [[]] * 7
    assert limit.filtered([died, other], 10) == [other]
    assert limit.filtered([died], 70) == [died]


def test_a_problem_of_the_site_gets_a_line_when_it_begins_and_one_when_it_is_over() -> None:
    stopped = SiteProblem("clock_stopped", "", "the clock publishes no ticks", "restart it", 2.2)
    silent = [SiteProblem("service_silent", name, f"{name} is silent", "restart it") for name in ("w1", "w2")]
    assert problem_news([], [stopped]) == [
        News("problem: the clock publishes no ticks (for 2 s): restart it", "bad", "clock_stopped")
    ]
    assert problem_news([stopped], [replace(stopped, text="still none", seconds=3.0)]) == []
    assert problem_news([stopped, silent[0]], silent) == [
        News("problem: w2 is silent: restart it", "bad", "service_silent w2"),
        News("over: the clock publishes no ticks", "good", "clock_stopped"),
    ]
