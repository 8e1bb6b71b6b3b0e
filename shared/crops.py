"""Deletes the crops of tracks whose identity an operator wants to be forgotten."""

from __future__ import annotations

from collections.abc import Iterable

from shared.keys import Keys
from shared.redis_connection import Client


def delete_crops(pictures: Client, keys: Keys, tracks: Iterable[tuple[str, int]]) -> None:
    """Deletes all crops of tracks, given as camera and track id, from the Redis for pictures.

    A field of `crops:{camera}` is the track id, alone or followed by a colon and more.

    Raises:
        RedisError: Redis is unreachable.
    """
    by_camera: dict[str, set[bytes]] = {}
    for camera, track_id in tracks:
        by_camera.setdefault(camera, set()).add(str(track_id).encode())
    for camera, track_ids in by_camera.items():
        key = keys.crops(camera)
        if pictures.type(key) not in (b"hash", b"none"):
            pictures.delete(key)  # another program has overwritten it
        found = [one for one in pictures.hkeys(key) if one.partition(b":")[0] in track_ids]
        if found:
            pictures.hdel(key, *found)
