"""What is wrong with a site as a whole: its clock, its aggregator, its processes. Pure.

Judged on facts that are not true of a healthy site: what is not known counts as wrong, except while the site starts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from shared.service_list import ServiceInfo

ProblemCode = Literal[
    "no_clock",
    "clock_stopped",
    "no_aggregator",
    "aggregator_behind",
    "gids_missing",
    "no_worker",
    "service_silent",
    "service_not_ready",
    "gpu_unused",
    "redis_silent",
    "redis_refuses",
]
PROBLEM_CODES: tuple[ProblemCode, ...] = get_args(ProblemCode)
"""What can be wrong:

no_clock           no clock holds the role, so nothing advances
clock_stopped      a clock holds the role, but publishes no ticks
no_aggregator      no aggregator holds the role, so tracks get no global ids
aggregator_behind  an aggregator holds the role, but is behind the cameras
gids_missing       the aggregator keeps up, but most tracks that have been in view for a while have no global id
no_worker          no camera worker is running
service_silent     a process sends no heartbeat, although it did not stop in the usual way
service_not_ready  a process says that it cannot do its work
gpu_unused         workers run networks on the CPU although their host has a GPU that they may use
redis_silent       Redis does not answer
redis_refuses      Redis answers, but refuses writes, so nothing advances
"""

OF_GIDS: frozenset[ProblemCode] = frozenset({"no_aggregator", "aggregator_behind", "gids_missing"})
"""The problems that leave tracks without a global id."""

SILENT_S = 2.2
"""A process whose last heartbeat is older is silent. Processes send two per second. The page reads the state every
0.4 s, and has to say within 3 s what is wrong."""
_QUIET_S = 1.5
"""A process with an older heartbeat may have stopped."""
_NOT_READY_S = 2.0
"""A process may be not ready for this long. It waits for 3 s itself before it says that its loop hangs."""
_STARTING_S = 60.0
"""A process may start for this long: loading models takes time."""
STARTUP_S = 15.0
"""A site is starting until its oldest process is this old."""
_TICK_LATE_S, _TICK_LATE_TICKS = 2.0, 2
"""A takeover of the clock takes 2 s, the time after which its lease expires."""
_BEHIND_S = 2.0
"""The lease of an aggregator that hangs expires within this time, so that each fault is one problem."""
_MISSING_SHARE = 0.5
"""One track that cannot be embedded must not raise an alarm in a busy site."""


@dataclass(frozen=True)
class SiteProblem:
    """One thing that is wrong with a site."""

    code: ProblemCode
    about: str
    """Id of the process or name of the host, if it is about one of several; otherwise empty. Unique together with
    `code`."""
    text: str
    """What is wrong, where, and what follows from it; for people."""
    advice: str
    """What to do."""
    seconds: float | None = None
    """How long it has been so; None: unknown."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same problem in two readings."""
        return self.code, self.about

    @property
    def line(self) -> str:
        """All of it as one line."""
        lasted = "" if self.seconds is None else f" (for {self.seconds:.0f} s)"
        return f"{self.text}{lasted}: {self.advice}"


@dataclass(frozen=True)
class Boxes:
    """The boxes that are shown now, of all cameras."""

    shown: int = 0
    without_gid: int = 0
    due: int = 0
    """Boxes of tracks that have been in view long enough to need a global id."""
    overdue: int = 0
    """Of these, boxes without one."""

    @property
    def share_without_gid(self) -> float | None:
        """Share of the boxes that have no global id, 0 to 1; None if no box is shown."""
        return self.without_gid / self.shown if self.shown else None


@dataclass(frozen=True)
class UnusedGpu:
    """A host with a GPU whose workers run networks on the CPU."""

    host: str
    workers: int
    """How many of them."""
    reason: str
    advice: str


