"""Runs a site's video files once through the real services, on a Redis of its own, and records the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evaluation.source_frames import file_rate
from launcher.address import RedisAddress
from launcher.programs import child_environment, site_programs
from launcher.publishing import publish
from launcher.redis_servers import REDIS, wait_for_redis
from launcher.state_folder import StateFolder
from launcher.supervision import Program, Supervisor
from recording.reading import Recording
from recording.recorder import Recorder
from shared.config import SiteConfig
from shared.errors import MtmcError
from shared.keys import Keys
from shared.progress import ReportProgress, ignore_progress
from shared.redis_connection import Client
from shared.redis_server import RedisServer, any_free_port, find_binary
from shared.site import read_site, restart_files
from vision.video.video_file import VideoFile

_LAST_LINES = 15
_LOOK_AROUND_S = 0.5
_LEASE_SECONDS = 60.0
"""There is no other worker to take a camera over, and on a busy machine a shorter lease would end its tracks."""
_TICK_TIMEOUT_S = 300.0
"""Longest time without a new tick; before the first one, engines may be built."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that came to its end."""

    recording: Recording
    seconds: float
    """By the wall clock, from the first process to the last tick."""


def runnable(site: SiteConfig, seconds: float | None, *, live: bool) -> SiteConfig:
    """The site with the settings of an evaluation: virtual time, or the wall clock if `live`.

    Raises:
        MtmcError: a camera is not a video file, or never ends.
    """
    streams = [camera.name for camera in site.cameras if not camera.is_file]
    if streams:
        raise MtmcError(f"camera {', '.join(streams)}: only recordings can be evaluated; give video files as sources")
    loops = [camera.name for camera in site.cameras if camera.loop and not camera.paused]
    if loops and seconds is None:
        raise MtmcError(f"camera {', '.join(loops)} loops and never ends; say how long with --seconds")
    if all(camera.paused for camera in site.cameras):
        raise MtmcError("every camera of the site is paused")
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
    """Runs a site that is `runnable` to its end.

    `folder` is empty: it gets the recording, and what the run itself needs. `seconds` of site time are run; None: until
    every video file has ended. `workers` None: one, or one for each GPU. `progress` counts ticks.

    Raises:
        MtmcError: a process or a recording cannot be used, or something hangs.
    """
    began = time.monotonic()
    state = StateFolder((folder / "run").resolve())
    state.prepare()
    server = RedisServer(find_binary(), state.redis, any_free_port(), persistent=False)
    server.write_settings()
    address = RedisAddress(server.url, embedded=True)
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
    """Records a run, and fails when the run does."""

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
        self._tick, self._moved_at, self._look_at = 0, time.monotonic(), 0.0
        self._claims: dict[str, bytes] = {}

    def until_the_end(self) -> None:
        """Raises MtmcError if the end will never come."""
        while (why := self._recorder.step()) is None:
            last_tick = self._last_wanted()
            if last_tick is not None and self._recorder.slowest_tick >= last_tick:
                why = "so many seconds were asked for"
                break
            self._look(time.monotonic())
        recorded = self._recorder.finish(why, self._last_wanted())
        if recorded.missing or recorded.undecodable:
            raise MtmcError("entries were lost before they were recorded; the machine is too busy for this site")
        if recorded.last_tick < recorded.first_tick:
            raise MtmcError(f"nothing was seen: {why}")

    def _last_wanted(self) -> int | None:
        if self._seconds is None:
            return None
        origin = int(self._client.get(self._keys.files_origin) or self._recorder.first_tick)
        return origin + max(1, round(self._seconds * self._fps)) - 1

    def _look(self, now: float) -> None:
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_AROUND_S
        newest = self._recorder.newest_tick
        if newest > self._tick:
            self._tick, self._moved_at = newest, now
            self._progress(min(newest, self._total), self._total)
        self._look_at_processes()
        for camera in self._recorder.cameras:
            state, error = self._client.hmget(self._keys.camera(camera), "state", "error")
            if state == b"down" and error:
                raise MtmcError(f"camera {camera}: {error.decode()}")
            claim = self._client.hget(self._keys.epochs, f"camera:{camera}")
            if claim is not None and self._claims.setdefault(camera, claim) != claim:
                raise MtmcError(f"camera {camera} lost its worker, and its tracks with it; is the machine too busy?")
        if now - self._moved_at > _TICK_TIMEOUT_S:
            raise MtmcError(f"no tick for {_TICK_TIMEOUT_S:.0f} s, at tick {self._tick}; something hangs")

    def _look_at_processes(self) -> None:
        """Raises MtmcError if one has ended. It is not restarted: without its memory this would be another run."""
        for name, info in self._supervisor.processes().items():
            if info.state in ("EXITED", "FATAL"):
                raise MtmcError(f"{name} ended; the end of its log:\n{self._end_of_log(name)}")

    def _end_of_log(self, name: str) -> str:
        log = self._state.log(name)
        words = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        return "\n".join(words.rstrip().splitlines()[-_LAST_LINES:])


def _total_ticks(site: SiteConfig, wanted_seconds: float | None) -> int:
    """Of the longest video file, or of `wanted_seconds`.

    Raises:
        MtmcError: a looped file would start over, which ground truth does not cover.
    """
    fps, longest = site.clock.target_fps, 0.0
    for camera in site.cameras:
        if camera.paused:
            continue
        video = VideoFile(Path(camera.source), camera.name, 1)
        seconds = video.claimed_count / file_rate(camera, video) / (camera.time_scale or 1.0)
        video.release()
        if camera.loop and wanted_seconds is not None and 0 < seconds < wanted_seconds - 1 / fps:
            raise MtmcError(
                f"camera {camera.name} loops after {seconds:g} s, and its truth does not; ask for fewer seconds"
            )
        longest = max(longest, seconds)
    return max(1, round((longest if wanted_seconds is None else wanted_seconds) * fps))
