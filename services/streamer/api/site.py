"""`/site`, `/problems`, `/services`, `/workers` and `/skew`: the state of the site as a whole."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.streamer.api.models import Model, Text, rounded
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from shared.lenient_reads import fields_at
from shared.lenient_values import decimal, whole
from shared.service_list import ServiceInfo
from shared.site_state.health_strip import LEVELS, PARTS, health_strip
from shared.site_state.health_strip import PartHealth as StripPart
from shared.site_state.problems import PROBLEM_CODES, SiteProblem
from shared.site_state.states import SiteState, WorkerState

_TAG = "site"


class Problem(Model):
    """Something that is wrong with the site as a whole."""

    code: Text = Field(json_schema_extra={"enum": list(PROBLEM_CODES)})
    about: Text = Field(
        description="id of the service or name of the host, if it is about one of several; otherwise empty"
    )
    text: Text = Field(description="what is wrong, and what follows from it; for people")
    advice: Text = Field(description="what to do; for people")
    seconds: float | None = Field(description="how long it has been so; null: unknown")


class PartHealth(Model):
    """How one part of the site is."""

    part: Text = Field(json_schema_extra={"enum": list(PARTS)})
    level: Text = Field(json_schema_extra={"enum": list(LEVELS)})
    value: Text = Field(description="a number or a word; for people")
    text: Text = Field(description="how it is; for people")
    advice: Text = Field(description="what to do; for people; empty: nothing")


class Problems(Model):
    """Everything that is wrong with the site as a whole."""

    well: bool = Field(description="whether there is no problem")
    problems: list[Problem] = Field(description="the most important first")
    notices: list[Text] = Field(description="what happened within the last day and is over; for people")


class Service(Model):
    """A process of the site."""

    id: Text
    role: Text = Field(description="clock, aggregator, camera-worker or streamer")
    host: Text
    pid: int | None
    ready: bool
    problem: Text | None = Field(description="why it was not ready at its last heartbeat")
    not_ready_s: float | None = Field(description="for how long it had not been ready; null: it was ready, or unknown")
    starting: bool = Field(description="whether it has not been ready yet since it started")
    uptime_s: float | None
    heartbeat_age_s: float
    metrics_url: Text | None = Field(
        description="null: it serves no metrics; a loopback address can be reached only from its own host"
    )


class Services(Model):
    """The processes of the site."""

    services: list[Service] = Field(description="those that sent a heartbeat within the last minute")


class Site(Model):
    """The site as a whole."""

    site: Text
    mode: Literal["live", "virtual"]
    tick: int
    gate: int = Field(description="the highest tick that a camera may start")
    skew_ticks: int = Field(description="fastest minus slowest camera")
    skipped_ticks: int = Field(description="ticks that cameras skipped to keep up")
    slowest: Text | None = Field(description="camera@tick")
    fastest: Text | None = Field(description="camera@tick")
    cameras: int
    cameras_live: int = Field(description="cameras with the state live and without a warning")
    live_tracks: int
    live_identities: int
    tick_age_s: float | None = Field(description="how long ago the current tick was published; null: unknown")
    cycle_lag_ticks: int | None = Field(
        description="ticks that all cameras have handled since the aggregator's last cycle; null: none has handled one"
    )
    boxes: int = Field(description="boxes that are shown now, of all cameras")
    boxes_without_gid: int = Field(description="of these, boxes without a global id")
    well: bool = Field(description="whether there is no problem")
    problems: list[Problem] = Field(description="the most important first")
    health: list[PartHealth] = Field(description="each part of the site, always in this order")
    notices: list[Text] = Field(description="what happened within the last day and is over; for people")
    services: list[Service] = Field(description="the processes that sent a heartbeat within the last minute")


class Worker(Model):
    """A live camera worker."""

    id: Text
    host: Text
    pid: int | None
    labels: list[Text]
    cameras: list[Text]
    fps: float | None = Field(description="ticks handled per second, of the slowest camera")
    device: Text
    backend: Text
    embedder: Text = Field(description="checksum of its embedder file")
    gpu: Text = Field(description="UUID and name of the GPU that it uses; empty: none")
    problem: Text | None = Field(description="why its networks run on the CPU, or why its tracks are never compared")
    advice: Text | None = Field(description="what to do about it")
    heartbeat_age_s: float


class Workers(Model):
    """The live camera workers."""

    workers: list[Worker]


class CameraLag(Model):
    """How far a camera is behind the clock."""

    camera: Text
    seen_tick: int | None = Field(description="last handled tick; null: the camera does not take part in the clock now")
    lag_ticks: int | None
    stalled: bool = Field(description="whether the others no longer wait for it")


class Skew(Model):
    """How far the cameras are apart."""

    tick: int
    gate: int = Field(description="the highest tick that a camera may start")
    skew_ticks: int = Field(description="fastest minus slowest camera")
    slowest: Text | None = Field(description="camera@tick")
    fastest: Text | None = Field(description="camera@tick")
    skipped_ticks: int = Field(description="ticks that cameras skipped to keep up")
    late_entries: int = Field(description="track entries that came more than association.max_late_ticks too late")
    cameras: list[CameraLag]


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operations."""

    @api.get("/site", "The site as a whole", Site, tag=_TAG)
    def _site() -> Site:
        return site_of(parts.site.current())

    @api.get("/problems", "What is wrong with the site", Problems, tag=_TAG)
    def _problems() -> Problems:
        state = parts.site.current()
        return Problems(well=not state.problems, problems=_problems_of(state), notices=list(state.notices))

    @api.get("/services", "All processes and whether they are ready", Services, tag=_TAG)
    def _services() -> Services:
        return Services(services=_services_of(parts.site.current()))

    @api.get("/workers", "The camera workers", Workers, tag=_TAG)
    def _workers() -> Workers:
        state = parts.site.current()
        others = {other.worker.id: (other.problem, other.advice) for other in state.other_embedders}
        return Workers(workers=[_worker_of(worker, others.get(worker.id)) for worker in state.workers])

    @api.get("/skew", "How far the cameras are apart", Skew, tag=_TAG)
    def _skew() -> Skew:
        state = parts.site.current()
        (late,) = fields_at(parts.client, parts.keys.skew, ["late"])
        return Skew(
            tick=state.tick,
            gate=state.gate or 0,
            skew_ticks=state.skew_ticks or 0,
            slowest=state.slowest,
            fastest=state.fastest,
            skipped_ticks=state.skipped_ticks,
            late_entries=whole(late) or 0,
            cameras=[
                CameraLag(
                    camera=camera.name,
                    seen_tick=camera.seen_tick,
                    lag_ticks=camera.lag_ticks,
                    stalled=camera.stalled,
                )
                for camera in state.cameras
            ],
        )