@dataclass(frozen=True)
class SiteHealth:
    """The facts about clock, aggregator and processes that `site_problems` judges."""

    clock: bool = False
    """Whether a process holds the role; likewise `aggregator`."""
    aggregator: bool = False
    tick_age_s: float | None = None
    """How long ago the current tick was published; None: unknown."""
    tick_is_due: bool = True
    """Whether the clock can publish the next tick: always in live mode; in virtual mode, once cameras and aggregator
    are done with this one."""
    cycle_lag_ticks: int | None = None
    """Ticks that all cameras have handled since the aggregator's last cycle; None: no camera has handled one."""
    idle_s: float | None = None
    """How long ago a camera last handled a tick; None: none has."""
    boxes: Boxes = Boxes()
    workers: int = 0
    """Number of live workers."""
    cameras_wanted: bool = True
    """Whether there is a camera that is neither paused nor at the end of its file."""
    services: tuple[ServiceInfo, ...] = ()
    unused_gpus: tuple[UnusedGpu, ...] = ()
    refusal: str = ""
    """Why Redis refuses writes, and after a semicolon what to do; empty: it accepts them."""


def ticks_have_stopped(tick_age_s: float | None, *, live: bool, target_fps: float) -> bool:
    """Whether it is known that a clock in live mode publishes no ticks; in virtual mode, one may take any time."""
    return live and tick_age_s is not None and tick_age_s > _tick_limit_s(target_fps)


def site_problems(health: SiteHealth, *, site: str, live: bool, target_fps: float) -> tuple[SiteProblem, ...]:
    """What is wrong, the most important first; a problem that follows from another one is left out."""
    if health.refusal:
        return (_redis_refuses(health.refusal),)
    services = _without_leftovers(health.services)
    starting = _starting_roles(services) if _is_young(health.services) else set()
    problems = [
        *_clock(health, services, site, live=live, target_fps=target_fps, starting="clock" in starting),
        *_aggregator(health, services, site, live=live, target_fps=target_fps, starting="aggregator" in starting),
        *_workers(health, services, site, starting="camera-worker" in starting),
    ]
    codes = {problem.code for problem in problems}
    explained = {"clock"} if codes & {"no_clock", "clock_stopped"} else set()
    if codes & {"no_aggregator", "aggregator_behind"}:
        explained.add("aggregator")
    if "no_worker" in codes:
        explained.add("camera-worker")
    judged = [service for service in services if service.role not in explained]
    return (*problems, *_processes(judged, services), *map(_unused_gpu, health.unused_gpus))


def redis_silent(reason: str = "") -> SiteProblem:
    """The problem of a reader whose Redis does not answer."""
    why = f" ({reason})" if reason else ""
    return SiteProblem(
        "redis_silent",
        "",
        f"Redis does not answer{why}, so the state of the site is unknown",
        "start Redis, or check the network to it; everything continues once it is back",
    )


def _redis_refuses(refusal: str) -> SiteProblem:
    why, _, advice = refusal.partition("; ")
    return SiteProblem("redis_refuses", "", f"Redis refuses writes, so the site waits: {why}", advice)


# -- the roles -------------------------------------------------------------------------------------------------


def _clock(
    health: SiteHealth, services: Sequence[ServiceInfo], site: str, *, live: bool, target_fps: float, starting: bool
) -> Iterable[SiteProblem]:
    if not health.clock:
        if not starting:
            text = f"{_nobody('clock', services)}, so no picture is handled"
            yield SiteProblem("no_clock", "", text, _restart("clock", services, site), health.tick_age_s)
    elif health.tick_is_due:
        limit_s, waited_s = _tick_limit_s(target_fps), health.tick_age_s
        if not live and waited_s is not None and health.idle_s is not None:
            limit_s, waited_s = _BEHIND_S, min(waited_s, health.idle_s)
        if waited_s is None or waited_s > limit_s:
            text = "the clock publishes no ticks although it is running, so no picture is handled"
            advice = f"restart {_names('clock', services) or 'the clock'}; its log says more"
            yield SiteProblem("clock_stopped", "", text, advice, waited_s)


def _aggregator(
    health: SiteHealth, services: Sequence[ServiceInfo], site: str, *, live: bool, target_fps: float, starting: bool
) -> Iterable[SiteProblem]:
    lag_ticks, boxes = health.cycle_lag_ticks or 0, health.boxes
    lag_s = lag_ticks / target_fps if live else (health.idle_s or 0.0) * (lag_ticks > 0)
    if starting:
        return
    name = _names("aggregator", services) or "the aggregator"
    if not health.aggregator:
        text = f"{_nobody('aggregator', services)}, so new tracks get no global ids"
        yield SiteProblem(
            "no_aggregator", "", text, _restart("aggregator", services, site), lag_s if lag_s >= 1 else None
        )
    elif lag_s > _BEHIND_S and (lag_ticks > 1 or not live):
        text = "the aggregator is behind the cameras, so new tracks get their global ids late or not at all"
        advice = f"if this does not end soon, restart {name}; if it comes back, give its host more CPU"
        yield SiteProblem("aggregator_behind", "", text, advice, lag_s)
    elif live and boxes.due and boxes.overdue > _MISSING_SHARE * boxes.due:
        text = "most tracks have no global id, although the aggregator keeps up with the cameras"
        yield SiteProblem("gids_missing", "", text, f"see the log of {name}, and restart it")


