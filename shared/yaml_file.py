"""Reads a YAML file of settings strictly: duplicate keys are errors, and no error message quotes the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from shared.errors import ConfigError, Problem
from shared.text_file import read_text

_QUOTED = re.compile(r"'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"")

Path_: TypeAlias = tuple[str | int, ...]
"""The place of a setting: keys and list indices."""


def dotted(location: Path_) -> str:
    """`("cameras", 2, "source")` as `cameras.2.source`."""
    return ".".join(str(part) for part in location)


def read_yaml(path: Path, problems: list[Problem]) -> dict[str, Any]:
    """The mapping in the file `path`; duplicate keys are added to `problems`.

    Raises:
        ConfigError: the file cannot be read or parsed.
    """

    def refuse(message: str) -> ConfigError:
        return ConfigError([*problems, Problem(str(path), "", "", message)])

    try:
        text = read_text(path)
    except FileNotFoundError:
        raise refuse("there is no such file; give the path of the site's YAML file") from None
    except IsADirectoryError:
        raise refuse("is a folder; give the path of the site's YAML file in it") from None
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise refuse(f"cannot be read ({error.strerror}); use a file that this user may read") from None
    try:
        data = _parsed(text, path, problems)
    except yaml.YAMLError as error:
        raise refuse(f"is not valid YAML: {_yaml_reason(error)}") from None
    except ValueError as error:  # for example a date such as 31 February
        raise refuse(f"is not valid YAML: {error}") from None
    except RecursionError:
        raise refuse("is nested too deeply") from None
    if not isinstance(data, dict):
        raise refuse("contains no settings; it must be a mapping with at least site, detector, embedder and cameras")
    return data


def _parsed(text: str, path: Path, problems: list[Problem]) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check_nodes(root, (), str(path), problems, [])
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _check_nodes(node: yaml.Node, at: Path_, where: str, problems: list[Problem], inside: list[yaml.Node]) -> None:
    """Adds every duplicate key of a mapping to `problems`; YAML readers silently use the last one.

    Raises:
        yaml.YAMLError: a node contains itself.
    """
    if node in inside:
        raise yaml.composer.ComposerError(problem="an anchor refers to itself", problem_mark=node.start_mark)
    inside = [*inside, node]
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _check_nodes(item, (*at, i), where, problems, inside)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, item in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines and key.tag != "tag:yaml.org,2002:merge":
            message = f"is set twice, in lines {lines[name]} and {line}; remove one"
            problems.append(Problem(where, dotted((*at, name)), "", message))
        lines[name] = line
        _check_nodes(item, (*at, name), where, problems, inside)


def _yaml_reason(error: yaml.YAMLError) -> str:
    """What is wrong and where, without quoting the file, which may contain secrets."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return "it contains a character that is not allowed in text"
    reason = _QUOTED.sub(_shortened, error.problem or error.context or "it cannot be parsed")
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {reason}" if mark else reason


def _shortened(quoted: re.Match[str]) -> str:
    """Keeps a quoted token of YAML's grammar, such as `','` or `'<block end>'`; other text comes from the file."""
    text = quoted["single"] or quoted["double"] or ""
    return quoted.group() if len(text) < 2 or text.startswith(("<", "\\")) else "'…'"
