"""`mtmc cameras`: looks at the cameras of a running site, adds, pauses, resumes and removes them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.status_tables import camera_state
from launcher.camera_changes import CameraChanges, camera_changes
from launcher.site_access import OpenSite, SiteChoice, open_site, unknown_cameras
from shared.camera_settings import Settings, add_camera, read_settings, remove_cameras, set_paused
from shared.config import CameraConfig
from shared.config_file import camera_from, masked, setting_value
from shared.errors import ConfigError, MtmcError, Problem, redact
from shared.site_state.states import CameraState

_ADD = "cameras add"
"""Where problems of a new camera stand."""
_REFERENCE = r"\$\{(?:[A-Za-z0-9_]+|file:[^}]*)\}"
_LOGIN_BY_REFERENCE = re.compile(rf"\w+://{_REFERENCE}(?::{_REFERENCE})?@[^@?&;=]*$")
"""A stream whose user and password are written as references, and that holds no other secret."""
_LASTS = "This lasts until the site is published with other content."


@dataclass(frozen=True)
class NewCamera:
    """What the command line says of a camera."""

    name: str
    source: str
    settings: Mapping[str, Any]
    """By their names in a site file, as far as they were given."""
    assignments: Sequence[str] = ()
    """`KEY=VALUE` for the others."""
    from_start: bool = False
    """A recording begins now, not where the site's recordings are."""
    check: bool = True
    """Whether its files lie on this host."""


@dataclass(frozen=True)
class ListedCamera:
    """One line of the list; None is what is not known."""

    name: str
    source: str
    """Without credentials."""
    state: str
    stalled: bool
    owner: str | None
    error: str | None
    paused: bool
    loop: bool
    labels: list[str]
    change: str | None
    """Since the site was published: `added`, `paused`, `resumed` or `changed`."""


# -- looking --------------------------------------------------------------------------------------------------


def list_cameras(choice: SiteChoice, environment: Mapping[str, str], console: Console, *, as_json: bool) -> None:
    """Shows the cameras as they are set now.

    Raises:
        MtmcError: the site cannot be read.
    """
    with open_site(choice, environment) as site:
        settings = read_settings(site.client, site.keys)
        changes = camera_changes(site.published.config.cameras, settings)
        states = {camera.name: camera for camera in site.read_state().cameras}
    cameras = {name: _listed(settings[name], camera, changes) for name, camera in states.items() if name in settings}
    if as_json:
        content = {
            "site": site.keys.site,
            "redis": site.shown_url,
            "revision": site.published.revision,
            "cameras": [asdict(camera) for camera in cameras.values()],
            "removed": changes.removed,
        }
        console.out(json.dumps(content), highlight=False)
        return
    table = Table()
    for heading in ("camera", "state", "source", "settings", "since published"):
        table.add_column(heading, overflow="fold")
    for name, camera in cameras.items():
        words = Text(_settings_words(settings[name]))
        table.add_row(Text(name), camera_state(states[name]), Text(camera.source), words, camera.change or "")
    console.print(table)
    if changes.removed:
        console.print(
            f"removed since the site was published: {', '.join(changes.removed)}", markup=False, soft_wrap=True
        )


def _listed(settings: CameraConfig | None, camera: CameraState, changes: CameraChanges) -> ListedCamera:
    return ListedCamera(
        name=camera.name,
        source=shown_source(settings.source) if settings else "",
        state=camera.state,
        stalled=camera.stalled,
        owner=camera.owner,
        error=camera.error if settings else "its settings cannot be read; remove it and add it again",
        paused=settings is not None and settings.paused,
        loop=settings is not None and settings.loop,
        labels=list(settings.labels) if settings else [],
        change=changes.by_camera.get(camera.name),
    )


def shown_source(source: str) -> str:
    """A source without its credentials; of a path that may be an address with a mistake in it, too."""
    return redact(source) if "://" in source else masked(source)


def _settings_words(camera: CameraConfig | None) -> str:
    if camera is None:
        return "cannot be read"
    own = camera.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"name", "source", "paused"})
    return ", ".join(key if value is True else f"{key} {_plain(value)}" for key, value in own.items())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_plain(item)}" for key, item in value.items() if item is not None)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


# -- adding ---------------------------------------------------------------------------------------------------