def site_of(state: SiteState) -> Site:
    """`/site`."""
    return Site(
        site=state.site,
        mode="virtual" if state.mode == "virtual" else "live",
        tick=state.tick,
        gate=state.gate or 0,
        skew_ticks=state.skew_ticks or 0,
        skipped_ticks=state.skipped_ticks,
        slowest=state.slowest,
        fastest=state.fastest,
        cameras=len(state.cameras),
        cameras_live=sum(camera.is_well for camera in state.cameras),
        live_tracks=sum(camera.live_tracks or 0 for camera in state.cameras),
        live_identities=state.live_identities,
        tick_age_s=rounded(state.health.tick_age_s),
        cycle_lag_ticks=state.health.cycle_lag_ticks,
        boxes=state.health.boxes.shown,
        boxes_without_gid=state.health.boxes.without_gid,
        well=not state.problems,
        problems=_problems_of(state),
        health=[part_of(part) for part in health_strip(state)],
        notices=list(state.notices),
        services=_services_of(state),
    )


def problem_of(problem: SiteProblem) -> Problem:
    """One problem."""
    return Problem(
        code=problem.code, about=problem.about, text=problem.text, advice=problem.advice, seconds=problem.seconds
    )


def part_of(part: StripPart) -> PartHealth:
    """How one part is."""
    return PartHealth(part=part.part, level=part.level, value=part.value, text=part.text, advice=part.advice)


def _problems_of(state: SiteState) -> list[Problem]:
    return [problem_of(problem) for problem in state.problems]


def _services_of(state: SiteState) -> list[Service]:
    return [_service_of(service) for service in state.health.services]


def _service_of(service: ServiceInfo) -> Service:
    return Service(
        id=service.id,
        role=service.role,
        host=service.host,
        pid=service.pid,
        ready=service.ready,
        problem=service.problem,
        not_ready_s=service.not_ready_seconds,
        starting=service.starting,
        uptime_s=rounded(service.uptime_seconds),
        heartbeat_age_s=service.heartbeat_age_seconds,
        metrics_url=service.metrics_url,
    )


def _worker_of(worker: WorkerState, other_embedder: tuple[str, str] | None) -> Worker:
    gpu_trouble = (worker.gpu_problem, worker.gpu_advice) if worker.gpu_problem else None
    problem, advice = other_embedder or gpu_trouble or (None, None)
    return Worker(
        id=worker.id,
        host=worker.host,
        pid=whole(worker.pid),
        labels=worker.labels.split(),
        cameras=worker.cameras.split(),
        fps=decimal(worker.fps),
        device=worker.device,
        backend=worker.backend,
        embedder=worker.embedder,
        gpu=worker.gpu,
        problem=problem,
        advice=advice,
        heartbeat_age_s=worker.heartbeat_age_seconds,
    )
