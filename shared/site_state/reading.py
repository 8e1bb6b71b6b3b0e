"""Reads the state of a site from Redis in three or four round trips, however many cameras it has."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.camera_settings import camera_names
from shared.lenient_values import decimal, text_fields, whole
from shared.redis_connection import RETRYABLE, Client
from shared.scripts import Scripts
from shared.service_list import ServiceInfo, listed_services
from shared.site import PublishedSite
from shared.site_state.box_counts import BoxCounts
from shared.site_state.facts import CameraFacts
from shared.site_state.judging import judged
from shared.site_state.notices import notices
from shared.site_state.problems import Boxes, SiteHealth, UnusedGpu, site_problems, ticks_have_stopped
from shared.site_state.shown_tracks import ShownTracks, entries_needed, shown_tracks, tick_entries
from shared.site_state.site_facts import SiteFacts, execute, read_site_facts
from shared.site_state.states import CameraState, SiteState, WorkerState, tracks_limit_s
from shared.site_state.tick_age import TickAge


class StateReader:
    """Reads the state of one site. A malformed field or key affects nothing but itself.

    Keep it for several readings: the age of the tick is then known whatever happens to the clock of the Redis host.
    """

    def __init__(self, client: Client, frames: Client, site: PublishedSite) -> None:
        """`frames` is the client of the Redis that holds the pictures; it may be `client`."""
        self._client, self._frames, self._keys = client, frames, site.keys
        self._scripts, self._frames_scripts = Scripts(client), Scripts(frames)
        self._revision, self._config = site.revision, site.config
        self._is_live = site.config.clock.mode == "live"
        self._target_fps = site.config.clock.target_fps
        self._tick_age = TickAge()
        self._boxes = BoxCounts(client, site.keys, site.config)
        self._settings = {
            camera.name.encode(): camera.model_dump_json(by_alias=True).encode() for camera in site.config.cameras
        }

    def read(self) -> SiteState:
        """The site as it is now.

        Raises:
            RedisError: Redis is unreachable or refuses. While the Redis of the pictures is unreachable, no camera is
                reported as live.
        """
        read_at = time.monotonic()
        site = read_site_facts(self._client, self._keys)
        # If Redis lost its data, the cameras of the published site are still shown.
        settings = site.settings or self._settings
        names = self._ordered(camera_names(settings))
        workers = sorted(site.heartbeat_ages_ms)
        with self._client.pipeline(transaction=False) as pipe:
            for worker in workers:
                pipe.hgetall(self._keys.worker(worker))
            for name in names:
                pipe.hgetall(self._keys.camera(name))
                pipe.hvals(self._keys.gids(name))
                pipe.hget(self._keys.epochs, f"camera:{name}")
            for service in site.service_ages_s:
                pipe.hgetall(self._keys.service(service))
            self._run_newest_tracks(names, pipe)
            *answers, (now_ms, *entries) = execute(pipe)
        of_cameras = answers[len(workers) : len(workers) + 3 * len(names)]
        services = listed_services(site.service_ages_s, answers[len(workers) + 3 * len(names) :], site.now_ms)
        written, gids = [text_fields(answer) for answer in of_cameras[::3]], [ids or () for ids in of_cameras[1::3]]
        claimed_ms = [site.claimed_ms(epoch) for epoch in of_cameras[2::3]] if self._is_live else [None] * len(names)
        shown = [
            self._shown(newest, decimal(fields.get("fps")), now_ms)
            for newest, fields in zip(entries, written, strict=True)
        ]
        tick_age_s = None
        if site.tick or site.tick_stored_ms is not None:
            tick_age_s = self._tick_age.observe(site.tick, site.tick_stored_ms, site.now_ms, read_at)
        stopped = ticks_have_stopped(tick_age_s, live=self._is_live, target_fps=self._target_fps)
        fps = [decimal(fields.get("fps")) for fields in written]
        boxes = self._boxes.read(names, shown, fps, read_at) if self._is_live else Boxes()
        pictures_now_ms, pictures_ms = self._newest_pictures(names)
        cameras = tuple(
            judged(
                self._facts(
                    name,
                    settings.get(name.encode(), b""),
                    written[i],
                    shown[i],
                    len(gids[i]),
                    claimed_ms[i],
                    pictures_ms[i],
                    site,
                ),
                tick=site.tick,
                target_fps=self._target_fps,
                pictures_now_ms=pictures_now_ms,
                ticks_stopped=stopped,
            )
            for i, name in enumerate(names)
        )
        states = tuple(
            _worker(worker, text_fields(fields), site.heartbeat_ages_ms[worker])
            for worker, fields in zip(workers, answers, strict=False)
        )
        health = self._health(site, written, entries, cameras, tick_age_s, boxes, services)
        health = replace(health, unused_gpus=_unused_gpus(states))
        state = SiteState(
            site=self._keys.site,
            mode=self._config.clock.mode,
            target_fps=self._target_fps,
            revision=self._revision,
            tick=site.tick,
            gate=whole(site.skew.get("gate")),
            skew_ticks=whole(site.skew.get("skew")),
            skipped_ticks=whole(site.skew.get("skipped")) or 0,
            slowest=site.skew.get("slowest") or None,
            fastest=site.skew.get("fastest") or None,
            stalled=site.stalled,
            clock=site.clock,
            aggregator=site.aggregator,
            live_identities=len({gid for ids in gids for gid in ids}),
            workers=states,
            cameras=cameras,
            read_at=read_at,
            health=health,
            notices=notices(site.restored, site.skew, site.now_ms),
        )
        return state.with_problems(
            site_problems(health, site=self._keys.site, live=self._is_live, target_fps=self._target_fps)
        )

    def tracks(self, cameras: Sequence[CameraState]) -> list[ShownTracks | None]:
        """Which tracks of each camera to show now, in one round trip; None if the camera has handled no tick.

        Raises:
            RedisError: Redis is unreachable or refuses.
        """
        now_ms, *entries = self._run_newest_tracks([camera.name for camera in cameras])
        return [self._shown(newest, camera.fps, now_ms) for newest, camera in zip(entries, cameras, strict=True)]

    def _health(
        self,
        site: SiteFacts,
        written: Sequence[Mapping[str, str]],
        entries: Sequence[Any],
        cameras: Sequence[CameraState],
        tick_age_s: float | None,
        boxes: Boxes,
        services: tuple[ServiceInfo, ...],
    ) -> SiteHealth:
        handled = min(site.seen.values(), default=site.tick)
        ticks = [tick for fields in written if (tick := whole(fields.get("tick"))) is not None]
        written_ms = [int(newest[0][0].partition(b"-")[0]) for newest in entries if newest]
        wanted = [camera.name for camera in cameras if camera.state not in ("ended", "paused")]
        waits_for_camera = not site.seen or any(name not in site.seen for name in wanted)
        return SiteHealth(
            clock=site.clock,
            aggregator=site.aggregator,
            tick_age_s=tick_age_s,
            tick_is_due=self._is_live or (not waits_for_camera and min(handled, site.cycle_tick) >= site.tick),
            # A camera may be ahead of the others: the aggregator waits until all have handled a tick.
            cycle_lag_ticks=max(0, min(handled, site.tick, max(ticks)) - site.cycle_tick) if ticks else None,
            idle_s=max(0, site.now_ms - max(written_ms)) / 1000 if written_ms else None,
            boxes=boxes,
            workers=len(site.heartbeat_ages_ms),
            cameras_wanted=bool(wanted),
            services=services,
            refusal=site.refusal,
        )

    def _facts(
        self,
        name: str,
        settings: bytes,
        written: Mapping[str, str],
        shown: ShownTracks | None,
        gids: int,
        claimed_ms: int | None,
        picture_ms: int | None,
        site: SiteFacts,
    ) -> CameraFacts:
        owner = written.get("owner", "")
        return CameraFacts(
            name,
            settings,
            written,
            owner_gone=bool(owner) and owner not in site.heartbeat_ages_ms,
            stalled=name in site.stalled,
            seen_tick=site.seen.get(name),
            live_tracks=None if shown is None else shown.count,
            gids=gids,
            claimed_ms=claimed_ms,
            picture_ms=picture_ms,
        )

    def _run_newest_tracks(self, names: Sequence[str], pipe: Any = None) -> Any:
        keys = [self._keys.tracks(name) for name in names]
        return self._scripts.run("newest_tracks", keys, [entries_needed(self._target_fps)], pipe)

    def _shown(self, newest: Any, fps: float | None, now_ms: int) -> ShownTracks | None:
        limit_s = tracks_limit_s(self._target_fps, fps)
        return shown_tracks(tick_entries(newest), limit_s=limit_s, now_ms=now_ms if self._is_live else None)

    def _newest_pictures(self, names: Sequence[str]) -> tuple[int | None, list[int | None]]:
        """Time of the pictures' Redis, ms, None if unreachable; and when each camera's newest picture was published."""
        try:
            now_ms, *ids = self._frames_scripts.run("newest_pictures", [self._keys.frames(name) for name in names], [])
        except RETRYABLE:
            if self._frames is self._client:
                raise
            return None, [None] * len(names)
        return now_ms, [whole(entry_id.partition(b"-")[0]) for entry_id in ids]

    def _ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        there = set(names)
        first = [name for name in self._config.camera_names if name in there]
        return (*first, *sorted(there.difference(first)))


def _unused_gpus(workers: Sequence[WorkerState]) -> tuple[UnusedGpu, ...]:
    """What the first worker of each host says."""
    hosts: dict[str, list[WorkerState]] = {}
    for worker in workers:
        if worker.gpu_problem:
            hosts.setdefault(worker.host, []).append(worker)
    return tuple(UnusedGpu(host, len(them), them[0].gpu_problem, them[0].gpu_advice) for host, them in hosts.items())


def _worker(worker: str, fields: Mapping[str, str], heartbeat_age_ms: int) -> WorkerState:
    names = ("host", "pid", "labels", "device", "backend", "embedder", "cameras", "fps")
    texts = {name: fields.get(name, "") for name in (*names, "gpu", "gpu_problem", "gpu_advice")}
    return WorkerState(id=worker, **texts, heartbeat_age_seconds=heartbeat_age_ms / 1000)
