"""The wire format of `crops:{camera}`: the best and the newest crop of each track, written by workers.

The hash has, for each track, the field `{track_id}` with JSON that describes its crops, and the fields
`{track_id}:best` and `{track_id}:newest` with their JPEGs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shared.keys import Keys
from shared.lenient_reads import field_names_at, fields_at
from shared.lenient_values import whole
from shared.redis_connection import Client

Which = Literal["best", "newest"]
MOST_TRACKS = 64
"""Tracks of one camera whose crops are kept."""
MOST_BYTES = 16 * 1024
"""Of one JPEG."""
MOST_BYTES_OF_A_CAMERA = MOST_TRACKS * (2 * MOST_BYTES + 512)
"""The crops of a camera with their descriptions; more than Redis needs for them in practice."""
_JPEG_BEGINS_WITH = b"\xff\xd8"
_INT64 = range(2**63)


@dataclass(frozen=True)
class CropInfo:
    """One crop."""

    tick: int
    time_ns: int
    """Site time of its picture."""
    width: int
    """Pixels of the JPEG, like `height`."""
    height: int
    quality: float
    """How well the box shows the object's appearance, 0 to 1."""
    bytes: int
    """Size of the JPEG."""


@dataclass(frozen=True)
class TrackCrops:
    """The crops of one track."""

    best: CropInfo
    """The one with the highest quality."""
    newest: CropInfo

    def encode(self) -> str:
        """The field `{track_id}`."""
        return json.dumps({"best": asdict(self.best), "newest": asdict(self.newest)}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: bytes | None) -> TrackCrops | None:
        """The reverse of `encode`; None if it cannot be read."""
        try:
            content = json.loads(text or b"null")
            return cls(_info(content["best"]), _info(content["newest"]))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None


def _info(content: Mapping[str, Any]) -> CropInfo:
    numbers = {name: content[name] for name in ("tick", "time_ns", "width", "height", "bytes")}
    if not all(type(value) is int and value in _INT64 for value in numbers.values()):
        raise ValueError
    quality = float(content["quality"])
    if not math.isfinite(quality):
        raise ValueError
    return CropInfo(quality=quality, **numbers)


def jpeg_field(track_id: int, which: Which) -> str:
    """The field with the JPEG of a crop."""
    return f"{track_id}:{which}"


def fields_of(track_id: int) -> tuple[str, ...]:
    """All fields of a track."""
    return (str(track_id), jpeg_field(track_id, "best"), jpeg_field(track_id, "newest"))


def tracks_with_crops(client: Client, keys: Keys, camera: str) -> list[int]:
    """The tracks of a camera that have crops, highest track id first, which is the newest track.

    Raises:
        RedisError: Redis is unreachable.
    """
    names = (whole(name) for name in field_names_at(client, keys.crops(camera)))
    return sorted((track_id for track_id in names if track_id is not None and track_id >= 0), reverse=True)


def read_crops(client: Client, keys: Keys, camera: str, track_ids: Sequence[int]) -> dict[int, TrackCrops]:
    """The descriptions of the crops of some tracks; tracks without crops are left out.

    Raises:
        RedisError: Redis is unreachable.
    """
    texts = fields_at(client, keys.crops(camera), [str(track_id) for track_id in track_ids])
    return _known(zip(track_ids, map(TrackCrops.decode, texts), strict=True))


def _known(found: Iterable[tuple[int, TrackCrops | None]]) -> dict[int, TrackCrops]:
    return {track_id: crops for track_id, crops in found if crops is not None}


def read_jpeg(client: Client, keys: Keys, camera: str, track_id: int, which: Which) -> bytes | None:
    """The JPEG of a crop; None if there is none.

    Raises:
        RedisError: Redis is unreachable.
    """
    (jpeg,) = fields_at(client, keys.crops(camera), [jpeg_field(track_id, which)])
    return jpeg if jpeg is not None and jpeg.startswith(_JPEG_BEGINS_WITH) else None


def delete_crops(pictures: Client, keys: Keys, tracks: Iterable[tuple[str, int]]) -> None:
    """Deletes all crops of tracks, given as camera and track id, from the Redis for pictures.

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
