"""Checks a camera before it is added to a running site: its settings, its files, and where its video file starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launcher.site_access import OpenSite
from shared.camera_config import CameraConfig
from shared.camera_settings import read_settings
from shared.config_file import camera_from
from shared.errors import ConfigError, Problem
from site_checks.files import FileChecks
from vision.video.video_file import VideoFile

WHERE = "cameras add"
"""Takes the place of the file name in problems of a new camera."""


@dataclass(frozen=True)
class CheckedCamera:
    """A camera that can be added."""

    config: CameraConfig
    origin_tick: int | None
    """The tick at which its video file starts; None: with the site's other files."""


def check_new_camera(
    name: str,
    written: dict[str, Any],
    site: OpenSite,
    environment: Mapping[str, str],
    *,
    known: list[Problem],
    from_start: bool,
    check_files: bool,
) -> CheckedCamera:
    """Validates the camera `name` with the settings `written`, which have the form of those in a site file.

    `known` are problems found earlier. With `from_start` a file starts now, instead of at the position of the site's
    other files. Without `check_files` its files need not exist on this host.

    Raises:
        ConfigError: the camera is invalid; carries every problem.
    """
    problems = list(known)
    camera = None
    try:
        camera = camera_from(written, WHERE, Path.cwd(), environment, check_files=check_files)
    except ConfigError as error:
        problems += error.problems
    if name in read_settings(site.client, site.keys):
        problems.append(name_taken(name))
    origin_tick = None
    if camera is not None:
        problems += _file_problems(camera, site) if check_files else []
        if not problems:
            origin_tick, problems = _start_tick(camera, site, from_start=from_start, check_length=check_files)
    if camera is None or problems:
        raise ConfigError(problems)
    return CheckedCamera(camera, origin_tick)


def name_taken(name: str) -> Problem:
    """The problem of a camera whose name is already in use."""
    return Problem(
        WHERE, "name", name, "the site already has a camera of this name; choose another, or remove that camera first"
    )


def _file_problems(camera: CameraConfig, site: OpenSite) -> list[Problem]:
    """Opens the mask, the video file and the model of the camera."""
    has_mask = camera.mask is not None or camera.mask_polygons
    if not has_mask and camera.detector is None and not camera.is_file:
        return []
    alone = site.published.config.model_copy(update={"cameras": (camera,)})
    checks = FileChecks(Path(WHERE), alone, {})
    found = [*checks.masks(), *checks.videos(), *(checks.models() if camera.detector else [])]
    return [replace(problem, key=problem.key.removeprefix("cameras.0.")) for problem in found]


def _start_tick(
    camera: CameraConfig, site: OpenSite, *, from_start: bool, check_length: bool
) -> tuple[int | None, list[Problem]]:
    """The tick at which a file starts, or None if it starts with the site's other files; and the problems found."""
    if not camera.is_file:
        about = "works only with video files; omit it for a live source"
        return None, [Problem(WHERE, "--from-start", "", about)] if from_start else []
    tick, origin = (int(text) if text else None for text in site.client.mget(site.keys.tick, site.keys.files_origin))
    fps = site.published.config.clock.target_fps
    if from_start:
        # A second from now, when a worker has claimed it.
        return round((tick or 0) + fps), []
    if tick is None or origin is None or camera.loop or not check_length:
        return None, []
    began_s = (tick - origin) / fps
    media_s = (began_s - (camera.time_offset_seconds or 0)) * (camera.time_scale or 1)
    lasts_s = _duration_s(camera)
    if lasts_s is None or media_s < lasts_s:
        return None, []
    return None, [
        Problem(
            WHERE,
            "source",
            "",
            f"all files of a site start together, here {began_s:.0f} s ago, so this one ({lasts_s:.0f} s long) would "
            "already be over; use --loop, or --from-start to start it now",
        )
    ]


def _duration_s(camera: CameraConfig) -> float | None:
    video = VideoFile(Path(camera.source), camera.name, fps=camera.fps)
    try:
        return video.claimed_seconds
    finally:
        video.close()
