"""The only reader of `frames:{camera}` in a process: it fetches each picture of a watched camera once."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

import structlog
from redis.exceptions import ResponseError

from services.streamer.metrics import StreamerMetrics
from services.streamer.pictures import Pictures
from shared.errors import MessageError
from shared.frames import FrameEntry
from shared.keys import Keys
from shared.lenient_values import stream_id
from shared.redis_connection import RETRYABLE, Client
from shared.watching import Watching

_log = structlog.get_logger()

_BLOCK_MS = 250
"""How long a read waits for pictures, and so the longest delay until a newly watched camera is read."""
_PAUSE_S = 0.005
"""Pause between two reads. The pictures of a tick arrive in a burst; this fetches most of them in one call."""
_SET_ASIDE_S = 5.0
_BEGINNING = b"0-0"

Entry = tuple[bytes, dict[bytes, bytes]]


class PictureReader:
    """A thread around `step`."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        pictures: Pictures,
        watching: Watching,
        metrics: StreamerMetrics,
        *,
        is_live: bool,
    ) -> None:
        """`is_live`: the site time of pictures is the present time, so that they have an age."""
        self._is_live = is_live
        self._client, self._keys = client, keys
        self._pictures, self._watching, self._metrics = pictures, watching, metrics
        self._read_to: dict[str, bytes] = {}
        self._from_beginning: set[str] = set()
        """Cameras whose entry ids may have restarted, because the connection to Redis was lost."""
        self._set_aside: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)

    def start(self) -> None:
        """Starts reading."""
        self._thread.start()

    def close(self) -> None:
        """Stops within the duration of one read."""
        self._stop.set()
        self._watching.wake()
        self._thread.join(timeout=2 * _BLOCK_MS / 1000)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self.step()
                if failures:
                    _log.info("pictures can be read again")
                failures = 0
            except RETRYABLE as error:
                if failures == 0:
                    _log.warning("pictures cannot be read, retrying", reason=str(error))
                self._from_beginning |= set(self._read_to)
                self._stop.wait(min(0.5, 0.05 * 2**failures))
                failures = min(failures + 1, 10)
            except Exception:  # noqa: BLE001 (the top of a loop; the thread must not end unseen)
                _log.exception("reading pictures failed, retrying", retry_in_s=_SET_ASIDE_S)
                self._stop.wait(_SET_ASIDE_S)

    def forget(self, camera: str) -> None:
        """Drops what is known of a camera that was removed from the site."""
        self._read_to.pop(camera, None)
        self._from_beginning.discard(camera)

    def step(self) -> None:
        """Reads once, or waits until a camera is watched.

        Raises:
            RedisError: Redis is unreachable; nothing is lost, the next call continues.
        """
        begun_at = time.monotonic()
        cameras = self._watched(begun_at)
        if not cameras:
            self._watching.wait_for_change(1.0)
            return
        try:
            self.read(cameras, _BLOCK_MS)
        except ResponseError:
            self._find_unreadable(cameras)
        self._stop.wait(_PAUSE_S)

    def _watched(self, now: float) -> list[str]:
        self._set_aside = {camera: until for camera, until in self._set_aside.items() if until > now}
        return sorted(camera for camera in self._watching.cameras() if camera not in self._set_aside)

    def read(self, cameras: Collection[str], block_ms: int | None) -> None:
        """Fetches the new pictures of `cameras`; waits up to `block_ms` for one (None: does not wait).

        Raises:
            RedisError: Redis is unreachable, or a key is not a stream.
        """
        begun_at = time.monotonic()
        by_key = {self._keys.frames(camera).encode(): camera for camera in cameras}
        positions = {
            key: _BEGINNING if camera in self._from_beginning else self._read_to.get(camera, _BEGINNING)
            for key, camera in by_key.items()
        }
        answer: list[tuple[bytes, list[Entry]]] = self._client.xread(positions, block=block_ms)
        for key, entries in answer or ():
            self._take(by_key[key], entries)
        self._pictures.was_read(cameras, begun_at)

    def _take(self, camera: str, entries: Sequence[Entry]) -> None:
        if camera in self._from_beginning:
            # Redis may have kept its pictures: skip those that were shown already.
            ids = [entry_id for entry_id, _ in entries]
            last = self._read_to.get(camera)
            if last in ids:
                entries = entries[ids.index(last) + 1 :]
            self._from_beginning.discard(camera)
        for entry_id, fields in entries:
            self._read_to[camera] = entry_id
            try:
                picture = FrameEntry.decode(camera, fields)
            except MessageError:
                self._metrics.frames_skipped.labels(camera, "malformed").inc()
                continue
            self._metrics.frames_fetched.labels(camera).inc()
            if self._is_live:
                age_ns = stream_id(entry_id)[0] * 1_000_000 - picture.time_ns
                self._metrics.picture_age.labels(camera).observe(max(0, age_ns) / 1e9)
            self._pictures.put(picture)

    def _find_unreadable(self, cameras: Collection[str]) -> None:
        """Finds the keys that are not streams, which make the read of all cameras fail, and skips them for a while."""
        for camera in cameras:
            try:
                self.read([camera], None)
            except ResponseError as error:
                _log.warning("the pictures of a camera cannot be read", camera=camera, reason=str(error))
                self._set_aside[camera] = time.monotonic() + _SET_ASIDE_S
