"""The health of a site at a glance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.site_state.health_strip import PARTS, PartHealth, health_strip, health_strip_without_redis
from shared.site_state.problems import PROBLEM_CODES, SiteHealth, SiteProblem
from shared.site_state.states import STATES, CameraState, SiteState, State, WorkerState
from tests.unit.shared.site_state.test_problems import WELL

WORKER = WorkerState("w1", "box", "7", "", "cpu", "onnxruntime", "ab12", "north south", "10", 0.2)
SITE = SiteState(
    site="hall",
    mode="live",
    target_fps=10.0,
    revision=1,
    tick=12_345,
    gate=12_347,
    skew_ticks=3,
    skipped_ticks=0,
    slowest="north@12342",
    fastest="south@12345",
    stalled=(),
    clock=True,
    aggregator=True,
    live_identities=4,
    workers=(WORKER,),
    cameras=(CameraState("north", "live", "live"), CameraState("south", "live", "live")),
    read_at=0.0,
    health=WELL,
)


def strip(**changed: Any) -> dict[str, PartHealth]:
    return {part.part: part for part in health_strip(replace(SITE, **changed))}


def cameras(*states: State) -> PartHealth:
    return strip(cameras=tuple(CameraState(f"c{i}", state, f"why {state}") for i, state in enumerate(states)))[
        "cameras"
    ]


def test_all_parts_of_a_healthy_site_are_good() -> None:
    found = strip()
    assert tuple(found) == PARTS
    assert {part.level for part in found.values()} == {"good"}
    assert not any(part.advice for part in found.values())
    assert found["tick"].value == "12,345"
    assert found["cameras"].value == "2 / 2"
    assert found["skew"].text == "the slowest camera is north (tick 12342), the fastest camera is south (tick 12345)"


@pytest.mark.parametrize("code", PROBLEM_CODES)
def test_each_problem_is_in_the_strip_with_its_advice(code: Any) -> None:
    if code == "redis_silent":
        found = {part.part: part for part in health_strip_without_redis()}
        assert (found["redis"].level, found["tick"].level) == ("bad", "unknown")
        assert tuple(found) == PARTS
        return
    found = strip(problems=(SiteProblem(code, "clock-1", "it is ill", "heal it"),))
    (ill,) = [part for part in found.values() if part.level != "good"]
    assert (ill.text, ill.advice) == ("it is ill", "heal it")


def test_a_silent_worker_is_a_matter_of_the_workers() -> None:
    found = strip(problems=(SiteProblem("service_silent", "camera-worker-1", "it is silent", "restart it"),))
    assert (found["workers"].level, found["services"].level) == ("doubtful", "good")


@pytest.mark.parametrize("state", STATES)
def test_a_camera_that_needs_somebody_is_named_with_what_to_do(state: State) -> None:
    part = cameras("live", state)
    if state in ("live", "paused", "ended"):
        assert (part.level, part.advice) == ("good", "")
    else:
        assert part.level == "doubtful"
        assert f"c1: {state} (why {state})" in part.text
        assert part.advice


def test_a_site_whose_cameras_all_fail_is_bad() -> None:
    assert cameras("down", "stalled").level == "bad"
    assert cameras("down", "starting").level == "doubtful"
    assert "and 2 more" in cameras(*["down"] * 5).text  # type: ignore[arg-type]
    empty = cameras()
    assert (empty.level, empty.value) == ("doubtful", "0 / 0")
    assert "mtmc cameras add" in empty.advice


def test_a_camera_that_the_others_no_longer_wait_for_is_named() -> None:
    part = strip(stalled=("north",))["skew"]
    assert (part.level, part.advice) == ("doubtful", "see the state of north")


def test_workers_with_different_embedders_are_doubtful() -> None:
    other = replace(WORKER, id="w2", embedder="cd34")
    part = strip(workers=(WORKER, other, replace(WORKER, id="w3")))["workers"]
    assert part.level == "doubtful"
    assert "w2" in part.text


def test_an_aggregator_that_starts_is_not_called_ill() -> None:
    part = strip(aggregator=False, health=SiteHealth())["aggregator"]
    assert (part.level, part.text) == ("good", "the aggregator is starting")
