"""What the commands print after they have changed the cameras of a site."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from launcher.running_cameras import PausedCameras
from launcher.site_access import OpenSite
from shared.config import CameraConfig
from shared.config_file import without_credentials

_REFERENCE = r"\$\{(?:[A-Za-z0-9_]+|file:[^}]*)\}"
_LOGIN_BY_REFERENCE = re.compile(rf"\w+://{_REFERENCE}(?::{_REFERENCE})?@[^@?&;=]*$")
"""A stream whose user and password are written as references, and that holds no other secret."""
_LASTS = "This lasts until the site is published with other content."


def added_message(camera: CameraConfig, written: Mapping[str, Any], site: OpenSite) -> str:
    """Says who will take the new camera, and how to keep it; `written` are its settings as they were given."""
    lines = [f"camera {camera.name} is added"]
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
    return "\n".join(lines)


def _snippet(camera: CameraConfig, written: Mapping[str, Any]) -> str:
    """The camera as it may appear in a site file anywhere, without credentials."""
    whole = camera.model_dump(mode="json", exclude_unset=True)
    shown = {key: whole[key] if _is_path(key, camera) else value for key, value in written.items()}
    if _LOGIN_BY_REFERENCE.match(shown["source"]) is None:
        shown["source"] = without_credentials(shown["source"])
    text: str = yaml.safe_dump([shown], sort_keys=False, allow_unicode=True, width=10_000)
    lines = [f"  {line}" for line in text.splitlines()]
    if "***" in text:
        lines.append("(*** stands for user and password; best written as ${CAMERA_USER}:${CAMERA_PASSWORD})")
    return "\n".join(lines)


def _is_path(key: str, camera: CameraConfig) -> bool:
    return key in ("mask", "detector") or (key == "source" and camera.is_file)


def paused_message(result: PausedCameras) -> str:
    """Says which cameras were paused or resumed, and how to keep it."""
    done = "is paused" if result.paused else "is resumed"
    already = "was paused already" if result.paused else "was not paused"
    lines = [f"camera {name} {already if name in result.unchanged else done}" for name in result.cameras]
    if result.unlike_published:
        what = "write 'paused: true' at" if result.paused else "delete 'paused: true' at"
        lines.append(f"{_LASTS} To keep it, {what} {', '.join(result.unlike_published)} in the site file.")
    return "\n".join(lines)


def removed_message(removed: Sequence[str], site: OpenSite) -> str:
    """Says which cameras were removed, and how to keep it."""
    config = site.published.config
    lines = [f"camera {name} is removed" for name in removed]
    lines.append("Who was seen there can still be recognised elsewhere.")
    published = [name for name in removed if name in config.camera_names]
    if published:
        where = "from cameras and layout" if config.layout is not None else "from cameras"
        lines.append(f"{_LASTS} To keep it, delete {', '.join(published)} {where} in the site file.")
    return "\n".join(lines)
