"""Checks the cameras of a site: opens every source, in parallel, and watches the streams for a few seconds."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from shared.camera_config import CameraConfig
from shared.errors import SourceUnavailable
from shared.site_state.states import CameraState
from site_checks.finding import Finding, Severity, error, ok, warning
from vision.video.address import display_name, is_local, local_problem
from vision.video.file_facts import FileFacts, read_facts
from vision.video.opening import open_source
from vision.video.options import SourceOptions
from vision.video.picture_health import FaultKind
from vision.video.source import Source, SourceState

AREA = "sources"
_AT_ONCE = 16
_SETTLE_S, _WATCH_S = 1.0, 3.0
"""How long a stream may send what it has kept back, and how long it is watched after that."""
_LIVE = ("live", "ended")


Keep: TypeAlias = Callable[[str, npt.NDArray[np.uint8]], None]
"""Takes the name of a camera and a picture, which must not be changed."""


def examine_sources(
    cameras: tuple[CameraConfig, ...], target_fps: float, running: Mapping[str, CameraState], keep: Keep
) -> Iterator[Finding]:
    """One finding per camera, in their order. Sources that a running site is reading are not opened again.

    The pictures of streams that are watched go to `keep`.
    """
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="source") as pool:
        yield from pool.map(
            lambda camera: _safely_examined(camera, target_fps, running.get(camera.name), keep), cameras
        )


def _safely_examined(camera: CameraConfig, target_fps: float, state: CameraState | None, keep: Keep) -> Finding:
    try:
        found = _examine(camera, target_fps, state, keep)
        do = None if found.do is None else camera.shown(found.do)
        return replace(found, what=camera.shown(found.what), do=do)
    except Exception as problem:  # noqa: BLE001 (one odd source must not end the examination)
        return error(AREA, f"{camera.name} could not be examined ({type(problem).__name__}); report this as a bug")


def _examine(camera: CameraConfig, target_fps: float, state: CameraState | None, keep: Keep) -> Finding:
    name = f"{camera.name}: {display_name(camera.source)}"
    if camera.paused:
        return ok(AREA, f"{name} is paused and was not opened")
    if state is not None and state.owner and state.state in _LIVE:
        return ok(AREA, f"{name} is {state.state} on worker {state.owner}")
    if is_local(camera.source) and (problem := local_problem(camera.source)):
        return _missing_here(camera, problem)
    if camera.is_file:
        return _video_file(camera, name, target_fps)
    return _stream(camera, name, target_fps, keep)


def _missing_here(camera: CameraConfig, problem: str) -> Finding:
    found = error(AREA, f"{camera.name}: {problem}")
    if not camera.labels:
        return found
    labels = ", ".join(camera.labels)
    return Finding(AREA, Severity.OK, f"{found.what}; the hosts of workers labelled {labels} must have it")


def _video_file(camera: CameraConfig, name: str, target_fps: float) -> Finding:
    try:
        facts = read_facts(Path(camera.source), camera.name, camera.fps)
    except SourceUnavailable as problem:
        return error(AREA, f"{camera.name}: {problem.reason}")
    what = f"{name}, {_described(facts)}"
    if not facts.has_time_stamps and camera.fps is None:
        return warning(
            AREA, f"{what}, has no time stamps", "set 'fps' of the camera to the rate of the recording camera"
        )
    if facts.fps * (camera.time_scale or 1) < target_fps / 2:
        return warning(
            AREA,
            f"{what}: less than half of the clock's {target_fps:g} ticks/s",
            f"lower clock.target_fps to about {facts.fps:.3g}",
        )
    if facts.gaps:
        at_s, longest_s = max(facts.gaps, key=lambda gap: gap[1])
        gaps = "a gap" if len(facts.gaps) == 1 else f"{len(facts.gaps)} gaps, the longest"
        return warning(AREA, f"{what}, {gaps} of {longest_s:.1f} s at {at_s:.1f} s", "nothing is seen in a gap")
    return ok(AREA, what)


def _described(facts: FileFacts) -> str:
    rate = f"{facts.fps:.4g} fps"
    if facts.is_variable:
        rate = f"{1 / facts.longest_s:.3g} to {1 / facts.shortest_s:.3g} fps"
    parts = [f"{facts.width}×{facts.height} at {rate}"]
    if facts.duration_s is not None:
        parts.append(f"{facts.duration_s:.0f} s")
    if facts.interlaced:
        parts.append("interlaced")
    if facts.rotation:
        parts.append(f"rotated by {facts.rotation}°")
    return ", ".join(parts)


def _stream(camera: CameraConfig, name: str, target_fps: float, keep: Keep) -> Finding:
    began_s = time.monotonic()
    options = SourceOptions.of(camera)
    options = replace(options, freeze_s=_WATCH_S if options.freeze_s else 0)
    source = open_source(
        camera.source,
        camera=camera.name,
        site_time_ns=time.time_ns,
        loop=camera.loop,
        interval_s=1 / target_fps,
        options=options,
        secrets=camera.secrets,
    )
    try:
        answer_s = options.open_timeout_s + options.read_timeout_s + 2
        source.answered.wait(answer_s)
        frame = source.frame_at(0.0, 1.0) if source.state is SourceState.LIVE else None
        if frame is None:
            reason = source.error or f"no picture within {answer_s:.0f} s; check the camera"
            return error(AREA, f"{camera.name}: {reason}")
        took_s = time.monotonic() - began_s
        height, width = frame.image.shape[:2]
        _, lost = _watch(source, _SETTLE_S)
        kept = functools.partial(keep, camera.name)
        pictures, lost = _watch(source, _WATCH_S, kept) if lost is None else (0, lost)
        if lost and source.state is not SourceState.ENDED:
            return error(AREA, f"{camera.name}: {lost}")
        what = f"{name}, {width}×{height}, first picture after {took_s:.1f} s"
        fault = source.fault
        if fault is not None and fault.kind is FaultKind.FROZEN:
            return warning(AREA, f"{what}, but nothing moved for {_WATCH_S:g} s", "check that the picture is live")
        if fault is not None:
            return error(AREA, f"{camera.name}: {fault.message}")
        return ok(AREA, f"{what}, then {pictures / _WATCH_S:.3g} per second")
    finally:
        source.close()


def _watch(
    source: Source, seconds: float, keep: Callable[[npt.NDArray[np.uint8]], None] | None = None
) -> tuple[int, str | None]:
    """The number of pictures in `seconds`, and why they ended, if they did; each goes to `keep`."""
    until_s, pictures, dropped = time.monotonic() + seconds, 0, source.dropped
    while (left_s := until_s - time.monotonic()) > 0:
        frame = source.frame_at(0.0, left_s)
        if frame is not None:
            pictures += 1
            if keep is not None:
                keep(frame.image)
        if source.state is not SourceState.LIVE:
            return pictures, source.error or "the stream ended"
    return pictures + source.dropped - dropped, None
