"""Reads a site file: YAML, `${VAR}` and `${file:PATH}` secrets, environment overrides. Reports all problems at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from shared.camera_config import CameraConfig
from shared.config import LayoutConfig, SiteConfig
from shared.config_fields import Name
from shared.config_references import Secrets, every_secret, interpolated, keep_secrets, without_secrets
from shared.errors import ConfigError, LayoutError, Problem, hide, redact
from shared.site_layout import site_layout
from shared.yaml_file import Path_, dotted, read_yaml

ENV_PREFIX = "MTMC__"
_SHOWN_CHARACTERS = 80
_SECRET_KEYS = frozenset({"password", "redis"})
"""The values of these keys, and all values below them, are never shown."""
_CREDENTIALS = re.compile(r"[^\s/:@]*:[^\s@]*@")
_NAMES: TypeAdapter[list[str]] = TypeAdapter(list[Name])
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "there is no such setting; see `mtmc config schema`",
    "model_type": "must be a mapping of settings",
    "dict_type": "must be a mapping of settings",
    "tuple_type": "must be a list",
    "string_type": "must be text; put it in quotes",
    "string_pattern_mismatch": "must consist of letters, digits, '.', '_' and '-', and begin with a letter or a digit",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
"""pydantic's error type → our message, for errors whose own message is in terms of Python."""


def read_site_file(path: Path, environment: Mapping[str, str], *, check_files: bool = True) -> SiteConfig:
    """The validated site of the file `path`, with the overrides in `environment`.

    Overrides are variables such as `MTMC__CLOCK__TARGET_FPS=10` or `MTMC__CAMERAS__0__SOURCE=/dev/video0`; lists and
    mappings are written as YAML: `MTMC__DETECTOR__CLASSES=[car, truck]`. Like the file, they may contain `${…}`. With
    `check_files`, every file that the site names must exist.

    Raises:
        ConfigError: the site is invalid; carries every problem found.
    """
    problems: list[Problem] = []
    return site_from(read_yaml(path, problems), path, environment, check_files=check_files, known=problems)


def site_from(
    written: dict[str, Any],
    path: Path,
    environment: Mapping[str, str],
    *,
    check_files: bool = True,
    all_secrets: bool = True,
    known: Sequence[Problem] = (),
) -> SiteConfig:
    """The validated site of the settings `written`, as read from `path`; otherwise like `read_site_file`.

    Without `all_secrets`, a `${…}` that cannot be resolved is left unchanged, except in the section `redis`: commands
    that only look at a running site do not need the passwords of its cameras.

    Raises:
        ConfigError: the site is invalid; carries every problem found, the `known` ones first.
    """
    problems = list(known)
    data = _copied(written)
    overridden = _override(data, environment, problems)

    def where(location: Path_) -> str:
        for key, name in overridden.items():
            if location[: len(key)] == key or (key[: len(location)] == location and not _is_section(written, location)):
                return name
        return str(path)

    unset: list[Problem] = []
    secrets: Secrets = {}
    data = interpolated(data, (), path.parent, environment, where, unset, secrets)
    if isinstance(cameras := data.get("cameras"), list):
        for i, camera in enumerate(cameras):
            keep_secrets(camera, {at[2:]: values for at, values in secrets.items() if at[:2] == ("cameras", i)})
    needed = [problem for problem in unset if all_secrets or problem.key.startswith("redis.")]
    site: SiteConfig | None = None
    try:
        site = SiteConfig.model_validate(data, context={"base": path.parent.resolve(), "check_files": check_files})
        problems += needed
    except ValidationError as error:
        problems += [*unset, *_found(error, data, where, {problem.key for problem in (*problems, *unset)}, secrets)]
    problems += _unknown_cameras_in_layout(data, where, {problem.key for problem in problems})
    if site is not None and check_files:
        problems += _layout_file_problems(site, where)
    if problems or site is None:
        raise ConfigError(without_secrets(problems, secrets))
    return site


def camera_from(
    written: dict[str, Any], where: str, base: Path, environment: Mapping[str, str] | None, *, check_files: bool = True
) -> CameraConfig:
    """The validated camera of the settings `written`; paths in them are relative to the folder `base`.

    `environment`: for references such as `${VAR}`; None: there are none, and `${` is ordinary text.

    Raises:
        ConfigError: the camera is invalid; carries every problem found, with `where` as their place.
    """
    problems: list[Problem] = []
    secrets: Secrets = {}
    data = written
    if environment is not None:
        data = interpolated(written, (), base, environment, lambda _: where, problems, secrets)
        keep_secrets(data, secrets)
    unresolved = {problem.key for problem in problems}
    try:
        camera = CameraConfig.model_validate(data, context={"base": base.resolve(), "check_files": check_files})
    except ValidationError as error:
        found = _found(error, data, lambda _: where, unresolved, secrets)
        raise ConfigError(without_secrets([*problems, *found], secrets)) from None
    if problems:
        raise ConfigError(problems)
    return camera


