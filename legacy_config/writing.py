"""Writes a conversion as the text of a site file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from legacy_config.conversion import Conversion
from shared.yaml_file import Path_

_ORDER = ("site", "cameras", "detector", "embedder", "tracker", "association", "clock", "layout", "streamer", "worker")
_NO_WRAPPING = 1 << 30


class _Dumper(yaml.SafeDumper):
    """Writes lists of plain values on one line, everything else in block style, with list items indented."""

    def represent_values(self, values: list[Any]) -> yaml.Node:
        plain = not any(isinstance(value, list | dict) for value in values)
        return self.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=plain)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


_Dumper.add_representer(list, _Dumper.represent_values)


def converted_site_text(conversion: Conversion, source: Path, folder: Path | None = None) -> str:
    """The text of a site file equivalent to `source`, with a comment on each value that differs.

    Paths that were relative in `source` become relative to `folder`, the folder of the new file; None: absolute.
    """
    site = {name: conversion.site[name] for name in _ORDER if name in conversion.site}
    if folder is not None:
        site = deepcopy(site)
        for *around, name in conversion.relative:
            section: Any = site
            for part in around:
                section = section[part]
            section[name] = relative_to(Path(section[name]), folder)
    text = yaml.dump(site, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NO_WRAPPING)
    root = yaml.compose(text, yaml.SafeLoader)
    lines = text.splitlines()
    for location, line in _last_lines(root) if root is not None else ():
        if location in conversion.comments:
            lines[line] += f"  # {conversion.comments[location]}"
    head = [
        f"# Converted from {source.name} by `mtmc config import`; docs/from-run-live-mtmc.md lists the differences."
    ]
    if conversion.findings.ignored:
        head.append(f"# Ignored keys: {', '.join(conversion.findings.ignored)}")
    return "\n".join([*head, "", *lines, ""])


def relative_to(path: Path, folder: Path) -> str:
    """`path` relative to `folder`; absolute if they have only the root in common."""
    start, target = folder.resolve(), path.parent.resolve() / path.name
    if os.path.commonpath([start, target]) == os.sep:
        return str(target)
    return os.path.relpath(target, start)


def _last_lines(node: yaml.Node, at: Path_ = ()) -> Iterator[tuple[Path_, int]]:
    """Each setting, and the number of the line that a comment on it can be appended to."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*at, key.value)
            block = isinstance(value, yaml.CollectionNode) and not value.flow_style
            yield inner, (key if block else value).end_mark.line
            yield from _last_lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield from _last_lines(item, (*at, i))