def _workers(
    health: SiteHealth, services: Sequence[ServiceInfo], site: str, *, starting: bool
) -> Iterable[SiteProblem]:
    role = "camera-worker"
    loading = any(one.role == role and one.starting and not _is_silent(one) for one in services)
    if health.workers or loading or starting or not health.cameras_wanted:
        return
    text = f"{_nobody('camera worker', services, role)}, so no camera is handled"
    yield SiteProblem("no_worker", "", text, _restart(role, services, site))


def _tick_limit_s(target_fps: float) -> float:
    return max(_TICK_LATE_S, _TICK_LATE_TICKS / target_fps + 0.5)


def _nobody(what: str, services: Sequence[ServiceInfo], role: str | None = None) -> str:
    listed = [one for one in services if one.role == (role or what)]
    if not listed:
        return f"no {what} is running"
    return f"no {what} does its work: {', '.join(f'{one.name} {_trouble(one)}' for one in listed)}"


def _trouble(service: ServiceInfo) -> str:
    if service.heartbeat_age_seconds > _QUIET_S:
        return "does not answer"
    return f"is not ready ({service.problem})" if service.problem else "has not taken over yet"


def _restart(role: str, services: Sequence[ServiceInfo], site: str) -> str:
    start = f"start one: mtmc run {role} --site {site}"
    names = _names(role, services)
    return f"restart {names}, or {start}" if names else start


def _names(role: str, services: Iterable[ServiceInfo]) -> str:
    return " and ".join(one.name for one in services if one.role == role)


def _unused_gpu(found: UnusedGpu) -> SiteProblem:
    who, run, them = "a camera worker", "runs its", "worker"
    if found.workers > 1:
        who, run, them = f"{found.workers} camera workers", "run their", "workers"
    text = f"{who} on {found.host} {run} networks on the CPU although there is an NVIDIA GPU: {found.reason}"
    advice = f"{found.advice}, and restart the {them}; or set detector.backend and embedder.backend to cpu"
    return SiteProblem("gpu_unused", found.host, text, advice)


# -- the processes ---------------------------------------------------------------------------------------------


def _processes(judged: Sequence[ServiceInfo], services: Sequence[ServiceInfo]) -> Iterable[SiteProblem]:
    replaced = _replaced(services)
    for one in judged:
        if _is_silent(one):
            if one.id not in replaced:
                text = f"{one.name} sends no heartbeat: it hangs, was killed, or cannot reach Redis"
                advice = "restart it; its log says more"
                yield SiteProblem("service_silent", one.id, text, advice, one.heartbeat_age_seconds)
        elif one.problem is not None:
            limit_s = _STARTING_S if one.starting else _NOT_READY_S
            # Not known: a process of another version, or one that writes nonsense.
            if one.not_ready_seconds is None or one.not_ready_seconds >= limit_s:
                text = f"{one.name} is not ready: {one.problem}"
                advice = "see its log; if this does not end soon, restart it"
                yield SiteProblem("service_not_ready", one.id, text, advice, one.not_ready_seconds)


def _is_silent(service: ServiceInfo) -> bool:
    return service.heartbeat_age_seconds > SILENT_S


def _replaced(services: Iterable[ServiceInfo]) -> set[str]:
    """The silent processes in whose place another one has started since: a supervisor restarted them."""
    replaced = set()
    services = list(services)
    newcomers = [one for one in services if not _is_silent(one) and one.uptime_seconds is not None]
    for gone in sorted(filter(_is_silent, services), key=lambda one: -one.heartbeat_age_seconds):
        for new in newcomers:
            if new.role == gone.role and (new.uptime_seconds or 0.0) <= gone.heartbeat_age_seconds:
                replaced.add(gone.id)
                newcomers.remove(new)
                break
    return replaced


