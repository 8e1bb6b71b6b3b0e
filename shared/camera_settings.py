"""The cameras of a running site: an operator adds, changes, pauses, resumes and removes them while the processes run.

Each change is one transaction, which is retried if another change came in between, so none is lost. It also records who
asked for it (`shared/camera_record.py`), if that is given. The changes last until the site is published with different
content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.camera_calibrations import NO_CALIBRATION, calibration_text
from shared.camera_config import CameraConfig
from shared.camera_record import Asked, ChangeRecord, Note
from shared.config_fields import Name
from shared.keys import Keys
from shared.lenient_reads import hash_at
from shared.redis_connection import Client
from shared.scripts import Scripts

_OWNER_FIELDS = ("state", "owner", "error", "fault", "moved", "moved_settings", "refused", "origin", "length")
"""The fields of `camera:{camera}` that are deleted with the camera. `seq` and `tick` continue if it is added again."""

MOST_BYTES = 2**18
"""Of the settings of a camera; no valid ones are so large."""
_NAME: TypeAdapter[str] = TypeAdapter(Name)

Settings = Mapping[str, CameraConfig | None]
"""Camera → its settings, sorted by name; None where they cannot be read."""


def read_settings(client: Client, keys: Keys) -> Settings:
    """The present settings of all cameras."""
    found = hash_at(client, keys.cameras)
    return {name: parse_settings(name, found[name.encode()]) for name in camera_names(found)}


def camera_names(found: Iterable[bytes]) -> list[str]:
    """The names among the fields of the hash `cameras` that a camera can have, sorted; others cannot be used."""
    return sorted(name for field in found if (name := _camera_name(field)) is not None)


def _camera_name(field: bytes) -> str | None:
    try:
        return _NAME.validate_python(field.decode())
    except ValueError:
        return None


def read_cameras(client: Client, keys: Keys) -> dict[str, CameraConfig]:
    """The present settings of all cameras whose settings can be read, sorted by name."""
    return {name: camera for name, camera in read_settings(client, keys).items() if camera is not None}


def add_camera(
    client: Client, keys: Keys, camera: CameraConfig, *, origin_tick: int | None = None, asked: Asked | None = None
) -> bool:
    """Adds a camera; returns False if one of that name exists already.

    `origin_tick`: the tick at which its file begins; None: the common tick of all files.

    Raises:
        CarriedOut: the same request was carried out before.
        CommandsFull: too many notes wait for the aggregator.
        InvalidCommand: `asked` cannot be recorded.
    """

    def add(present: Settings, pipe: Any) -> tuple[bool, list[Note]]:
        if camera.name in present:
            return False, []
        queue_addition(pipe, keys, [camera])
        if origin_tick is not None:
            pipe.hset(keys.camera(camera.name), "origin", origin_tick)
        note = Note.of("camera_added", camera.name, camera)
        return True, [replace(note, calibration=calibration_text(camera)) if camera.calibration_points else note]

    return bool(_change(client, keys, asked, add))


def change_camera(
    client: Client,
    keys: Keys,
    name: str,
    changed: Callable[[CameraConfig], CameraConfig],
    *,
    asked: Asked | None = None,
) -> tuple[CameraConfig, CameraConfig] | None:
    """Changes the settings of a camera to what `changed` makes of the present ones; the settings before and after.

    None: it is unknown, or its settings cannot be read. `changed` may be called again, if another change came first,
    and may raise: then nothing is changed. It must keep the name.

    Raises:
        CarriedOut, CommandsFull, InvalidCommand: as for `add_camera`.
    """

    def change(present: Settings, pipe: Any) -> tuple[tuple[CameraConfig, CameraConfig] | None, list[Note]]:
        before = present.get(name)
        if before is None:
            return None, []
        after = changed(before)
        notes = _differences(before, after)
        if notes:
            _queue_settings(pipe, keys, after)
        return (before, after), notes

    found: tuple[CameraConfig, CameraConfig] | None = _change(client, keys, asked, change)
    return found


def _differences(before: CameraConfig, after: CameraConfig) -> list[Note]:
    names = [name for name in CameraConfig.model_fields if getattr(before, name) != getattr(after, name)]
    notes = []
    if others := tuple(name for name in names if name not in ("paused", "secrets")):
        calibration = calibration_text(after) if "calibration_points" in others else ""
        notes.append(Note("camera_changed", after.name, after.title or "", others, calibration))
    if "paused" in names:
        notes.append(Note.of("camera_paused" if after.paused else "camera_resumed", after.name, after))
    return notes


def set_paused(
    client: Client, keys: Keys, names: Collection[str], *, paused: bool, asked: Asked | None = None
) -> list[str]:
    """Pauses or resumes all of the cameras, or none of them if any is unknown or unreadable; returns those `names`.

    Raises:
        CarriedOut, CommandsFull, InvalidCommand: as for `add_camera`.
    """

    def pause(present: Settings, pipe: Any) -> tuple[list[str], list[Note]]:
        unknown = [name for name in names if present.get(name) is None]
        notes = []
        for name in names if not unknown else ():
            camera = present[name]
            assert camera is not None
            changed = camera.model_copy(update={"paused": paused})
            _queue_settings(pipe, keys, changed)
            notes += _differences(camera, changed)
        return unknown, notes

    return list(_change(client, keys, asked, pause))


def _queue_settings(pipe: Any, keys: Keys, camera: CameraConfig) -> None:
    pipe.hset(keys.cameras, camera.name, camera.model_dump_json(by_alias=True))
    if camera.paused:  # A person has looked at it.
        pipe.hdel(keys.camera(camera.name), "moved", "moved_settings")


def remove_cameras(
    client: Client, keys: Keys, names: Collection[str], kept_seconds: float, *, asked: Asked | None = None
) -> list[str]:
    """Removes all of the cameras, or none of them if any is unknown; returns the unknown `names`.

    `kept_seconds`: see `queue_removal`.

    Raises:
        CarriedOut, CommandsFull, InvalidCommand: as for `add_camera`.
    """

    def remove(present: Settings, pipe: Any) -> tuple[list[str], list[Note]]:
        unknown = [name for name in names if name not in present]
        if unknown:
            return unknown, []
        queue_removal(pipe, keys, names, kept_seconds)
        if present.keys() <= set(names):
            pipe.set(keys.no_cameras, 1)
        return [], [_removal(name, present[name]) for name in names]

    return list(_change(client, keys, asked, remove))


def _removal(name: str, camera: CameraConfig | None) -> Note:
    note = Note.of("camera_removed", name, camera)
    return replace(note, calibration=NO_CALIBRATION) if camera and camera.calibration_points else note


def queue_addition(pipe: Any, keys: Keys, cameras: Iterable[CameraConfig]) -> None:
    """Queues writing the settings of cameras; keys left from before a removal no longer expire."""
    pipe.delete(keys.no_cameras)
    for camera in cameras:
        pipe.hset(keys.cameras, camera.name, camera.model_dump_json(by_alias=True))
        for key in _own_keys(keys, camera.name):
            pipe.persist(key)


def queue_removal(pipe: Any, keys: Keys, names: Iterable[str], kept_seconds: float) -> None:
    """Queues the removal of cameras; afterwards, writes of their owners are rejected.

    `kept_seconds`: after this long their tracks expire; until then a new aggregator can still read them.
    """
    scripts = Scripts(pipe)
    for name in names:
        role = f"camera:{name}"
        pipe.hdel(keys.cameras, name)
        scripts.run("leases", [keys.lease(role), keys.epochs], ["forget", role], pipe)
        pipe.zrem(keys.seen, name)
        pipe.zrem(keys.marked_at, name)
        pipe.hdel(keys.camera(name), *_OWNER_FIELDS)
        for key in _own_keys(keys, name):
            pipe.expire(key, math.ceil(kept_seconds))


def _change(
    client: Client, keys: Keys, asked: Asked | None, change: Callable[[Settings, Any], tuple[Any, list[Note]]]
) -> Any:
    """Runs `change(present settings, transaction)`, and retries it if a camera was changed meanwhile.

    Returns its first result; the second one is recorded.
    """

    def attempt(pipe: Any) -> Any:
        present = read_settings(pipe, keys)
        record = None if asked is None else ChangeRecord(pipe, keys, asked)
        pipe.multi()
        result, notes = change(present, pipe)
        if record is not None:
            record.queue(notes)
        return result

    watched = [keys.cameras] if asked is None else [keys.cameras, keys.command(asked.id)]
    return client.transaction(attempt, *watched, value_from_callable=True)


def _own_keys(keys: Keys, camera: str) -> tuple[str, ...]:
    return keys.camera(camera), keys.tracks(camera), keys.gids(camera)


def parse_settings(name: str, text: bytes) -> CameraConfig | None:
    """The settings of the camera `name`; None if they cannot be read, or are those of another camera."""
    if len(text) > MOST_BYTES:
        return None
    try:
        camera = CameraConfig.model_validate_json(text)
    except ValidationError:
        return None
    return camera if camera.name == name else None
