"""`mtmc config show`: the effective settings and where they come from, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from launcher.address import site_name
from launcher.camera_changes import camera_changes
from launcher.site_access import SiteChoice, open_site
from launcher.site_file import load_site
from shared.camera_config import CameraConfig
from shared.camera_settings import read_settings
from shared.config import SiteConfig
from shared.config_file import overridden_settings, without_credentials
from shared.yaml_file import Path_, dotted


def show_file(
    choice: SiteChoice, environment: Mapping[str, str], root: Path | None = None, *, defaults: bool, as_json: bool
) -> str:
    """The settings of a site file with the overrides of the environment.

    Raises:
        ConfigError: the file is invalid; carries every problem.
        MtmcError: the file is not that of the chosen site.
    """
    assert choice.site_file is not None
    site = load_site(choice.site_file, environment, root=root, check_files=False)
    site_name(site, choice.site)
    overridden = overridden_settings(choice.site_file, environment)
    settings = settings_of(site, defaults=defaults, nulls=as_json)
    if as_json:
        return json.dumps({"settings": settings, "overridden": {dotted(at): name for at, name in overridden.items()}})
    return annotated(settings, overridden)


def show_published(choice: SiteChoice, environment: Mapping[str, str], *, defaults: bool, as_json: bool) -> str:
    """The settings of the site as published in Redis, with the cameras that were changed since.

    Raises:
        MtmcError: the site cannot be read.
    """
    with open_site(choice, environment) as site:
        published, running = site.published, read_settings(site.client, site.keys)
    changes = camera_changes(published.config.cameras, running)
    settings = settings_of(published.config, defaults=defaults, nulls=as_json)
    settings.pop("redis", None)  # This section is not published.
    if as_json:
        content = {"settings": settings, "revision": published.revision, "changes": changes.by_camera}
        return json.dumps(content)
    heading = [f"# revision {published.revision}, as published in Redis at {site.shown_url}"]
    if changes:
        heading.append(f"# cameras changed since (not shown below): {changes}; see: mtmc cameras list")
    return "\n".join([*heading, annotated(settings, {})])


def settings_of(site: SiteConfig, *, defaults: bool, nulls: bool) -> dict[str, Any]:
    """The settings as plain values without secrets; `defaults` includes unset ones, `nulls` those that are None."""
    dumped = site.model_dump(mode="python", by_alias=True, exclude_unset=not defaults, exclude_none=not nulls)
    dumped.pop("preselected", None)
    for camera, shown in zip(site.cameras, dumped["cameras"], strict=True):
        shown.pop("secrets", None)
        for key, value in shown.items():
            shown[key] = _hidden(value, camera)
    plain: dict[str, Any] = _plain(dumped)
    return plain


def _hidden(value: Any, camera: CameraConfig) -> Any:
    """`value` of a setting of `camera` without its secrets."""
    if isinstance(value, dict):
        return {key: _hidden(item, camera) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item, camera) for item in value]
    return camera.shown(str(value)) if isinstance(value, str | Path) else value


def annotated(settings: Mapping[str, Any], overridden: Mapping[Path_, str]) -> str:
    """`settings` as YAML; a comment names the environment variable of each `overridden` setting."""
    text: str = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=10_000)
    lines = text.rstrip("\n").splitlines()
    for at, line in _places(yaml.compose(text, yaml.SafeLoader), ()):
        if at in overridden:
            lines[line] += f"  # {overridden[at]}"
    return "\n".join(lines)


def _places(node: Any, at: Path_) -> Iterator[tuple[Path_, int]]:
    """Each setting, and the line on which a comment may follow it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*at, key.value), (value.end_mark if isinstance(value, yaml.ScalarNode) else key.end_mark).line
            yield from _places(value, (*at, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield (*at, i), (item.end_mark if isinstance(item, yaml.ScalarNode) else item.start_mark).line
            yield from _places(item, (*at, i))


def _plain(value: Any, key: str = "") -> Any:
    """`value` of a setting `key` for YAML or JSON; URLs lose their credentials, passwords become `***`."""
    if isinstance(value, SecretStr):
        return "***" if key == "password" else without_credentials(value.get_secret_value())
    if isinstance(value, Mapping):
        return {str(key): _plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return without_credentials(str(value))
