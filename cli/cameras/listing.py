"""`mtmc cameras list`: the cameras of a site with their current settings and state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.console import empty_table
from cli.status_tables import camera_state
from launcher.camera_changes import CameraChanges, camera_changes
from launcher.site_access import SiteChoice, open_site
from shared.camera_config import CameraConfig
from shared.camera_settings import read_settings
from shared.config_file import without_credentials
from shared.site_state.states import CameraState
from shared.terminal_tables import print_table


@dataclass(frozen=True)
class ListedCamera:
    """One camera of the list; None means unknown."""

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


def list_cameras(choice: SiteChoice, environment: Mapping[str, str], console: Console, *, as_json: bool) -> None:
    """Prints the cameras with their current settings and state.

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
    headings = ("camera", "state", "source", "settings", "change since publish")
    table = empty_table(*headings, left=headings)
    for name, camera in cameras.items():
        shown = Text(_shown_settings(settings[name]))
        table.add_row(Text(name), camera_state(states[name]), Text(camera.source), shown, camera.change or "")
    print_table(console, table)
    if changes.removed:
        console.print(
            f"removed since the site was published: {', '.join(changes.removed)}", markup=False, soft_wrap=True
        )


def _listed(settings: CameraConfig | None, camera: CameraState, changes: CameraChanges) -> ListedCamera:
    return ListedCamera(
        name=camera.name,
        source=without_credentials(settings.shown(settings.source)) if settings else "",
        state=camera.state,
        stalled=camera.stalled,
        owner=camera.owner,
        error=camera.error if settings else "its settings cannot be read; remove the camera and add it again",
        paused=settings is not None and settings.paused,
        loop=settings is not None and settings.loop,
        labels=list(settings.labels) if settings else [],
        change=changes.by_camera.get(camera.name),
    )


def _shown_settings(camera: CameraConfig | None) -> str:
    if camera is None:
        return "cannot be read"
    own = camera.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"name", "source", "paused"})
    own.pop("secrets", None)
    return camera.shown(", ".join(key if value is True else f"{key} {_plain(value)}" for key, value in own.items()))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_plain(item)}" for key, item in value.items() if item is not None)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
