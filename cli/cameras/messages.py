"""Messages that `mtmc cameras` prints after a change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from launcher.running_cameras import PausedCameras
from launcher.site_access import OpenSite
from shared.camera_config import CameraConfig
from shared.config_file import without_credentials

_REFERENCE = r"\$\{(?:[A-Za-z0-9_]+|file:[^}]*)\}"
_LOGIN_BY_REFERENCE = re.compile(rf"\w+://{_REFERENCE}(?::{_REFERENCE})?@[^@?&;=]*$")
"""A stream URL whose user and password are references, and which holds no other secret."""
_LASTS = "The change lasts until a different site file is published."


def added_message(camera: CameraConfig, written: Mapping[str, Any], site: OpenSite) -> str:
    """Says whether a worker can run the new camera and how to keep it; `written` are its settings as given."""
    lines = [f"camera {camera.name} added"]
    workers = site.read_state().workers
    if camera.paused:
        lines.append(f"It is paused; start it with: mtmc cameras resume {camera.name}")
    elif not workers:
        lines.append("No worker is running; the next one to start will run it.")
    elif not any(set(camera.labels) <= set(worker.labels.split()) for worker in workers):
        lines.append(f"It waits: no running worker has the labels {', '.join(camera.labels)}.")
    if site.published.config.layout is not None and camera.name not in site.published.layout.cameras:
        lines.append("The site's layout does not name it, so every transition from and to it counts as possible.")
    lines.append(f"{_LASTS} To keep it, add to the site file, under cameras:")
    lines.append(_snippet(camera, written))
    return "\n".join(lines)


def _snippet(camera: CameraConfig, written: Mapping[str, Any]) -> str:
    """The camera as YAML for any site file: absolute paths, no credentials."""
    whole = camera.model_dump(mode="json", exclude_unset=True)
    shown = dict(written)
    for key in filter(lambda key: _is_path(key, camera), written):
        if camera.shown(str(whole[key])) == str(whole[key]):  # otherwise a reference is better than what it stands for
            shown[key] = whole[key]
    if _LOGIN_BY_REFERENCE.match(shown["source"]) is None:
        shown["source"] = without_credentials(shown["source"])
    text: str = yaml.safe_dump([shown], sort_keys=False, allow_unicode=True, width=10_000)
    lines = [f"  {line}" for line in text.splitlines()]
    if "***" in text:
        lines.append("(replace *** with user and password, preferably as ${CAMERA_USER}:${CAMERA_PASSWORD})")
    return "\n".join(lines)


def _is_path(key: str, camera: CameraConfig) -> bool:
    return key in ("mask", "detector") or (key == "source" and camera.is_file)


def paused_message(result: PausedCameras) -> str:
    """Says which cameras were paused or resumed, and how to keep the change."""
    done = "paused" if result.paused else "resumed"
    already = "was already paused" if result.paused else "was not paused"
    lines = [f"camera {name} {already if name in result.unchanged else done}" for name in result.cameras]
    if result.unlike_published:
        what = "add 'paused: true' to" if result.paused else "delete 'paused: true' from"
        lines.append(f"{_LASTS} To keep it, {what} {', '.join(result.unlike_published)} in the site file.")
    return "\n".join(lines)


def removed_message(removed: Sequence[str], site: OpenSite) -> str:
    """Says which cameras were removed, and how to keep the change."""
    config = site.published.config
    lines = [f"camera {name} removed" for name in removed]
    lines.append("Objects seen there can still be recognised in other cameras.")
    published = [name for name in removed if name in config.camera_names]
    if published:
        where = "from cameras and layout" if config.layout is not None else "from cameras"
        lines.append(f"{_LASTS} To keep it, delete {', '.join(published)} {where} in the site file.")
    return "\n".join(lines)
