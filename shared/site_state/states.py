"""The states of a site and its cameras: their names, their limits, and the classes that readers get."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from shared.site_state.problems import OF_GIDS, SILENT_S, SiteHealth, SiteProblem

State = Literal[
    "live", "starting", "waiting", "stalled", "frozen", "blank", "moving", "moved", "down", "ended", "paused"
]
STATES: tuple[State, ...] = get_args(State)
"""What a camera is doing:

live      its pictures are being tracked and published
starting  a worker has it and is opening the source, or has not published a picture yet
waiting   no worker has it
stalled   its worker does not answer or handles no tick, or its newest picture is too old
frozen    its pictures have not changed for `freeze_seconds`
blank     its pictures are all of one colour, such as black
moving    as live, but the camera itself moves
moved     as live, but the camera was turned, so that its mask and calibration no longer fit
down      its worker cannot use the source; `error` says why; the worker retries
ended     its file was played to the end
paused    an operator paused it
"""

WORKER_GONE_MS = round(1000 * SILENT_S)
"""A worker whose last heartbeat is older counts as dead. Workers send one about every 400 ms."""

GIDS_WARNING = "its tracks get their global ids late or not at all"

_PICTURE_LATE_S = 2.0
"""Cameras without viewers publish one picture per second, so this leaves a second for encoding and a busy machine."""
_PICTURE_LATE_TICKS = 3
_TRACKS_STALE_S = 1.0
_TRACKS_STALE_TICKS = 2


def picture_limit_s(target_fps: float, fps: float | None = None) -> float:
    """The age in seconds above which the newest picture of a live camera is too old.

    `target_fps` is the rate of the clock, `fps` the rate at which the camera's worker handles ticks, if known: a slow
    worker gets more time.
    """
    return max(_PICTURE_LATE_S, _PICTURE_LATE_TICKS * _interval_s(target_fps, fps))


def tracks_limit_s(target_fps: float, fps: float | None = None) -> float:
    """The age in seconds above which the tracks of a picture are not shown; arguments as for `picture_limit_s`."""
    return max(_TRACKS_STALE_S, _TRACKS_STALE_TICKS * _interval_s(target_fps, fps))


def _interval_s(target_fps: float, fps: float | None) -> float:
    return 1 / (min(target_fps, fps) if fps else target_fps)


@dataclass(frozen=True)
class WorkerState:
    """A live worker; texts are as the worker wrote them, empty if it wrote none."""

    id: str
    host: str
    pid: str
    labels: str
    """Separated by spaces, as are `cameras`."""
    device: str
    backend: str
    embedder: str
    """Checksum of its embedder file."""
    cameras: str
    fps: str
    heartbeat_age_seconds: float
    gpu: str = ""
    """UUID and name of the GPU that it uses."""
    gpu_problem: str = ""
    """Why it runs networks on the CPU although its host has a GPU."""
    gpu_advice: str = ""
    """What to do about it."""


@dataclass(frozen=True)
class OtherEmbedder:
    """A worker whose embedder is another one than that of most workers, so that its tracks are never compared."""

    worker: WorkerState
    expected: str
    """Checksum of the embedder of most workers."""

    advice = "copy the same embedder file to every host, then restart this worker"

    @property
    def problem(self) -> str:
        """What is wrong, for people."""
        return (
            f"worker {self.worker.id} on {self.worker.host} has another embedder file than the other workers (checksum "
            f"{self.worker.embedder}, expected {self.expected}), so its tracks are never compared with theirs"
        )


@dataclass(frozen=True)
class CameraState:
    """One camera; None means unknown."""

    name: str
    state: State
    message: str
    """The state and its cause, as a phrase for people."""
    title: str | None = None
    """What people call it; None: its name."""
    stalled: bool = False
    """Whether the clock lists it as stalled, so that the other cameras do not wait for it, whatever `state` is."""
    owner: str | None = None
    """The worker that owns it, or owned it last."""
    error: str | None = None
    """The last error, without credentials."""
    fps: float | None = None
    """Ticks handled per second, as its worker measures."""
    width: int | None = None
    """Of the source, pixels."""
    height: int | None = None
    seen_tick: int | None = None
    """The last handled tick; None if the camera does not take part in the clock now."""
    lag_ticks: int | None = None
    """How far it is behind the clock."""
    live_tracks: int | None = None
    """Tracks in its last picture; 0 once that is stale."""
    gids: int = 0
    """Tracks that have a global id now."""
    picture_age_s: float | None = None
    class_names: tuple[str, ...] = ()
    warning: str | None = None
    """What is wrong although it shows pictures: a problem of the site that concerns it."""

    @property
    def shows_pictures(self) -> bool:
        """Whether its pictures are worth looking at."""
        return self.state in ("live", "moving", "moved")

    @property
    def is_well(self) -> bool:
        """Whether its pictures are tracked and published, and its tracks get global ids."""
        return self.state == "live" and self.warning is None


@dataclass(frozen=True)
class SiteState:
    """A whole site at one moment."""

    site: str
    mode: str
    """`live` or `virtual`."""
    target_fps: float
    revision: int
    tick: int
    gate: int | None
    skew_ticks: int | None
    skipped_ticks: int
    slowest: str | None
    """`camera@tick`."""
    fastest: str | None
    stalled: tuple[str, ...]
    """The cameras that the clock no longer waits for."""
    clock: bool
    """Whether a process holds the role; likewise `aggregator`."""
    aggregator: bool
    live_identities: int
    """Number of global ids of tracks that are in view or ended within `linger_seconds`."""
    workers: tuple[WorkerState, ...]
    """The live ones, sorted by id."""
    cameras: tuple[CameraState, ...]
    """In the order of the site file; those that were added later follow, sorted by name."""
    read_at: float
    """Monotonic time of this process, seconds."""
    health: SiteHealth = field(default_factory=SiteHealth)
    problems: tuple[SiteProblem, ...] = ()
    """What is wrong with the site as a whole, the most important first."""
    notices: tuple[str, ...] = ()
    """What happened within the last day and is over, as lines for people."""

    def with_problems(self, problems: tuple[SiteProblem, ...]) -> SiteState:
        """The same state with these problems, and with warnings about them at the cameras that they concern."""
        warning = GIDS_WARNING if any(problem.code in OF_GIDS for problem in problems) else None
        cameras = tuple(replace(camera, warning=warning if camera.shows_pictures else None) for camera in self.cameras)
        return replace(self, problems=problems, cameras=cameras)

    @property
    def running(self) -> bool:
        """Whether a clock or a worker is alive."""
        return self.clock or bool(self.workers)

    @property
    def other_embedders(self) -> list[OtherEmbedder]:
        """The workers whose embedder differs from that of most workers; of two halves, that of the first worker."""
        known = [worker for worker in self.workers if worker.embedder]
        counts = Counter(worker.embedder for worker in known)
        expected = max(counts, key=lambda checksum: counts[checksum], default="")
        return [OtherEmbedder(worker, expected) for worker in known if worker.embedder != expected]

    def camera(self, name: str) -> CameraState | None:
        """The camera of this name, if the site has it."""
        return next((camera for camera in self.cameras if camera.name == name), None)