def overridden_settings(path: Path, environment: Mapping[str, str]) -> dict[Path_, str]:
    """The settings of the file `path` that the environment overrides: setting → variable."""
    return _override(_copied(read_yaml(path, [])), environment, [])


def _found(
    error: ValidationError,
    data: Any,
    where: Callable[[Path_], str],
    unresolved: Collection[str],
    secrets: Secrets,
) -> list[Problem]:
    """The problems that pydantic found, except in settings that are `unresolved` already."""
    found: dict[Path_, Problem] = {}
    hidden = every_secret(secrets)
    for item in error.errors(include_url=False):
        location = _place(item["loc"], data)
        # A setting of two possible types fails once per type. A list of only invalid items is also reported as empty.
        reported = any(key[: len(location)] == location for key in found)
        if not reported and dotted(location) not in unresolved:
            found[location] = _problem(
                where(location), location, item["type"], hide(item["msg"], hidden), item["input"], hidden
            )
    return list(found.values())


def _unknown_cameras_in_layout(
    data: dict[str, Any], where: Callable[[Path_], str], unresolved: Collection[str]
) -> list[Problem]:
    """Cameras that the layout names and the site does not have; reads the raw settings, which may have other errors."""
    try:
        names = _NAMES.validate_python([camera["name"] for camera in data.get("cameras") or ()])
        layout = LayoutConfig.model_validate(data.get("layout") or {})
    except (KeyError, TypeError, ValidationError):
        return []  # Reported already. While a camera name is invalid, the list of names is not reliable.
    named: list[tuple[Path_, str]] = [
        (("layout", "overlaps", i, j), camera)
        for i, group in enumerate(layout.overlaps)
        for j, camera in enumerate(group)
    ]
    for i, step in enumerate(layout.transitions):
        named.append((("layout", "transitions", i, "from"), step.from_camera))
        named.append((("layout", "transitions", i, "to"), step.to_camera))
    known = ", ".join(names) or "none"
    return [
        Problem(where(at), dotted(at), masked(camera), f"there is no such camera; the site has {known}")
        for at, camera in named
        if camera not in names and dotted(at) not in unresolved
    ]


def _layout_file_problems(site: SiteConfig, where: Callable[[Path_], str]) -> list[Problem]:
    if site.layout is None or site.layout.file is None:
        return []
    try:
        site_layout(site)
    except LayoutError as error:
        location = ("layout", "file")
        return [Problem(where(location), dotted(location), "", str(error))]
    return []


def _override(data: dict[str, Any], environment: Mapping[str, str], problems: list[Problem]) -> dict[Path_, str]:
    """Applies every `MTMC__…` variable to `data`; returns setting → variable."""
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
        target[location[-1]] = setting_value(environment[name])
        overridden[location] = name
    return overridden


def _copied(value: Any) -> Any:
    """A deep copy in which nothing is shared, so that overriding an anchor's value does not change its aliases."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _is_section(data: Any, location: Path_) -> bool:
    """Whether the value of `data` at `location` is a mapping or a list."""
    for part in location:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return False
    return isinstance(data, dict | list)


def setting_value(text: str) -> Any:
    """Parses a setting from outside a file: lists, mappings and null are YAML; everything else remains text.

    Validation later converts text to a number where needed, so a password of digits remains text.
    """
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return value if isinstance(value, list | dict) or text.strip() in ("null", "~") else text


def _descend(data: Any, parts: list[str]) -> Iterator[str | int]:
    """Walks `parts` through `data` and creates missing mappings; stops at a value that cannot be entered."""
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


def _place(location: Path_, data: Any) -> Path_:
    """`location` limited to keys that exist in `data`: pydantic appends names of the types of a union."""
    for i, part in enumerate(location):
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return location[:i]
    return location


def _problem(where: str, location: Path_, kind: str, message: str, value: Any, hidden: Collection[str]) -> Problem:
    key = dotted(location)
    message = _MESSAGES.get(kind, message.removeprefix("Value error, "))
    if kind in ("missing", "extra_forbidden") or isinstance(value, dict | list | tuple):
        return Problem(where, key, "", masked(message))
    shown = "***" if _SECRET_KEYS.intersection(str(part) for part in location) else masked(hide(str(value), hidden))
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "…"
    return Problem(where, key, shown, masked(message))


def without_credentials(source: str) -> str:
    """A source or URL without its user and password, even if a typo makes it look like a path."""
    return redact(source) if "://" in source else masked(source)


def masked(text: str) -> str:
    """`text` without anything that may be a user and password, also in a URL with a typo (`rtsp:/u:p@host`)."""
    return _CREDENTIALS.sub("***@", redact(text))