def add(new: NewCamera, choice: SiteChoice, environment: Mapping[str, str]) -> str:
    """Adds a camera to a running site; says what comes of it.

    Raises:
        ConfigError: with every problem of the camera.
        MtmcError: the site cannot be changed.
    """
    with open_site(choice, environment) as site:
        _refuse_virtual(site)
        written, problems = _written(new)
        camera = None
        try:
            camera = camera_from(written, _ADD, Path.cwd(), environment, check_files=new.check)
        except ConfigError as error:
            problems += error.problems
        if new.name in read_settings(site.client, site.keys):
            problems.append(_taken(new.name))
        origin_tick = None
        if camera is not None:
            problems += _file_problems(camera, site) if new.check else []
            if not problems:
                origin_tick, problems = _beginning(camera, new, site)
        if camera is None or problems:
            raise ConfigError(problems)
        if not add_camera(site.client, site.keys, camera, origin_tick=origin_tick):
            raise ConfigError([_taken(new.name)])
        return "\n".join([f"camera {camera.name} is added", *_what_follows(camera, written, site)])


def _written(new: NewCamera) -> tuple[dict[str, Any], list[Problem]]:
    """The camera as it may stand in a site file, and what is wrong with the assignments."""
    written: dict[str, Any] = {"name": new.name, "source": new.source, **new.settings}
    problems = []
    for assignment in new.assignments:
        key, equals, text = assignment.partition("=")
        *sections, last = key.split(".")
        target: Any = written
        for section in sections:
            target = target.setdefault(section, {}) if isinstance(target, dict) else None
        if not equals or not last or not isinstance(target, dict):
            problems.append(Problem(_ADD, "--set", masked(assignment), "write KEY=VALUE, for example time_scale=2"))
        else:
            target[last] = setting_value(text)
    return written, problems


def _taken(name: str) -> Problem:
    return Problem(_ADD, "name", name, "the site has a camera of this name; give another, or remove that one first")


def _file_problems(camera: CameraConfig, site: OpenSite) -> list[Problem]:
    """What is wrong with the mask, the recording and the model of the camera; they are really opened."""
    if camera.mask is None and camera.detector is None and not camera.is_file:
        return []
    from site_checks.files import SiteChecks

    alone = site.published.config.model_copy(update={"cameras": (camera,)})
    checks = SiteChecks(Path(_ADD), alone, {})
    found = [*checks.masks(), *checks.recordings(), *(checks.models() if camera.detector else [])]
    return [replace(problem, key=problem.key.removeprefix("cameras.0.")) for problem in found]


def _beginning(camera: CameraConfig, new: NewCamera, site: OpenSite) -> tuple[int | None, list[Problem]]:
    """The tick at which a recording begins, where it is not that of the site's recordings."""
    if not camera.is_file:
        about = "is for recordings; a live source has no beginning"
        return None, [Problem(_ADD, "--from-start", "", about)] if new.from_start else []
    tick, origin = (int(text) if text else None for text in site.client.mget(site.keys.tick, site.keys.files_origin))
    fps = site.published.config.clock.target_fps
    if new.from_start:
        # A second from now, when a worker has taken it up.
        return round((tick or 0) + fps), []
    if tick is None or origin is None or camera.loop or not new.check:
        return None, []
    began_s = (tick - origin) / fps
    media_s = (began_s - (camera.time_offset_seconds or 0)) * (camera.time_scale or 1)
    lasts_s = _duration_s(camera)
    if lasts_s is None or media_s < lasts_s:
        return None, []
    return None, [
        Problem(
            _ADD,
            "source",
            "",
            f"all recordings of a site begin together, here {began_s:.0f} s ago, and this one lasts {lasts_s:.0f} s: "
            "it would be over at once; give --loop, or --from-start to begin it now",
        )
    ]


def _duration_s(camera: CameraConfig) -> float | None:
    from vision.video.video_file import VideoFile

    video = VideoFile(Path(camera.source), camera.name, decoder_threads=1)
    try:
        fps = camera.fps or video.container_fps
        return video.claimed_count / fps if fps and video.claimed_count > 0 else None
    finally:
        video.release()


def _what_follows(camera: CameraConfig, written: Mapping[str, Any], site: OpenSite) -> list[str]:
    lines = []
    workers = site.read_state().workers
    if camera.paused:
        lines.append(f"It is paused; start it with: mtmc cameras resume {camera.name}")
    elif not workers:
        lines.append("No worker runs now; the next one to start takes it.")
    elif not any(set(camera.labels) <= set(worker.labels.split()) for worker in workers):
        lines.append(f"No running worker has the labels {', '.join(camera.labels)}; it waits for one that has.")
    if site.published.config.layout is not None and camera.name not in site.published.layout.cameras:
        lines.append("The site's layout does not know it: every step from it and to it is taken for possible.")
    lines.append(f"{_LASTS} To keep it, write into the site file, under cameras:")
    lines.append(_snippet(camera, written))
    return lines


