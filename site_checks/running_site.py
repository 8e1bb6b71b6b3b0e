"""Checks a running site: missing processes, failing cameras, skipped ticks, lost entries."""

from __future__ import annotations

import time
from collections.abc import Iterator

from shared.keys import Keys
from shared.learned import LARGEST_OFFSET_S, learned_offsets
from shared.redis_connection import Client
from shared.service_list import read_services
from shared.site_state.reading import StateReader
from shared.site_state.states import CameraState, SiteState, State
from site_checks.finding import Finding, Severity, ok, warning

AREA = "running site"
_WORTH_MENTIONING_S = 0.2
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
    yield from _roles(first, now)
    yield from (finding for camera in now.cameras if (finding := _camera(camera)) is not None)
    yield from _falling_behind(first, now)
    yield from _not_ready(client, keys)
    yield from _lost(client, keys)
    yield from _late_pictures(client, keys)


def _roles(first: SiteState, now: SiteState) -> Iterator[Finding]:
    for role, alive in (("clock", now.clock), ("aggregator", now.aggregator)):
        if not alive:
            yield Finding(
                AREA, Severity.ERROR, f"no {role} is running", f"start one: mtmc run {role} --site {now.site}"
            )
    if not now.workers:
        yield Finding(
            AREA, Severity.ERROR, "no camera worker is running", f"start one: mtmc run camera-worker --site {now.site}"
        )
    for other in now.other_embedders:
        yield Finding(AREA, Severity.ERROR, other.problem, other.advice)
    ended = all(camera.state in ("ended", "paused") for camera in now.cameras)
    if now.clock and now.tick == first.tick and not ended:
        yield Finding(AREA, Severity.ERROR, f"the clock is stuck at tick {now.tick}", "see the log of the clock")
    elif now.clock and now.aggregator and now.workers:
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


def _not_ready(client: Client, keys: Keys) -> Iterator[Finding]:
    for service in read_services(client, keys):
        if service.problem is not None:
            name = f"the {service.role} on {service.host} (pid {service.pid})"
            yield warning(AREA, f"{name} is not ready: {service.problem}", "see its log")


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
    for camera, late_s in learned_offsets(client.get(keys.learned_layout)).items():
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
