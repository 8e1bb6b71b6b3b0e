"""Runs a site's video files once through the real services, on an embedded Redis, and records the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from launcher.address import embedded_address
from launcher.programs import child_environment, site_programs
from launcher.publishing import publish
from launcher.redis_servers import REDIS, wait_for_redis
from launcher.state_folder import StateFolder
from launcher.supervision import Program, Supervisor
from recording.reading import Recording
from recording.recorder import Recorder
from shared.config import SiteConfig
from shared.errors import MtmcError, SourceUnavailable
from shared.keys import Keys
from shared.progress import ReportProgress, ignore_progress
from shared.redis_connection import Client
from shared.redis_server import RedisServer, any_free_port, find_binary
from shared.site import read_site, restart_files
from vision.video.video_file import VideoFile

_LAST_LINES = 15
_CHECK_INTERVAL_S = 0.5
_LEASE_SECONDS = 60.0
"""Long, because a lease that expires on a busy machine would end the camera's tracks."""
_TICK_TIMEOUT_S = 300.0
"""Longest time without a new tick; before the first one, TensorRT engines may be built."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run."""

    recording: Recording
    seconds: float
    """Real time from the start of the first process to the last tick."""


def runnable(site: SiteConfig, seconds: float | None, *, live: bool) -> SiteConfig:
    """The site with the settings of an evaluation: virtual time, or real time if `live`.

    Raises:
        MtmcError: a source is not a video file, or loops without end; or there is no camera, or every one is paused.
    """
    streams = [camera.name for camera in site.cameras if not camera.is_file]
    if streams:
        raise MtmcError(f"camera {', '.join(streams)}: only video files can be evaluated; use files as sources")
    loops = [camera.name for camera in site.cameras if camera.loop and not camera.paused]
    if loops and seconds is None:
        raise MtmcError(f"camera {', '.join(loops)} loops and never ends; limit the run with --seconds")
    if not site.cameras:
        raise MtmcError("the site has no camera; add video files under cameras in the site file")
    if all(camera.paused for camera in site.cameras):
        raise MtmcError("every camera of the site is paused; delete 'paused: true' from the site file")
    clock = site.clock.model_copy(update={"mode": "live" if live else "virtual"})
    worker = site.worker.model_copy(update={"lease_seconds": _LEASE_SECONDS})
    return site.model_copy(update={"clock": clock, "worker": worker})


def run_site(
    site: SiteConfig,
    folder: Path,
    environment: Mapping[str, str],
    *,
    seconds: float | None = None,
    workers: int | None = None,
    progress: ReportProgress = ignore_progress,
) -> FinishedRun:
    """Runs a site, as returned by `runnable`, to its end.

    `folder` must be empty; the recording and the state of the run go there. `seconds`: site time to run; None: until
    every video file has ended. `workers`: number of camera workers; None: one, or one for each GPU. `progress` counts
    ticks.

    Raises:
        MtmcError: a process ended, a source failed, the site hangs, or the recording is incomplete.
    """
    began = time.monotonic()
    state = StateFolder((folder / "run").resolve())
    state.prepare()
    server = RedisServer(
        find_binary(), state.redis, any_free_port(), persistent=False, password=state.prepare_redis_password()
    )
    server.write_settings()
    address = embedded_address(server)
    services = [
        program
        for program in site_programs(site, any_free_port(), environment, workers=workers)
        if program.name != "streamer"
    ]
    redis = Program(REDIS, server.command, service=False)
    supervisor = Supervisor(state, [redis, *services], child_environment(address, environment))
    with supervisor.running():
        supervisor.start([REDIS])
        wait_for_redis(address, supervisor, state, threading.Event())
        with closing(address.open()) as client:
            publish(client, site)
            restart_files(client, Keys(site.site))
            published = read_site(client, site.site)
            assert published is not None
            recorder = Recorder(client, published, folder / "recording", from_start=True)
            try:
                supervisor.start([program.name for program in services])
                _Watch(site, seconds, client, supervisor, state, recorder, progress).until_the_end()
            finally:
                recorder.close()
    return FinishedRun(Recording.open(folder / "recording"), time.monotonic() - began)


