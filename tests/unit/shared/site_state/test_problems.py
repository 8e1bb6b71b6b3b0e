"""What is wrong with a site, judged from plain facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.service_list import ServiceInfo
from shared.site_state.problems import Boxes, ProblemWatch, SiteHealth, SiteProblem, UnusedGpu, site_problems


def service(role: str, number: int = 1, **changed: Any) -> ServiceInfo:
    """A process that is well, an hour old."""
    well = ServiceInfo(
        id=f"{role}-{number}",
        role=role,
        host="box",
        pid=number,
        metrics_url=None,
        ready=True,
        problem=None,
        not_ready_seconds=None,
        starting=False,
        uptime_seconds=3600.0,
        heartbeat_age_seconds=0.4,
    )
    return replace(well, **changed)


CLOCK, AGGREGATOR, WORKER = service("clock"), service("aggregator"), service("camera-worker")
WELL = SiteHealth(
    clock=True,
    aggregator=True,
    tick_age_s=0.05,
    cycle_lag_ticks=1,
    idle_s=0.05,
    boxes=Boxes(shown=6, without_gid=2, due=4, overdue=0),
    workers=1,
    services=(CLOCK, AGGREGATOR, WORKER),
)
NEW = {"starting": True, "problem": "it is starting", "ready": False, "uptime_seconds": 2.0, "not_ready_seconds": 1.0}


def problems(live: bool = True, target_fps: float = 10.0, **changed: Any) -> tuple[SiteProblem, ...]:
    return site_problems(replace(WELL, **changed), site="hall", live=live, target_fps=target_fps)


def codes(live: bool = True, target_fps: float = 10.0, **changed: Any) -> list[str]:
    return [problem.code for problem in problems(live, target_fps, **changed)]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"target_fps": 1.0, "tick_age_s": 1.4, "cycle_lag_ticks": 2},
        {"target_fps": 0.2, "tick_age_s": 9.0, "cycle_lag_ticks": 1},
        {"target_fps": 15.0, "tick_age_s": 1.5, "cycle_lag_ticks": 20},
        {"cycle_lag_ticks": None, "idle_s": None, "boxes": Boxes()},
        {"boxes": Boxes(shown=5, without_gid=5)},
        {"boxes": Boxes(shown=4, without_gid=2, due=4, overdue=2)},
        {"workers": 0, "cameras_wanted": False, "services": (CLOCK, AGGREGATOR)},
        {"live": False, "tick_is_due": False, "tick_age_s": 600.0, "cycle_lag_ticks": 0},
        {"live": False, "tick_age_s": 600.0, "idle_s": 1.0},
        {"live": False, "cycle_lag_ticks": 1, "idle_s": 1.0, "tick_is_due": False},
        {"live": False, "boxes": Boxes(shown=4, without_gid=4, due=4, overdue=4)},
        {"services": (CLOCK, AGGREGATOR, replace(WORKER, problem="x", not_ready_seconds=1.0))},
        {"services": (CLOCK, AGGREGATOR, replace(WORKER, heartbeat_age_seconds=2.1))},
    ],
    ids=str,
)
def test_a_healthy_site_has_no_problem(changed: dict[str, Any]) -> None:
    assert codes(**changed) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"clock": False}, "no_clock"),
        ({"tick_age_s": 2.1}, "clock_stopped"),
        ({"tick_age_s": None}, "clock_stopped"),
        ({"tick_age_s": 3.0, "target_fps": 1.0}, "clock_stopped"),
        ({"live": False, "tick_age_s": 5.0, "idle_s": 4.0, "cycle_lag_ticks": 0}, "clock_stopped"),
        ({"aggregator": False, "cycle_lag_ticks": 90}, "no_aggregator"),
        ({"cycle_lag_ticks": 21}, "aggregator_behind"),
        ({"live": False, "tick_is_due": False, "cycle_lag_ticks": 1, "idle_s": 2.6}, "aggregator_behind"),
        ({"boxes": Boxes(shown=4, without_gid=3, due=4, overdue=3)}, "gids_missing"),
        ({"workers": 0, "services": (CLOCK, AGGREGATOR)}, "no_worker"),
        ({"services": (CLOCK, AGGREGATOR, replace(WORKER, heartbeat_age_seconds=2.3))}, "service_silent"),
        ({"services": (CLOCK, AGGREGATOR, replace(WORKER, problem="x", not_ready_seconds=3.0))}, "service_not_ready"),
        ({"services": (CLOCK, AGGREGATOR, replace(WORKER, problem="x"))}, "service_not_ready"),
        (
            {"refusal": "its memory is full; raise it", "clock": False, "aggregator": False, "workers": 0},
            "redis_refuses",
        ),
    ],
    ids=str,
)
def test_each_fault_is_one_problem(changed: dict[str, Any], expected: str) -> None:
    assert codes(**changed) == [expected]


def test_workers_with_a_gpu_that_they_do_not_use_are_one_problem_for_each_host() -> None:
    found = problems(unused_gpus=(UnusedGpu("box", 1, "it is hot", "cool it"), UnusedGpu("pc", 3, "it is old", "buy")))
    assert [(problem.code, problem.about) for problem in found] == [("gpu_unused", "box"), ("gpu_unused", "pc")]
    assert [problem.line for problem in found] == [
        "a camera worker on box runs its networks on the CPU although there is an NVIDIA GPU: it is hot: cool it, and "
        "restart the worker; or set detector.backend and embedder.backend to cpu",
        "3 camera workers on pc run their networks on the CPU although there is an NVIDIA GPU: it is old: buy, and "
        "restart the workers; or set detector.backend and embedder.backend to cpu",
    ]


def test_a_problem_says_what_is_wrong_where_since_when_and_what_to_do() -> None:
    hung = replace(AGGREGATOR, heartbeat_age_seconds=4.0)
    (problem,) = problems(aggregator=False, cycle_lag_ticks=40, services=(CLOCK, hung, WORKER))
    assert problem.line == (
        "no aggregator does its work: the aggregator on box (pid 1) does not answer, so new tracks get no global ids "
        "(for 4 s): restart the aggregator on box (pid 1), or start one: mtmc run aggregator --site hall"
    )
    (problem,) = problems(aggregator=False, services=(CLOCK, WORKER))
    assert problem.text == "no aggregator is running, so new tracks get no global ids"
    assert problem.advice == "start one: mtmc run aggregator --site hall"
    loading = replace(AGGREGATOR, problem="it is loading the state", not_ready_seconds=9.0)
    (problem,) = problems(cycle_lag_ticks=40, services=(CLOCK, loading, WORKER))
    assert "restart the aggregator on box (pid 1)" in problem.advice


def test_a_process_that_was_restarted_is_no_longer_missed_but_another_silent_one_is() -> None:
    silent = [service("camera-worker", number, heartbeat_age_seconds=20.0 - number) for number in (1, 2)]
    new = service("camera-worker", 3, uptime_seconds=15.0)
    assert codes(services=(CLOCK, AGGREGATOR, silent[0], new)) == []
    missed = problems(services=(CLOCK, AGGREGATOR, *silent, new))
    assert [(problem.code, problem.about) for problem in missed] == [("service_silent", "camera-worker-2")]
    older = service("camera-worker", 3, uptime_seconds=30.0)
    assert codes(services=(CLOCK, AGGREGATOR, silent[0], older)) == ["service_silent"]


def test_a_site_that_is_starting_has_no_problem_yet() -> None:
    """Its processes come one after the other, and Redis still lists those of the last run if they were killed."""
    starting = {"clock": False, "aggregator": False, "tick_age_s": 900.0, "cycle_lag_ticks": 9000, "workers": 0}
    streamer = service("streamer", uptime_seconds=3.0)
    leftovers = [service(role, 9, heartbeat_age_seconds=30.0) for role in ("clock", "aggregator", "camera-worker")]
    assert codes(**starting, services=(streamer, *leftovers)) == []
    coming = [service(role, **NEW) for role in ("clock", "aggregator", "camera-worker")]
    assert codes(**starting, services=(streamer, *leftovers, *coming)) == []
    later = replace(streamer, uptime_seconds=16.0)
    assert codes(**starting, services=(later,)) == ["no_clock", "no_aggregator", "no_worker"]


def test_a_process_of_a_young_site_that_was_ready_is_missed_at_once() -> None:
    young = [replace(one, uptime_seconds=6.0) for one in (CLOCK, AGGREGATOR, WORKER)]
    assert codes(aggregator=False, services=tuple(young)) == ["no_aggregator"]
    young[2] = replace(young[2], heartbeat_age_seconds=3.5)
    assert codes(services=tuple(young)) == ["service_silent"]


@pytest.mark.parametrize(("lost", "code"), [(CLOCK, "no_clock"), (AGGREGATOR, "no_aggregator"), (WORKER, "no_worker")])
def test_a_process_of_a_young_site_that_died_while_it_started_is_missed_at_once(lost: ServiceInfo, code: str) -> None:
    young = [replace(one, uptime_seconds=6.0) for one in (CLOCK, AGGREGATOR, WORKER) if one is not lost]
    dead = replace(lost, id="dead", **NEW, heartbeat_age_seconds=3.5)
    missing: dict[str, Any] = {"clock": lost is not CLOCK, "aggregator": lost is not AGGREGATOR}
    missing["workers"] = int(lost is not WORKER)
    assert codes(**missing, services=(*young, dead)) == [code]
    restarted = replace(lost, **{**NEW, "uptime_seconds": 1.0})
    assert codes(**missing, services=(*young, dead, restarted)) == [], "a supervisor restarted it"


def test_a_worker_may_load_its_models_for_a_minute() -> None:
    loading = replace(WORKER, starting=True, problem="it is starting", not_ready_seconds=50.0)
    assert codes(workers=0, services=(CLOCK, AGGREGATOR, loading)) == []
    stuck = replace(loading, not_ready_seconds=61.0)
    assert codes(workers=0, services=(CLOCK, AGGREGATOR, stuck)) == ["service_not_ready"]


def reported(watch: ProblemWatch, at_s: float, *found: SiteProblem) -> list[str]:
    return [problem.code for problem in watch.settled(found, at_s)]


NO_CLOCK = SiteProblem("no_clock", "", "no clock", "start one")
MISSING = SiteProblem("gids_missing", "", "no gids", "look")


def test_a_problem_is_reported_once_it_lasts_and_until_it_stays_away() -> None:
    watch = ProblemWatch()
    assert reported(watch, 0.0) == []
    assert reported(watch, 0.25, NO_CLOCK) == [], "a takeover"
    assert reported(watch, 0.5) == []
    seen = [bool(reported(watch, 0.75 + i / 4, *[NO_CLOCK] * (i < 8))) for i in range(16)]
    assert seen == [False] * 2 + [True] * 9 + [False] * 5
    flickering = [bool(reported(watch, 5.0 + i / 4, *[NO_CLOCK] * (i % 4 != 3))) for i in range(16)]
    assert flickering == [False] * 2 + [True] * 14, "without coming and going"


def test_missing_gids_are_reported_later() -> None:
    watch = ProblemWatch()
    watch.settled((), 0.0)
    assert [bool(reported(watch, i / 2, MISSING)) for i in range(1, 14)] == [False] * 11 + [True] * 2


def test_the_first_reading_and_one_after_a_pause_count_as_they_are() -> None:
    watch = ProblemWatch()
    assert reported(watch, 0.0, NO_CLOCK) == ["no_clock"]
    assert reported(watch, 60.0) == []
    assert reported(watch, 120.0, NO_CLOCK, MISSING) == ["no_clock", "gids_missing"]


def test_after_redis_did_not_answer_processes_may_send_their_heartbeats_first() -> None:
    watch = ProblemWatch()
    assert reported(watch, 0.0, NO_CLOCK) == ["no_clock"]
    watch.interrupted()
    assert [bool(reported(watch, 9.0 + i / 2, NO_CLOCK)) for i in range(8)] == [False] * 6 + [True] * 2
