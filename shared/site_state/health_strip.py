"""The health of a site at a glance: its parts, each good, doubtful or bad, and what to do. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from shared.site_state.problems import OF_GIDS, SiteProblem, redis_silent
from shared.site_state.states import CameraState, SiteState, State

Part = Literal["tick", "skew", "cameras", "workers", "aggregator", "services", "redis"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The parts of a site, in the order in which they are shown."""
Level = Literal["good", "doubtful", "bad", "unknown"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""How a part is: `doubtful` needs a look, `bad` needs somebody to act, `unknown` cannot be read."""

_NOTHING_TO_DO = ""
_CAMERA_ADVICE: Mapping[State, str] = {
    "starting": "wait; if it does not start within a minute, see the log of its worker",
    "waiting": "start another camera worker, or raise worker.capacity; its labels must match those of a worker",
    "stalled": "see the log of its worker, and restart it",
    "frozen": "look at the camera itself: it repeats one picture",
    "blank": "look at the camera itself: its lens may be covered, or its light is off",
    "moving": "fix the camera in place, or wait until it is still",
    "moved": "make its mask and calibration again, or turn the camera back",
    "down": "check its power, its network and its address",
}
_LEAST_URGENT: tuple[State, ...] = ("starting", "moving", "moved", "waiting")
"""States in which a camera may be all right soon, or still shows pictures."""


@dataclass(frozen=True)
class PartHealth:
    """One part of the site."""

    part: Part
    level: Level
    value: str
    """A number or a word; as short as it can be."""
    text: str
    """How it is; a sentence without a full stop, for people."""
    advice: str
    """What to do; empty: nothing."""


def health_strip(state: SiteState) -> tuple[PartHealth, ...]:
    """The health of each part, in the order of `PARTS`."""
    roles = {service.id: service.role for service in state.health.services}
    by_part: dict[Part, list[SiteProblem]] = {}
    for problem in state.problems:
        by_part.setdefault(_part_of(problem, roles), []).append(problem)
    return (
        _judged("tick", by_part, f"{state.tick:,}", _tick_text(state)),
        _skew(state),
        _cameras(state.cameras),
        _workers(state, by_part),
        _judged("aggregator", by_part, _aggregator_value(state), _aggregator_text(state)),
        _judged("services", by_part, str(len(state.health.services)), "all processes send heartbeats and are ready"),
        _judged("redis", by_part, "refuses" if "redis" in by_part else "ok", "Redis answers"),
    )


def health_strip_without_redis() -> tuple[PartHealth, ...]:
    """The health of each part while Redis does not answer."""
    problem = redis_silent()
    return tuple(
        PartHealth("redis", "bad", "silent", problem.text, problem.advice)
        if part == "redis"
        else PartHealth(part, "unknown", "–", "unknown while Redis does not answer", _NOTHING_TO_DO)
        for part in PARTS
    )


def _part_of(problem: SiteProblem, roles: Mapping[str, str]) -> Part:
    match problem.code:
        case "no_clock" | "clock_stopped":
            return "tick"
        case "no_aggregator" | "aggregator_behind" | "gids_missing":
            return "aggregator"
        case "no_worker" | "gpu_unused":
            return "workers"
        case "redis_silent" | "redis_refuses":
            return "redis"
        case "service_silent" | "service_not_ready":
            # A process that is one of several: the others do its work.
            return "workers" if roles.get(problem.about) == "camera-worker" else "services"


def _level(problems: Iterable[SiteProblem]) -> Level:
    """Bad if a role is not filled; doubtful if it is, but not as it should be."""
    codes = {problem.code for problem in problems}
    if not codes:
        return "good"
    return "bad" if codes - {"aggregator_behind", "gpu_unused", "service_silent", "service_not_ready"} else "doubtful"


def _judged(part: Part, by_part: Mapping[Part, list[SiteProblem]], value: str, text: str) -> PartHealth:
    """A part that is as its problems say; `text` is for one without."""
    problems = by_part.get(part, [])
    if not problems:
        return PartHealth(part, "good", value, text, _NOTHING_TO_DO)
    advice = "; ".join(dict.fromkeys(problem.advice for problem in problems))
    return PartHealth(part, _level(problems), value, "; ".join(problem.text for problem in problems), advice)


def _tick_text(state: SiteState) -> str:
    age_s = state.health.tick_age_s
    return "the clock has published no tick yet" if age_s is None else f"the last tick was published {age_s:.1f} s ago"


def _skew(state: SiteState) -> PartHealth:
    value = "–" if state.skew_ticks is None else str(state.skew_ticks)
    if state.stalled:
        names = ", ".join(state.stalled)
        text = f"the others no longer wait for {names}, which handles no tick"
        return PartHealth("skew", "doubtful", value, text, f"see the state of {names}")
    if not state.skew_ticks:
        return PartHealth("skew", "good", value, "all cameras are at the same tick", _NOTHING_TO_DO)
    ends = [_at_tick("slowest", state.slowest), _at_tick("fastest", state.fastest)]
    text = ", ".join(filter(None, ends)) or f"the slowest camera is {value} ticks behind the fastest"
    return PartHealth("skew", "good", value, text, _NOTHING_TO_DO)


def _at_tick(which: str, written: str | None) -> str:
    """`written` is `camera@tick`."""
    camera, _, tick = (written or "").partition("@")
    return f"the {which} camera is {camera} (tick {tick})" if tick else ""


def _cameras(cameras: tuple[CameraState, ...]) -> PartHealth:
    well = sum(camera.is_well for camera in cameras)
    value = f"{well} / {len(cameras)}"
    if not cameras:
        return PartHealth("cameras", "doubtful", value, "this site has no camera yet", "add one: mtmc cameras add")
    ill = [camera for camera in cameras if not camera.is_well and camera.state not in ("paused", "ended")]
    if not ill:
        idle = len(cameras) - well
        text = "all cameras are live" if not idle else f"{well} live; {idle} paused or at the end of a file"
        return PartHealth("cameras", "good", value, text, _NOTHING_TO_DO)
    urgent = [camera for camera in ill if camera.state not in _LEAST_URGENT]
    level: Level = "bad" if len(urgent) == len(ill) == len(cameras) else "doubtful"
    text = "; ".join(f"{camera.title or camera.name}: {_trouble(camera)}" for camera in ill[:3])
    if len(ill) > 3:
        text += f"; and {len(ill) - 3} more"
    # One advice for each kind of trouble, the most frequent first.
    kinds = Counter(_CAMERA_ADVICE.get(camera.state, "") for camera in ill)
    advice = "; ".join(words for words, _ in kinds.most_common() if words)
    return PartHealth("cameras", level, value, text, advice)


def _trouble(camera: CameraState) -> str:
    trouble = camera.state if camera.message == camera.state else f"{camera.state} ({camera.message})"
    return camera.warning or trouble if camera.state == "live" else trouble


def _workers(state: SiteState, by_part: Mapping[Part, list[SiteProblem]]) -> PartHealth:
    count = len(state.workers)
    text = f"{count} camera {'worker is' if count == 1 else 'workers are'} running"
    judged = _judged("workers", by_part, str(count), text)
    others = state.other_embedders
    if judged.level != "good" or not others:
        return judged
    text = "; ".join(one.problem for one in others)
    return PartHealth("workers", "doubtful", judged.value, text, others[0].advice)


def _aggregator_value(state: SiteState) -> str:
    if not state.aggregator:
        return "none"
    return "late" if any(problem.code in OF_GIDS for problem in state.problems) else "ok"


def _aggregator_text(state: SiteState) -> str:
    lag_ticks = state.health.cycle_lag_ticks
    if not state.aggregator:
        return "the aggregator is starting"
    if not lag_ticks or lag_ticks <= 1:
        return "the aggregator keeps up with the cameras"
    return f"the aggregator is {lag_ticks} ticks behind the cameras"