def _is_young(services: Iterable[ServiceInfo]) -> bool:
    """Whether the whole site has just started: each process that sends heartbeats is new."""
    uptimes = [one.uptime_seconds for one in services if not _is_silent(one)]
    return bool(uptimes) and all(uptime is not None and uptime < STARTUP_S for uptime in uptimes)


def _without_leftovers(services: tuple[ServiceInfo, ...]) -> tuple[ServiceInfo, ...]:
    """The processes; of a site that has just started, only those of this start."""
    if not _is_young(services):
        return services
    return tuple(one for one in services if one.uptime_seconds is not None and one.uptime_seconds < STARTUP_S)


def _starting_roles(services: Iterable[ServiceInfo]) -> set[str]:
    """The roles of a young site whose first process has yet to appear or to become ready; one that went silent died."""
    known = {one.role for one in services}
    been_ready = {one.role for one in services if not one.starting}
    alive = {one.role for one in services if not _is_silent(one)}
    return {"clock", "aggregator", "camera-worker"} - been_ready - (known - alive)


# -- over time -------------------------------------------------------------------------------------------------

_AFTER_S = 0.35
"""A role changes hands within this time when its owner stops in the usual way."""
_AFTER_S_OF: Mapping[ProblemCode, float] = {
    "gids_missing": 5.5,  # a track that goes on with another object waits for a gid again, up to 5 s
    "no_worker": 0.0,  # found after 2 s without a heartbeat
    "service_silent": 0.0,
}
_UNTIL_S = 1.0
"""A problem is over when it has been absent for this long."""
_GAP_S = 2.0
"""After a longer pause between two readings, the history is worth nothing, and the reading counts as it is."""
_RECOVERY_S = 2.5
"""After Redis did not answer, processes retry within 0.5 s and send a heartbeat within another second."""


class ProblemWatch:
    """Decides over several readings which problems to report, so that none comes and goes with every reading."""

    def __init__(self) -> None:
        self._begun_s: dict[tuple[str, str], float] = {}
        self._reported: dict[tuple[str, str], tuple[SiteProblem, float]] = {}
        """Problem, and when it was last found."""
        self._read_at_s: float | None = None
        self._interrupted, self._quiet_until_s = False, 0.0
        self._is_refused = False

    def interrupted(self) -> None:
        """Records that Redis did not answer: afterwards, each process needs a moment to send a heartbeat again."""
        self._interrupted = True

    def _note_refusal(self, found: Collection[SiteProblem]) -> None:
        """The same after Redis refused writes."""
        was_refused, self._is_refused = self._is_refused, any(one.code == "redis_refuses" for one in found)
        if was_refused and not self._is_refused:
            self.interrupted()

    def settled(self, found: Collection[SiteProblem], at_s: float) -> tuple[SiteProblem, ...]:
        """The problems to report at the monotonic time `at_s`, given those that a reading `found`."""
        trusted = True
        self._note_refusal(found)
        if self._interrupted:
            self._interrupted, self._quiet_until_s = False, at_s + _RECOVERY_S
            self._reported.clear()
            self._begun_s.clear()
        elif self._read_at_s is None or at_s - self._read_at_s > _GAP_S:
            self._reported.clear()
            self._begun_s.clear()
            trusted = False
        self._read_at_s = at_s
        if at_s < self._quiet_until_s:
            return ()
        self._begun_s = {problem.key: self._begun_s.get(problem.key, at_s) for problem in found}
        for problem in found:
            after_s = _AFTER_S_OF.get(problem.code, _AFTER_S)
            is_due = not trusted or at_s - self._begun_s[problem.key] >= after_s
            if is_due or problem.key in self._reported:
                self._reported[problem.key] = problem, at_s
        self._reported = {
            key: (problem, last_s) for key, (problem, last_s) in self._reported.items() if at_s - last_s < _UNTIL_S
        }
        # As in the reading; those that may be over follow.
        keys = {problem.key: index for index, problem in enumerate(found)}
        reported = sorted(self._reported.values(), key=lambda pair: keys.get(pair[0].key, len(keys)))
        return tuple(problem for problem, _ in reported)
