"""Cuts out, encodes and publishes crops of tracks on its own thread, so that tracking never waits for it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt
import structlog
from redis.exceptions import RedisError

from shared.crops import (
    MOST_BYTES,
    MOST_TRACKS,
    CropInfo,
    TrackCrops,
    fields_of,
    jpeg_field,
    read_crops,
    tracks_with_crops,
)
from shared.keys import Keys
from shared.lenient_reads import field_names_at, is_wrong_type
from shared.redis_connection import Client

_log = structlog.get_logger()
LONGEST_SIDE = 192
"""Of a crop, pixels; larger ones are scaled down. Enough to recognise an object, and a few kB as JPEG."""
_SHORTEST_SIDE = 8
"""Smaller boxes show nothing."""
_JPEG_QUALITIES = (80, 50, 25)
"""The first with which a crop has at most `MOST_BYTES` is used."""
_WARN_EVERY_S = 60.0


class CropDropReason(StrEnum):
    """Why a crop was not published; a label of the metrics."""

    REPLACED = "replaced"
    """The crops of a newer picture of the camera were ready first."""
    ENCODING = "encoding"
    """OpenCV could not encode it, or it is too large."""
    REDIS = "redis"
    """Redis was unreachable, or refused."""
    ERROR = "error"


@dataclass(frozen=True)
class Crops:
    """What to cut out of one picture of a camera."""

    camera: str
    tick: int
    time_ns: int
    image: npt.NDArray[np.uint8]
    """`(H, W, 3)` uint8 BGR, without annotations."""
    track_ids: Sequence[int]
    boxes_xyxy: npt.NDArray[np.float32]
    """`(n, 4)`, pixels of `image`."""
    qualities: Sequence[float]
    """0 to 1: how well each box shows its object."""


@dataclass(frozen=True)
class _Cut:
    info: CropInfo
    jpeg: bytes


class CropPublisher:
    """Keeps at most the crops of one picture per camera waiting: newer ones replace them, and the drop is counted."""

    def __init__(self, client: Client, keys: Keys, retention_seconds: float) -> None:
        """`client`: of the Redis for pictures. `retention_seconds`: crops are kept this long after the last one of
        their track.
        """
        self._client, self._keys = client, keys
        self._retention_ns = round(retention_seconds * 1e9)
        self._expires_s = max(1, math.ceil(retention_seconds))
        self._kept: dict[str, dict[int, TrackCrops]] = {}
        """What `crops:{camera}` has; a camera that is missing has to be read first. Used by the thread only."""
        self._waiting: dict[str, Crops] = {}
        self._forgotten: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._warn_at_s = 0.0
        self.published = 0
        self.dropped = dict.fromkeys(CropDropReason, 0)
        """Crops that were not published, by reason."""
        self._thread = threading.Thread(target=self._run, name="crops", daemon=True)
        self._thread.start()

    def offer(self, crops: Crops) -> None:
        """Queues crops for publication; returns at once."""
        with self._changed:
            replaced = self._waiting.get(crops.camera)
            if replaced is not None:
                self.dropped[CropDropReason.REPLACED] += len(replaced.track_ids)
            self._waiting[crops.camera] = crops
            self._changed.notify()

    def forget(self, camera: str) -> None:
        """Takes note that another worker may write the crops of this camera from now on."""
        with self._changed:
            self._waiting.pop(camera, None)
            self._forgotten.add(camera)

    def close(self) -> None:
        """Stops after the present picture."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=0.3)

    def _run(self) -> None:
        while (crops := self._next()) is not None:
            try:
                self.published += self._publish(crops)
            except RedisError as error:
                self._note_failure(crops, CropDropReason.REDIS, error)
                if is_wrong_type(error):
                    self._delete(crops.camera)
            except Exception as error:  # noqa: BLE001 (the top of a loop; the crops of other cameras go on)
                self._note_failure(crops, CropDropReason.ERROR, error)

    def _next(self) -> Crops | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            for camera in self._forgotten:
                self._kept.pop(camera, None)
            self._forgotten.clear()
            return None if self._closed else self._waiting.pop(next(iter(self._waiting)))

    def _note_failure(self, crops: Crops, reason: CropDropReason, error: Exception) -> None:
        self._kept.pop(crops.camera, None)  # What Redis has now is not known.
        self.dropped[reason] += len(crops.track_ids)
        if time.monotonic() >= self._warn_at_s:
            self._warn_at_s = time.monotonic() + _WARN_EVERY_S
            _log.warning(
                "dropped crops of tracks that cannot be published; trying the next ones",
                camera=crops.camera,
                tick=crops.tick,
                failed_at=reason.value,
                reason=str(error),
                exc_info=error if reason is CropDropReason.ERROR else None,
            )

    def _delete(self, camera: str) -> None:
        """Deletes the key of a camera that another program has replaced by one of another type."""
        with contextlib.suppress(RedisError):  # The next crops find it again.
            self._client.delete(self._keys.crops(camera))

    def _publish(self, crops: Crops) -> int:
        """Publishes the crops of one picture; returns their number.

        Raises:
            RedisError: Redis is unreachable or refuses.
        """
        rows = zip(crops.track_ids, crops.boxes_xyxy, crops.qualities, strict=True)
        cuts = {track_id: cut for track_id, box, quality in rows if (cut := _cut(crops, box, quality)) is not None}
        self.dropped[CropDropReason.ENCODING] += len(crops.track_ids) - len(cuts)
        if not cuts:
            return 0
        camera, key = crops.camera, self._keys.crops(crops.camera)
        kept = self._kept.get(camera)
        if kept is None:
            kept = self._kept[camera] = self._read(camera)
        written: dict[str, bytes | str] = {}
        for track_id, cut in cuts.items():
            before = kept.pop(track_id, None)  # The order of `kept` is that of the newest crops.
            is_best = before is None or cut.info.quality >= before.best.quality
            kept[track_id] = now = TrackCrops(cut.info if is_best or before is None else before.best, cut.info)
            written |= {str(track_id): now.encode(), jpeg_field(track_id, "newest"): cut.jpeg}
            if is_best:
                written[jpeg_field(track_id, "best")] = cut.jpeg
        outdated = _outdated(kept, crops.time_ns - self._retention_ns)
        for track_id in outdated:
            del kept[track_id]
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(key, mapping=written)
            if outdated:
                pipe.hdel(key, *(name for track_id in outdated for name in fields_of(track_id)))
            pipe.expire(key, self._expires_s)
            pipe.hlen(key)
            fields = pipe.execute()[-1]
        if fields != len(kept) * len(fields_of(0)):
            self._kept.pop(camera)  # Somebody else writes here, too: read it again and delete what is too much.
        return len(cuts)

    def _read(self, camera: str) -> dict[int, TrackCrops]:
        """The crops that are there, those with the oldest newest crop first; deletes what cannot be read."""
        key = self._keys.crops(camera)
        track_ids = tracks_with_crops(self._client, self._keys, camera)
        found = read_crops(self._client, self._keys, camera, track_ids)
        names = {name.decode(errors="replace") for name in field_names_at(self._client, key)}
        whole_ones = {track_id: crops for track_id, crops in found.items() if names.issuperset(fields_of(track_id))}
        if len(names) != len(whole_ones) * len(fields_of(0)):
            self._delete_unknown(key, whole_ones)
        return dict(sorted(whole_ones.items(), key=lambda item: item[1].newest.time_ns))

    def _delete_unknown(self, key: str, known: Mapping[int, TrackCrops]) -> None:
        names = {name for track_id in known for name in fields_of(track_id)}
        unknown = [name for name in self._client.hkeys(key) if name.decode(errors="replace") not in names]
        if unknown:
            self._client.hdel(key, *unknown)


