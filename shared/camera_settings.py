"""The cameras of a running site: an operator adds, pauses, resumes and removes them while the processes run.

Each change is one transaction, which is retried if another change came in between, so none is lost. The changes last
until the site is published with different content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.config import CameraConfig, Name
from shared.errors import MtmcError
from shared.keys import Keys
from shared.lenient_reads import hash_at
from shared.redis_connection import Client
from shared.scripts import Scripts

_OWNER_FIELDS = ("state", "owner", "error", "fault", "moved", "moved_settings", "refused", "origin", "length")
"""The fields of `camera:{camera}` that are deleted with the camera. `seq` and `tick` continue if it is added again."""

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


def add_camera(client: Client, keys: Keys, camera: CameraConfig, *, origin_tick: int | None = None) -> bool:
    """Adds a camera; returns False if one of that name exists already.

    `origin_tick`: the tick at which its file begins; None: the common tick of all files.
    """

    def add(present: Settings, pipe: Any) -> bool:
        if camera.name in present:
            return False
        queue_addition(pipe, keys, [camera])
        if origin_tick is not None:
            pipe.hset(keys.camera(camera.name), "origin", origin_tick)
        return True

    return bool(_change(client, keys, add))


def set_paused(client: Client, keys: Keys, names: Collection[str], *, paused: bool) -> list[str]:
    """Pauses or resumes all of the cameras, or none of them if any is unknown or unreadable; returns those `names`."""

    def pause(present: Settings, pipe: Any) -> list[str]:
        unknown = [name for name in names if present.get(name) is None]
        for name in names if not unknown else ():
            camera = present[name]
            assert camera is not None
            pipe.hset(keys.cameras, name, camera.model_copy(update={"paused": paused}).model_dump_json(by_alias=True))
            if paused:  # A person has looked at it.
                pipe.hdel(keys.camera(name), "moved", "moved_settings")
        return unknown

    return list(_change(client, keys, pause))


def remove_cameras(client: Client, keys: Keys, names: Collection[str], kept_seconds: float) -> list[str]:
    """Removes all of the cameras, or none of them if any is unknown; returns the unknown `names`.

    `kept_seconds`: see `queue_removal`.

    Raises:
        MtmcError: no camera would be left.
    """

    def remove(present: Settings, pipe: Any) -> list[str]:
        unknown = [name for name in names if name not in present]
        if not unknown and present.keys() <= set(names):
            raise MtmcError("a site needs at least one camera; pause the last one, or stop the site")
        if not unknown:
            queue_removal(pipe, keys, names, kept_seconds)
        return unknown

    return list(_change(client, keys, remove))


def queue_addition(pipe: Any, keys: Keys, cameras: Iterable[CameraConfig]) -> None:
    """Queues writing the settings of cameras; keys left from before a removal no longer expire."""
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


def _change(client: Client, keys: Keys, change: Callable[[Settings, Any], Any]) -> Any:
    """Runs `change(present settings, transaction)`, and retries it if a camera was changed meanwhile."""

    def attempt(pipe: Any) -> Any:
        present = read_settings(pipe, keys)
        pipe.multi()
        return change(present, pipe)

    return client.transaction(attempt, keys.cameras, value_from_callable=True)


def _own_keys(keys: Keys, camera: str) -> tuple[str, ...]:
    return keys.camera(camera), keys.tracks(camera), keys.gids(camera)


def parse_settings(name: str, text: bytes) -> CameraConfig | None:
    """The settings of the camera `name`; None if they cannot be read, or are those of another camera."""
    try:
        camera = CameraConfig.model_validate_json(text)
    except ValidationError:
        return None
    return camera if camera.name == name else None
