"""The cameras of a running site: an operator adds, pauses, resumes and removes them, and processes follow.

Each change is one transaction that is tried again when another one came in between, so none gets lost. The changes last
until the site is published with other content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from shared.config import CameraConfig
from shared.errors import MtmcError
from shared.keys import Keys
from shared.redis_connection import Client

_OF_THE_OWNER = ("state", "owner", "error", "refused", "origin", "length")
"""What `camera:{camera}` says of the camera's last time; `seq` and `tick` go on where it comes back in time."""

Settings = Mapping[str, CameraConfig | None]
"""Camera → its settings, sorted by name; None where they cannot be read."""


def read_settings(client: Client, keys: Keys) -> Settings:
    """All cameras as they are set now."""
    found: dict[bytes, bytes] = client.hgetall(keys.cameras)
    return {name.decode(): _parsed(text) for name, text in sorted(found.items())}


def read_cameras(client: Client, keys: Keys) -> dict[str, CameraConfig]:
    """The cameras as they are set now, sorted by name; without those whose settings cannot be read."""
    return {name: camera for name, camera in read_settings(client, keys).items() if camera is not None}


def add_camera(client: Client, keys: Keys, camera: CameraConfig, *, origin_tick: int | None = None) -> bool:
    """Adds a camera; False when there is one of that name already.

    `origin_tick`: the tick at which its recording begins, in place of that of all recordings.
    """

    def add(there: Settings, pipe: Any) -> bool:
        if camera.name in there:
            return False
        queue_addition(pipe, keys, [camera])
        if origin_tick is not None:
            pipe.hset(keys.camera(camera.name), "origin", origin_tick)
        return True

    return bool(_change(client, keys, add))


def set_paused(client: Client, keys: Keys, names: Collection[str], *, paused: bool) -> list[str]:
    """Pauses or resumes cameras, all or none of them; the `names` that the site does not have, or cannot read."""

    def pause(there: Settings, pipe: Any) -> list[str]:
        unknown = [name for name in names if there.get(name) is None]
        for name in names if not unknown else ():
            camera = there[name]
            assert camera is not None
            pipe.hset(keys.cameras, name, camera.model_copy(update={"paused": paused}).model_dump_json(by_alias=True))
        return unknown

    return list(_change(client, keys, pause))


def remove_cameras(client: Client, keys: Keys, names: Collection[str], kept_seconds: float) -> list[str]:
    """Removes cameras, all or none of them; the `names` that the site does not have. See `queue_removal`.

    Raises:
        MtmcError: none would be left.
    """

    def remove(there: Settings, pipe: Any) -> list[str]:
        unknown = [name for name in names if name not in there]
        if not unknown and there.keys() <= set(names):
            raise MtmcError("a site has at least one camera; pause the last one, or stop the site")
        if not unknown:
            queue_removal(pipe, keys, names, kept_seconds)
        return unknown

    return list(_change(client, keys, remove))


def queue_addition(pipe: Any, keys: Keys, cameras: Iterable[CameraConfig]) -> None:
    """Queues the settings of cameras; what is left of an earlier time of theirs expires no more."""
    for camera in cameras:
        pipe.hset(keys.cameras, camera.name, camera.model_dump_json(by_alias=True))
        for key in _own_keys(keys, camera.name):
            pipe.persist(key)


def queue_removal(pipe: Any, keys: Keys, names: Iterable[str], kept_seconds: float) -> None:
    """Queues the removal of cameras, from which on nothing that their owners write is accepted.

    `kept_seconds`: so long an aggregator that is just being replaced can still read their tracks.
    """
    for name in names:
        role = f"camera:{name}"
        pipe.hdel(keys.cameras, name)
        pipe.delete(keys.lease(role))
        pipe.hincrby(keys.epochs, role, 1)  # The owner would take a lease that merely ran out up again.
        pipe.zrem(keys.seen, name)
        pipe.zrem(keys.marked_at, name)
        pipe.hdel(keys.camera(name), *_OF_THE_OWNER)
        for key in _own_keys(keys, name):
            pipe.expire(key, math.ceil(kept_seconds))


def _change(client: Client, keys: Keys, change: Callable[[Settings, Any], Any]) -> Any:
    """Runs `change(what is there, transaction)`, again if somebody else changed a camera meanwhile."""

    def attempt(pipe: Any) -> Any:
        there = read_settings(pipe, keys)
        pipe.multi()
        return change(there, pipe)

    return client.transaction(attempt, keys.cameras, value_from_callable=True)


def _own_keys(keys: Keys, camera: str) -> tuple[str, ...]:
    return keys.camera(camera), keys.tracks(camera), keys.gids(camera)


def _parsed(text: bytes) -> CameraConfig | None:
    try:
        return CameraConfig.model_validate_json(text)
    except ValidationError:
        return None