def _snippet(camera: CameraConfig, written: Mapping[str, Any]) -> str:
    """The camera as it may stand in a site file anywhere, without credentials."""
    whole = camera.model_dump(mode="json", exclude_unset=True)
    shown = {key: whole[key] if _is_path(key, camera) else value for key, value in written.items()}
    if _LOGIN_BY_REFERENCE.match(shown["source"]) is None:
        shown["source"] = shown_source(shown["source"])
    text: str = yaml.safe_dump([shown], sort_keys=False, allow_unicode=True, width=10_000)
    lines = [f"  {line}" for line in text.splitlines()]
    if "***" in text:
        lines.append("(*** stands for user and password; best written as ${CAMERA_USER}:${CAMERA_PASSWORD})")
    return "\n".join(lines)


def _is_path(key: str, camera: CameraConfig) -> bool:
    return key in ("mask", "detector") or (key == "source" and camera.is_file)


# -- pausing, resuming, removing ------------------------------------------------------------------------------


def pause(names: Sequence[str], choice: SiteChoice, environment: Mapping[str, str], *, every: bool) -> str:
    """Pauses cameras, or `every` one; says what comes of it.

    Raises:
        MtmcError: the site cannot be changed, or has no such camera.
    """
    return _paused(names, choice, environment, every=every, paused=True)


def resume(names: Sequence[str], choice: SiteChoice, environment: Mapping[str, str], *, every: bool) -> str:
    """The reverse of `pause`."""
    return _paused(names, choice, environment, every=every, paused=False)


def _paused(
    names: Sequence[str], choice: SiteChoice, environment: Mapping[str, str], *, every: bool, paused: bool
) -> str:
    with open_site(choice, environment) as site:
        _refuse_virtual(site)
        there = read_settings(site.client, site.keys)
        wanted = [name for name, camera in there.items() if camera] if every else list(dict.fromkeys(names))
        _refuse_unknown([name for name in wanted if name not in there], there, site)
        changed = [name for name in wanted if (camera := there[name]) is None or camera.paused != paused]
        if not paused:
            _delete_pictures(changed, site)  # What was seen before the pause is no picture of now.
        refused = set_paused(site.client, site.keys, changed, paused=paused)
        if refused:
            raise MtmcError(f"the settings of {', '.join(refused)} cannot be read; remove and add again")
        word = "paused" if paused else "resumed"
        lines = [f"camera {name} {f'is {word}' if name in changed else _already(paused)}" for name in wanted]
        published = {camera.name: camera for camera in site.published.config.cameras}
        differ = [name for name in wanted if name in published and published[name].paused != paused]
        if differ:
            what = "write 'paused: true' at" if paused else "delete 'paused: true' at"
            lines.append(f"{_LASTS} To keep it, {what} {', '.join(differ)} in the site file.")
        return "\n".join(lines)


def _already(paused: bool) -> str:
    return "was paused already" if paused else "was not paused"


def remove(names: Sequence[str], choice: SiteChoice, environment: Mapping[str, str]) -> str:
    """Removes cameras; says what comes of it.

    Raises:
        MtmcError: the site cannot be changed, or has no such camera.
    """
    with open_site(choice, environment) as site:
        _refuse_virtual(site)
        there, config = read_settings(site.client, site.keys), site.published.config
        wanted = list(dict.fromkeys(names))
        unknown = remove_cameras(site.client, site.keys, wanted, config.association.replay_seconds)
        _refuse_unknown(unknown, there, site)
        _delete_pictures(wanted, site)
        lines = [f"camera {name} is removed" for name in wanted]
        lines.append("Who was seen there can still be recognised elsewhere.")
        published = [name for name in wanted if name in config.camera_names]
        if published:
            where = "from cameras and layout" if config.layout is not None else "from cameras"
            lines.append(f"{_LASTS} To keep it, delete {', '.join(published)} {where} in the site file.")
        return "\n".join(lines)


def _delete_pictures(cameras: Collection[str], site: OpenSite) -> None:
    """At once; what a worker publishes at this very moment expires by itself, as does what cannot be reached."""
    keys = [site.keys.frames(camera) for camera in cameras]
    if not keys:
        return
    site.client.delete(*keys)
    if site.address.frames_url:
        with contextlib.suppress(RedisError), site.address.pictures(site.client) as frames:
            frames.delete(*keys)


def _refuse_virtual(site: OpenSite) -> None:
    if site.published.config.clock.mode == "virtual":
        raise MtmcError(
            f"site {site.keys.site} runs in virtual time, which waits for every camera of the site file: its cameras "
            "are fixed; change the file and publish it"
        )


def _refuse_unknown(unknown: Sequence[str], there: Settings, site: OpenSite) -> None:
    if unknown:
        raise unknown_cameras(site.keys.site, unknown, list(there))
