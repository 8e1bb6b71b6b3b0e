"""The references `${VAR}` and `${file:PATH}` in settings, and what must not be shown of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from shared.errors import Problem, hide
from shared.text_file import read_text
from shared.yaml_file import Path_, dotted

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?")
_SHORTEST_SECRET = 4
"""Shorter parts of a URL are numbers of channels and the like; hiding them would hide parts of other words."""
Secrets: TypeAlias = dict[Path_, set[str]]
"""Setting → what must not be shown of it."""


def interpolated(
    value: Any,
    at: Path_,
    base: Path,
    environment: Mapping[str, str],
    where: Callable[[Path_], str],
    problems: list[Problem],
    secrets: Secrets,
) -> Any:
    """`value` with every `${VAR}`, `${VAR:-default}` and `${file:PATH}` in its strings replaced.

    Args:
        value: a setting, or a section.
        at: its place in the configuration.
        base: folder of the files that are not given by an absolute path.
        environment: the variables.
        where: a setting → where it is written, for problems.
        problems: gets one for each reference that cannot be replaced; this one is left unchanged.
        secrets: gets what must not be shown of the replacements.
    """

    def inner(item: Any, key: str | int) -> Any:
        return interpolated(item, (*at, key), base, environment, where, problems, secrets)

    if isinstance(value, dict):
        return {key: inner(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [inner(item, i) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    replaced: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        reference = match.group(1)
        try:
            replaced[reference] = _referenced(reference, base, environment)
            return replaced[reference]
        except KeyError as error:
            name = reference.split(":-", 1)[0]  # The default value may be a secret too.
            problems.append(Problem(where(at), dotted(at), f"${{{name}}}", str(error.args[0])))
            return match.group(0)

    whole = _REFERENCE.sub(replace, value)
    if hidden := {part for reference, text in replaced.items() if (part := _secret_part(reference, text, whole))}:
        secrets[at] = hidden
    return whole


def _secret_part(reference: str, text: str, whole: str) -> str:
    """What must not be shown of the `text` that replaced a `reference` in the setting `whole`; may be empty.

    All of a file's content; of a variable only if it is part of a URL, because many variables are folders. The host of
    a URL is no secret, and its user and password are hidden everywhere.
    """
    scheme, separator, _ = text.partition("://")
    if separator and scheme.isalnum():
        path = _after_host(text)[1:].rstrip("/")
        return path if len(path) >= _SHORTEST_SECRET else ""
    if reference.startswith("file:"):
        return text
    is_in_path = text in _after_host(whole) and text not in whole.removesuffix(_after_host(whole)).rpartition("@")[2]
    return text if is_in_path and len(text) >= _SHORTEST_SECRET else ""


def _after_host(url: str) -> str:
    """Path, query and fragment of a URL; empty for other text."""
    found = re.match(r"[^:]*://[^/?#]*", url)
    return url[found.end() :] if found else ""


def keep_secrets(camera: Any, secrets: Secrets) -> None:
    """Stores the secrets of a camera in its settings, so that every reader knows what to hide."""
    if isinstance(camera, dict) and secrets:
        camera["secrets"] = sorted(every_secret(secrets))


def every_secret(secrets: Secrets) -> set[str]:
    """What must not be shown of any setting."""
    return set().union(*secrets.values())


def without_secrets(problems: Sequence[Problem], secrets: Secrets) -> list[Problem]:
    """The problems without any of the `secrets`."""
    every = every_secret(secrets)
    return [replace(one, value=hide(one.value, every), message=hide(one.message, every)) for one in problems]


def _referenced(reference: str, base: Path, environment: Mapping[str, str]) -> str:
    """The value of one `${reference}`; raises KeyError with a message for people."""
    if reference.startswith("file:"):
        secret = base / Path(reference.removeprefix("file:")).expanduser()
        try:
            return read_text(secret).strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise KeyError(f"cannot read {secret} ({reason}); write the secret there, or correct the path") from None
    match = _VARIABLE.fullmatch(reference)
    if match is None:
        raise KeyError("is not a valid reference; use ${VARIABLE}, ${VARIABLE:-default} or ${file:PATH}")
    name, default = match.groups()
    if name in environment:
        return environment[name]
    if default is None:
        raise KeyError(f"the environment variable {name} is not set; set it, or use ${{{name}:-default}}")
    return str(default)