def _outdated(kept: Mapping[int, TrackCrops], oldest_ns: int) -> list[int]:
    """The tracks to drop: those whose newest crop is too old, and the oldest of those that are too many."""
    too_many = len(kept) - MOST_TRACKS
    return [
        track_id
        for place, (track_id, crops) in enumerate(kept.items())
        if place < too_many or crops.newest.time_ns < oldest_ns
    ]


def _cut(crops: Crops, box_xyxy: npt.NDArray[np.float32], quality: float) -> _Cut | None:
    """The part of the picture in a box, as JPEG; None if it is too small, or cannot be encoded."""
    height, width = crops.image.shape[:2]
    if not np.isfinite(box_xyxy).all():
        return None
    edges = np.clip(np.round(box_xyxy), 0, (width, height, width, height)).astype(int)
    left, top, right, bottom = edges.tolist()
    if min(right - left, bottom - top) < _SHORTEST_SIDE:
        return None
    part = crops.image[top:bottom, left:right]
    scale = LONGEST_SIDE / max(part.shape[:2])
    try:
        if scale < 1:
            size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
            part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        for jpeg_quality in _JPEG_QUALITIES:
            encoded, jpeg = cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
            if encoded and len(jpeg) <= MOST_BYTES:
                info = CropInfo(crops.tick, crops.time_ns, part.shape[1], part.shape[0], round(quality, 4), len(jpeg))
                return _Cut(info, jpeg.tobytes())
    except cv2.error:
        return None
    return None
