"""Reads the keys of a `run_live_mtmc.py` configuration, and checks their names and types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from legacy_config.keys import CAMERA_IGNORED, CAMERA_USED, IGNORED, SECTIONS, USED, ValueKind, decoded, meant
from shared.config_file import masked
from shared.errors import Problem


@dataclass
class Findings:
    """Problems and notes about a configuration."""

    file: Path
    problems: list[Problem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Keys without a counterpart in a site file."""
    notes: list[str] = field(default_factory=list)

    def problem(self, key: str, value: Any, message: str) -> None:
        shown = "" if isinstance(value, dict | list) else masked(str(value))
        self.problems.append(Problem(str(self.file), key, shown, masked(message)))

    def has_problem(self, key: str) -> bool:
        """Whether a problem with this key is already recorded."""
        return any(problem.key == key for problem in self.problems)

    def ignore(self, key: str) -> None:
        if key not in self.ignored:
            self.ignored.append(key)

    def fits(self, kind: ValueKind, key: str, value: Any) -> bool:
        """Whether `value` is of this `kind`; records a problem if not."""
        if not kind.fits(value):
            self.problem(key, value, kind.requirement)
            return False
        return True


def read_keys(written: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """`SECTION.KEY` → value, for every key that is used, set, and of the right type."""
    known = {*USED, *IGNORED, *SECTIONS}
    values = {}
    for key, value in _flat(written, findings).items():
        value = decoded(value)
        if key in IGNORED:
            findings.ignore(key)
        elif key not in USED:
            findings.problem(key, "", f"run_live_mtmc.py has no such key; {meant(key, known)}")
        elif value is not None and findings.fits(USED[key].kind, key, value):
            values[key] = value
    return values


def read_camera(camera: Any, key: str, findings: Findings) -> dict[str, Any]:
    """The valid settings of one entry of `EXPRESS.CAMERAS`; `key` is its name in problems."""
    if not isinstance(camera, dict):
        findings.problem(key, camera, "must be a mapping with at least the key 'video'")
        return {}
    values = {}
    for name, value in camera.items():
        if name in CAMERA_IGNORED:
            findings.ignore(f"EXPRESS.CAMERAS.*.{name}")
        elif name not in CAMERA_USED:
            known = {*CAMERA_USED, *CAMERA_IGNORED}
            findings.problem(f"{key}.{name}", "", f"a camera has no such key; {meant(str(name), known)}")
        elif value not in (None, "", "None") and findings.fits(CAMERA_USED[name], f"{key}.{name}", value):
            values[name] = value
    if "video" not in values and not findings.has_problem(f"{key}.video"):
        findings.problem(f"{key}.video", "", "is required: the path of a video file, or a URL")
    return values


def _flat(written: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in written.items():
        if name not in SECTIONS:
            flat[str(name)] = value
        elif isinstance(value, dict):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        elif value is not None:
            findings.problem(name, value, "must be a mapping of keys")
    return flat
