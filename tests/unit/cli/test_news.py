"""What `mtmc up` tells of processes and cameras."""

from __future__ import annotations

import pytest

from cli.news import CameraView, News, Patience, camera_news, process_news
from launcher.supervision import ProcessInfo


def process(state: str = "RUNNING", pid: int = 7, exit_code: int = 0, restart_in_s: float = 0.0) -> ProcessInfo:
    return ProcessInfo("clock", state, pid, exit_code, restart_in_s)


LIVE, DOWN = CameraView("live"), CameraView("down", "connection refused")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (CameraView(), CameraView("starting"), ["camera a: starting"]),
        (CameraView("starting"), LIVE, ["camera a: live again"]),
        (LIVE, LIVE, []),
        (LIVE, DOWN, ["camera a: down (connection refused); it is tried again"]),
        (DOWN, CameraView("down", "timed out"), ["camera a: down (timed out); it is tried again"]),
        (DOWN, LIVE, ["camera a: live again"]),
        (LIVE, CameraView("live", "", True), ["camera a: stalled; the others no longer wait for it"]),
        (CameraView("live", "", True), LIVE, ["camera a: live again"]),
        (CameraView("live", "", True), CameraView("released", "", True), []),
        (LIVE, CameraView("ended"), ["camera a: its recording has ended"]),
        (LIVE, CameraView("live", "a hiccup"), []),
    ],
)
def test_a_camera_that_changed_is_told_of_in_one_line(before: CameraView, now: CameraView, expected: list[str]) -> None:
    assert [item.text for item in camera_news({"a": before}, {"a": now}, {"a"})] == expected


def test_a_camera_that_was_never_live_is_not_live_again() -> None:
    assert [item.text for item in camera_news({}, {"a": LIVE})] == ["camera a: live"]


def test_a_camera_taken_out_of_the_site_is_told_of() -> None:
    assert [item.text for item in camera_news({"a": LIVE, "b": LIVE}, {"a": LIVE})] == [
        "camera b: removed from the site"
    ]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (process(), process(), []),
        (process(), process("STARTING", 8, -1), ["clock died (killed) and was restarted (pid 7, now 8)"]),
        (process(), process("STARTING", 8, 1), ["clock died (exit code 1) and was restarted (pid 7, now 8)"]),
        (process(), process("EXITED", 0, 1, 3.7), ["clock died (exit code 1, pid 7); it is started again in 4 s"]),
        (process(), process("EXITED", 0, -1), ["clock died (killed, pid 7); it is started again now"]),
        (process("EXITED", 0, 1, 3.7), process("EXITED", 0, 1, 3.4), []),
        (process("EXITED", 0), process("STARTING", 9), ["clock was restarted (pid 9)"]),
        (process(), process("EXITED", 0, 2), []),
    ],
)
def test_a_process_that_died_or_came_back_is_told_of(
    before: ProcessInfo, now: ProcessInfo, expected: list[str]
) -> None:
    assert [item.text for item in process_news({"clock": before}, {"clock": now})] == expected


@pytest.mark.parametrize(
    ("state", "settled"), [("", False), ("starting", False), ("released", False), ("live", True), ("down", True)]
)
def test_nobody_waits_for_a_camera_that_is_live_or_has_failed(state: str, settled: bool) -> None:
    assert CameraView(state).settled is settled


def test_a_process_that_keeps_dying_does_not_fill_the_screen() -> None:
    patience = Patience(lines=2, seconds=60)
    died, other = News("it died", "bad", "clock"), News("it died too", "bad", "streamer")
    told = [patience.filtered([died], now_s) for now_s in range(10)]
    assert told[:2] == [[died], [died]]
    assert [item.text for item in told[2]] == ["clock keeps dying and is started again and again; its log says why"]
    assert told[3:] == [[]] * 7
    assert patience.filtered([died, other], 10) == [other]
    assert patience.filtered([died], 70) == [died]