class _Watch:
    """Records a run until it ends or fails."""

    def __init__(
        self,
        site: SiteConfig,
        seconds: float | None,
        client: Client,
        supervisor: Supervisor,
        state: StateFolder,
        recorder: Recorder,
        progress: ReportProgress,
    ) -> None:
        self._seconds, self._client, self._keys = seconds, client, Keys(site.site)
        self._supervisor, self._state, self._recorder, self._progress = supervisor, state, recorder, progress
        self._fps = site.clock.target_fps
        self._total = _total_ticks(site, seconds)
        self._tick, self._moved_at, self._check_at = 0, time.monotonic(), 0.0
        self._claims: dict[str, bytes] = {}

    def until_the_end(self) -> None:
        """Records until the last tick; raises MtmcError if the run fails or hangs."""
        while (why := self._recorder.step()) is None:
            last_tick = self._last_wanted()
            if last_tick is not None and self._recorder.slowest_tick >= last_tick:
                why = "the time limit was reached"
                break
            self._check(time.monotonic())
        recorded = self._recorder.finish(why, self._last_wanted())
        if recorded.missing or recorded.undecodable:
            raise MtmcError("entries were trimmed before they were recorded; run it on a machine that is less busy")
        if recorded.last_tick < recorded.first_tick:
            raise MtmcError(f"no tick was recorded: {why}")

    def _last_wanted(self) -> int | None:
        if self._seconds is None:
            return None
        origin = int(self._client.get(self._keys.files_origin) or self._recorder.first_tick)
        return origin + max(1, round(self._seconds * self._fps)) - 1

    def _check(self, now: float) -> None:
        if now < self._check_at:
            return
        self._check_at = now + _CHECK_INTERVAL_S
        newest = self._recorder.newest_tick
        if newest > self._tick:
            self._tick, self._moved_at = newest, now
            self._progress(min(newest, self._total), self._total)
        self._check_processes()
        for camera in self._recorder.cameras:
            state, error = self._client.hmget(self._keys.camera(camera), "state", "error")
            if state == b"down" and error:
                raise MtmcError(f"camera {camera}: {error.decode()}")
            claim = self._client.hget(self._keys.epochs, f"camera:{camera}")
            if claim is not None and self._claims.setdefault(camera, claim) != claim:
                raise MtmcError(
                    f"camera {camera} lost its worker and its tracks; run it on a machine that is less busy"
                )
        if now - self._moved_at > _TICK_TIMEOUT_S:
            raise MtmcError(
                f"no new tick for {_TICK_TIMEOUT_S:.0f} s after tick {self._tick}: a process hangs; see the logs in "
                f"{self._state.logs}"
            )

    def _check_processes(self) -> None:
        """Raises MtmcError if a process has ended. Restarting it would change the result, as its memory is lost."""
        for name, info in self._supervisor.processes().items():
            if info.state in ("EXITED", "FATAL"):
                raise MtmcError(f"{name} ended; the end of its log:\n{self._end_of_log(name)}")

    def _end_of_log(self, name: str) -> str:
        log = self._state.log(name)
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        return "\n".join(text.rstrip().splitlines()[-_LAST_LINES:])


def _total_ticks(site: SiteConfig, wanted_seconds: float | None) -> int:
    """The number of ticks of the longest video file, or of `wanted_seconds`.

    Raises:
        MtmcError: a looped file would restart within the run, which ground truth does not cover.
    """
    fps, longest = site.clock.target_fps, 0.0
    for camera in site.cameras:
        if camera.paused:
            continue
        try:
            video = VideoFile(Path(camera.source), camera.name, fps=camera.fps)
        except SourceUnavailable as error:
            raise SourceUnavailable(camera.name, camera.shown(error.reason)) from None
        seconds = (video.claimed_seconds or 0.0) / (camera.time_scale or 1.0)
        video.close()
        if camera.loop and wanted_seconds is not None and 0 < seconds < wanted_seconds - 1 / fps:
            raise MtmcError(
                f"camera {camera.name} restarts after {seconds:g} s, but its ground truth ends there; lower --seconds"
            )
        longest = max(longest, seconds)
    return max(1, round((longest if wanted_seconds is None else wanted_seconds) * fps))
