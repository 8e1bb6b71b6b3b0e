"""Checks the cameras of a site: opens every source, in parallel, and waits for a picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shared.config import CameraConfig
from shared.errors import SourceUnavailable
from shared.site_state.states import CameraState
from site_checks.finding import Finding, Severity, error, ok, warning
from vision.video.address import display_name, is_local, local_problem
from vision.video.opening import open_source
from vision.video.source import SourceState
from vision.video.video_file import VideoFile, plausible_fps

AREA = "sources"
_AT_ONCE = 16
_OPEN_S, _READ_S = 5.0, 5.0
_ANSWER_S = _OPEN_S + _READ_S + 2
_LIVE = ("live", "ended")


def examine_sources(
    cameras: tuple[CameraConfig, ...], target_fps: float, running: Mapping[str, CameraState]
) -> Iterator[Finding]:
    """One finding per camera, in their order. Sources that a running site is reading are not opened again."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="source") as pool:
        yield from pool.map(lambda camera: _examine(camera, target_fps, running.get(camera.name)), cameras)


def _examine(camera: CameraConfig, target_fps: float, state: CameraState | None) -> Finding:
    name = f"{camera.name}: {display_name(camera.source)}"
    if camera.paused:
        return ok(AREA, f"{name} is paused and was not opened")
    if state is not None and state.owner and state.state in _LIVE:
        return ok(AREA, f"{name} is {state.state} on worker {state.owner}")
    if is_local(camera.source) and (problem := local_problem(camera.source)):
        return _missing_here(camera, problem)
    if camera.is_file:
        return _video_file(camera, name, target_fps)
    return _stream(camera, name)


def _missing_here(camera: CameraConfig, problem: str) -> Finding:
    found = error(AREA, f"{camera.name}: {problem}")
    if not camera.labels:
        return found
    labels = ", ".join(camera.labels)
    return Finding(AREA, Severity.OK, f"{found.what}; the hosts of workers labelled {labels} must have it")


def _video_file(camera: CameraConfig, name: str, target_fps: float) -> Finding:
    try:
        video = VideoFile(Path(camera.source), camera.name, decoder_threads=1)
    except SourceUnavailable as problem:
        return error(AREA, f"{camera.name}: {problem.reason}")
    try:
        picture = video.retrieve() if video.grab() else None
        fps = camera.fps or video.container_fps
    finally:
        video.release()
    if picture is None:
        return error(AREA, f"{name} has no picture that can be decoded; convert it, or copy it again")
    size = f"{picture.shape[1]}×{picture.shape[0]}"
    if not plausible_fps(fps):
        return warning(AREA, f"{name}, {size}, does not state its frame rate", "set 'fps' of the camera")
    if fps * (camera.time_scale or 1) < target_fps / 2:
        return warning(
            AREA,
            f"{name}, {size} at {fps:g} fps: less than half of the clock's {target_fps:g} ticks/s",
            f"lower clock.target_fps to about {fps:g}",
        )
    length = f", {video.claimed_count / fps:.0f} s" if video.claimed_count else ""
    return ok(AREA, f"{name}, {size} at {fps:g} fps{length}")


def _stream(camera: CameraConfig, name: str) -> Finding:
    began = time.monotonic()
    source = open_source(
        camera.source,
        camera=camera.name,
        site_time_ns=time.time_ns,
        open_timeout_s=_OPEN_S,
        read_timeout_s=_READ_S,
    )
    try:
        source.answered.wait(_ANSWER_S)
        frame = source.frame_at(0.0, 1.0) if source.state is SourceState.LIVE else None
        if frame is None:
            reason = source.error or f"{name} sent no picture within {_ANSWER_S:.0f} s; check the camera"
            return error(AREA, f"{camera.name}: {reason}")
        height, width = frame.image.shape[:2]
        return ok(AREA, f"{name}, {width}×{height}, first picture after {time.monotonic() - began:.1f} s")
    finally:
        source.close()
