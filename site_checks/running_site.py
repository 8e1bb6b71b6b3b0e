"""Checks a running site: missing processes, failing cameras, skipped ticks, lost entries."""

from __future__ import annotations

import time
from collections.abc import Iterator

from shared.keys import Keys
from shared.learned import LARGEST_OFFSET_S, late_cameras, learned_of
from shared.redis_connection import Client
from shared.site_state.problems import ProblemCode
from shared.site_state.reading import StateReader
from shared.site_state.states import CameraState, SiteState, State
from site_checks.finding import Finding, Severity, ok, warning

AREA = "running site"
_WORTH_MENTIONING_S = 0.2
_WARNINGS: frozenset[ProblemCode] = frozenset(
    {"service_silent", "service_not_ready", "aggregator_behind", "gpu_unused"}
)
"""These may end on their own, or only make the site slower."""
_INTERVAL_S = 1.5
"""Long enough for several ticks, and for a heartbeat of each worker."""


def examine_running_site(
    client: Client, keys: Keys, first: SiteState | None, reader: StateReader | None
) -> Iterator[Finding]:
    """Compares the state `first` with the state a moment later; `first` and `reader` are None if it is not published.

    Raises:
        RedisError: Redis does not answer.
    """
    if first is None or reader is None or not first.running:
        yield ok(AREA, "the site is not running")
        return
    time.sleep(_INTERVAL_S)
    now = reader.read()
    yield from _problems(first, now)
    yield from (finding for camera in now.cameras if (finding := _camera(camera)) is not None)
    yield from _falling_behind(first, now)
    yield from _not_ready(now)
    yield from _lost(client, keys)
    yield from _late_pictures(client, keys)


def _problems(first: SiteState, now: SiteState) -> Iterator[Finding]:
    """The problems that both readings found: a moment of a takeover is none."""
    before = {problem.key for problem in first.problems}
    problems = [problem for problem in now.problems if problem.key in before]
    for problem in problems:
        severity = Severity.WARNING if problem.code in _WARNINGS else Severity.ERROR
        lasted = "" if problem.seconds is None else f" (for {problem.seconds:.0f} s)"
        yield Finding(AREA, severity, f"{problem.text}{lasted}", problem.advice)
    for other in now.other_embedders:
        yield Finding(AREA, Severity.ERROR, other.problem, other.advice)
    if not problems:
        yield ok(
            AREA,
            f"clock, aggregator and {_counted(len(now.workers))} are running; tick {now.tick}, revision {now.revision}",
        )


def _camera(camera: CameraState) -> Finding | None:
    advice = _ADVICE.get(camera.state)
    return warning(AREA, f"{camera.name} is {camera.state}: {camera.message}", advice) if advice else None


_ADVICE: dict[State, str] = {
    "stalled": "if this persists, see the log of its worker; when a worker dies, another one takes over its cameras",
    "frozen": "look at its picture: restart the camera if it hangs",
    "blank": "look at its picture: check lens, light and video settings",
    "moving": "a mask and a calibration need a camera that stands still",
    "moved": "check its mask and calibration, then pause and resume it",
    "down": "fix the source; its worker keeps retrying",
    "waiting": "start a worker that has its labels, on a host that has its file or device",
}


def _falling_behind(first: SiteState, now: SiteState) -> Iterator[Finding]:
    ticks, skipped = now.tick - first.tick, now.skipped_ticks - first.skipped_ticks
    cameras = sum(camera.seen_tick is not None for camera in now.cameras)
    if ticks > 0 and cameras and skipped > 0:
        yield warning(
            AREA,
            f"workers skip {skipped / (ticks * cameras):.0%} of the ticks because they are slower than the clock",
            "add workers, lower clock.target_fps, or use a smaller detector",
        )


def _not_ready(now: SiteState) -> Iterator[Finding]:
    """The processes that are not ready yet; those for too long are problems of the site."""
    reported = {problem.about for problem in now.problems}
    for service in now.health.services:
        if service.problem is not None and service.id not in reported:
            yield warning(AREA, f"{service.name} is not ready: {service.problem}", "see its log")


def _lost(client: Client, keys: Keys) -> Iterator[Finding]:
    dead, late = client.xlen(keys.dead_letters), int(client.hget(keys.skew, "late") or 0)
    if dead:
        yield warning(
            AREA,
            f"{dead} entries could not be decoded",
            "run the same version of mtmc everywhere; to see the reasons: "
            f"mtmc redis-cli SITE.yaml XREVRANGE '{keys.dead_letters}' + - COUNT 3",
        )
    if late:
        yield warning(AREA, f"{late} entries arrived too late for their cycle", "check the skew: mtmc status --watch")


def _late_pictures(client: Client, keys: Keys) -> Iterator[Finding]:
    """Cameras that deliver their pictures later than the cameras that see the same place."""
    learned = learned_of(client.get(keys.learned_layout))
    for camera, late_s in (late_cameras(learned) if learned else {}).items():
        if abs(late_s) >= _WORTH_MENTIONING_S:
            word = "late" if late_s > 0 else "early"
            rest = "" if abs(late_s) < LARGEST_OFFSET_S else f" up to {LARGEST_OFFSET_S:g} s"
            yield warning(
                AREA,
                f"the pictures of {camera} are {abs(late_s):.1f} s too {word}, compared with those of cameras that see "
                f"the same objects; association corrects this{rest}",
                "lower the delay of the camera (its buffer, its GOP length, or its clock if it stamps its pictures)",
            )


def _counted(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"
