"""Compares the running cameras with those of a site file. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shared.camera_config import CameraConfig
from shared.camera_settings import Settings


@dataclass(frozen=True)
class CameraChanges:
    """Camera → its change: `added`, `removed`, `paused`, `resumed` or `changed`; sorted by name."""

    by_camera: dict[str, str]

    def __bool__(self) -> bool:
        return bool(self.by_camera)

    def __str__(self) -> str:
        return ", ".join(f"{camera} {done}" for camera, done in self.by_camera.items())

    @property
    def removed(self) -> list[str]:
        """The cameras that are in the file but not running."""
        return [camera for camera, done in self.by_camera.items() if done == "removed"]

    def among(self, cameras: Collection[str]) -> CameraChanges:
        """The changes of these `cameras` only."""
        return CameraChanges({camera: done for camera, done in self.by_camera.items() if camera in cameras})


def camera_changes(of_the_file: Sequence[CameraConfig], running: Settings) -> CameraChanges:
    """How the `running` cameras differ from those `of_the_file`, the site file."""
    before = {camera.name: camera for camera in of_the_file}
    found = {}
    for name in sorted({*before, *running}):
        if name not in running:
            found[name] = "removed"
        elif name not in before:
            found[name] = "added"
        elif running[name] != before[name]:
            found[name] = _difference(before[name], running[name])
    return CameraChanges(found)


def _difference(before: CameraConfig, now: CameraConfig | None) -> str:
    if now is None or now.model_copy(update={"paused": before.paused}) != before:
        return "changed"
    return "paused" if now.paused else "resumed"
