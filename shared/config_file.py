"""Reads a site file: YAML, `${VAR}` and `${file:PATH}` secrets, environment overrides, every problem at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from shared.config import LayoutConfig, SiteConfig
from shared.errors import ConfigError, LayoutError, Problem
from shared.layout import Layout, read_layout

ENV_PREFIX = "MTMC__"
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?")
_SHOWN_CHARACTERS = 80
_SECRET_KEYS = ("password", "url", "source")

Path_ = tuple[str | int, ...]


def load_site(path: Path, environment: Mapping[str, str], *, check_files: bool = True) -> SiteConfig:
    """The validated site of the file `path`, with the overrides of `environment`.

    Overrides are variables such as `MTMC__CLOCK__TARGET_FPS=10` or `MTMC__CAMERAS__0__SOURCE=/dev/video0`; their
    values are read as YAML. With `check_files`, every file that the site names must exist.

    Raises:
        ConfigError: with every problem found.
    """
    data = _read_yaml(path)
    problems: list[Problem] = []
    data = _interpolated(data, (), path, environment, problems)
    overridden = _override(data, environment, problems)
    unresolved = {problem.key for problem in problems}

    def where(location: Path_) -> str:
        return next((name for key, name in overridden.items() if location[: len(key)] == key), str(path))

    site: SiteConfig | None = None
    try:
        site = SiteConfig.model_validate(data, context={"base": path.parent.resolve(), "check_files": check_files})
    except ValidationError as error:
        for item in error.errors(include_url=False):
            location = item["loc"]
            if dotted(location) not in unresolved:
                problems.append(_problem(where(location), location, item["type"], item["msg"], item["input"]))
    if site is not None:
        try:
            site_layout(site)
        except LayoutError as error:
            problems.append(Problem(where(("layout",)), "layout", "", str(error)))
    if problems or site is None:
        raise ConfigError(problems)
    return site


def site_layout(site: SiteConfig) -> Layout:
    """The transitions between the cameras of `site`.

    Raises:
        LayoutError: the layout file cannot be read, or does not fit the cameras.
    """
    names = site.camera_names
    config = site.layout or LayoutConfig()
    if config.file is not None:
        return read_layout(config.file, names)
    if site.layout is None:
        return Layout.open(names)
    layout = Layout.closed(names)
    for step in config.transitions:
        layout = layout.with_transition(step.from_camera, step.to_camera, step.min_seconds, step.max_seconds)
        if step.both_ways and step.from_camera != step.to_camera:
            layout = layout.with_transition(step.to_camera, step.from_camera, step.min_seconds, step.max_seconds)
    for group in config.overlaps:
        for source in group:
            for target in group:
                if source != target:
                    layout = layout.with_transition(
                        source, target, 0.0, site.association.retention_seconds, overlapping=True
                    )
    return layout


def dotted(location: Path_) -> str:
    """`("cameras", 2, "source")` as `cameras.2.source`."""
    return ".".join(str(part) for part in location)


def _read_yaml(path: Path) -> dict[str, Any]:
    def refuse(message: str) -> ConfigError:
        return ConfigError([Problem(str(path), "", "", message)])

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise refuse("there is no such file; name the site's YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise refuse(f"cannot be read as text ({error})") from None
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise refuse(f"is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise refuse("holds no settings; it must be a mapping with at least site, detector, embedder and cameras")
    return data


def _interpolated(value: Any, at: Path_, file: Path, environment: Mapping[str, str], problems: list[Problem]) -> Any:
    """`value` with every `${VAR}`, `${VAR:-default}` and `${file:PATH}` in its strings replaced."""
    if isinstance(value, dict):
        return {key: _interpolated(item, (*at, str(key)), file, environment, problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolated(item, (*at, i), file, environment, problems) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        reference = match.group(1)
        try:
            return _referenced(reference, file.parent, environment)
        except KeyError as error:
            problems.append(Problem(str(file), dotted(at), match.group(0), str(error.args[0])))
            return match.group(0)

    return _REFERENCE.sub(replace, value)


def _referenced(reference: str, base: Path, environment: Mapping[str, str]) -> str:
    """Raises KeyError with a message for people."""
    if reference.startswith("file:"):
        secret = base / Path(reference.removeprefix("file:")).expanduser()
        try:
            return secret.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyError(f"the file cannot be read ({type(error).__name__}: {secret})") from None
    match = _VARIABLE.fullmatch(reference)
    if match is None:
        raise KeyError("write ${VARIABLE}, ${VARIABLE:-default} or ${file:PATH}")
    name, default = match.groups()
    if name in environment:
        return environment[name]
    if default is None:
        raise KeyError(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
    return str(default)


def _override(data: dict[str, Any], environment: Mapping[str, str], problems: list[Problem]) -> dict[Path_, str]:
    """Puts every `MTMC__…` variable into `data`; returns which setting came from which variable."""
    overridden: dict[Path_, str] = {}
    for name in sorted(environment):
        if not name.startswith(ENV_PREFIX):
            continue
        parts = [part.lower() for part in name.removeprefix(ENV_PREFIX).split("__")]
        location = tuple(_descend(data, parts))
        if len(location) != len(parts) or not location:
            problems.append(Problem(name, dotted(tuple(parts)), "", "there is no such setting to override"))
            continue
        target: Any = data
        for part in location[:-1]:
            target = target[part]
        try:
            target[location[-1]] = yaml.safe_load(environment[name])
        except yaml.YAMLError:
            target[location[-1]] = environment[name]
        overridden[location] = name
    return overridden


def _descend(data: Any, parts: list[str]) -> Iterator[str | int]:
    """Walks `parts` through `data`, making the missing mappings; stops where there is nothing to enter."""
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(data, list):
            if not part.isdigit() or int(part) >= len(data):
                return
            yield int(part)
            data = data[int(part)]
        elif isinstance(data, dict):
            if not last and not isinstance(data.get(part), dict | list):
                data[part] = {}
            yield part
            data = data.get(part)
        else:
            return


def _problem(where: str, location: Path_, kind: str, message: str, value: Any) -> Problem:
    message = message.removeprefix("Value error, ")
    if kind == "missing":
        return Problem(where, dotted(location), "", "is required")
    if kind == "extra_forbidden":
        return Problem(where, dotted(location), "", "there is no such setting; see `mtmc config schema`")
    shown = str(value) if not isinstance(value, dict | list | tuple) else ""
    if any(str(part) in _SECRET_KEYS for part in location[-1:]) and "://" not in shown and location[-1] == "password":
        shown = "***"
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "…"
    return Problem(where, dotted(location), shown, message)
