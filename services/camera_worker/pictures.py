"""Annotates, encodes and publishes pictures on a thread of its own, so that tracking never waits for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import structlog
from redis.exceptions import RedisError

from services.camera_worker.annotation import annotate
from shared.config import StreamerConfig
from shared.frames import FrameEntry
from shared.keys import Keys
from shared.redis_connection import Client

_log = structlog.get_logger()
FRAMES_KEPT = 2
_EXPIRES_S = 3600
"""What is left of a camera that gives no pictures any more."""


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn and published for one camera at one tick."""

    camera: str
    tick: int
    time_ns: int
    image: npt.NDArray[np.uint8]
    boxes_xyxy: npt.NDArray[np.float32]
    track_ids: npt.NDArray[np.int64]
    gids: Mapping[int, int]


class PicturePublisher:
    """Holds at most one waiting picture of each camera: a newer one takes its place, and the drop is counted."""

    def __init__(self, client: Client, keys: Keys, config: StreamerConfig) -> None:
        self._client, self._keys = client, keys
        self._max_width = config.max_width
        self._encoding = [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality]
        self._waiting: dict[str, Drawing] = {}
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0
        """Pictures replaced by newer ones before they were encoded, or refused by OpenCV or Redis."""
        self.published = 0
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        self._thread.start()

    def offer(self, picture: Drawing) -> None:
        """Takes a picture to publish; returns at once."""
        with self._changed:
            self.dropped += picture.camera in self._waiting
            self._waiting[picture.camera] = picture
            self._changed.notify()

    def close(self) -> None:
        """Stops after the picture in hand."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        failing: set[str] = set()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                # The one that waits longest: dicts keep the order of insertion, replacements keep their place.
                picture = self._waiting.pop(next(iter(self._waiting)))
            try:
                self._publish(picture)
                self.published += 1
                if failing == {picture.camera}:
                    _log.info("pictures are published again")
                failing.discard(picture.camera)
            except (RedisError, cv2.error) as error:  # one bad picture, or a full Redis, must not end this thread
                self.dropped += 1
                if not failing:
                    _log.warning("pictures cannot be published", camera=picture.camera, reason=str(error))
                failing.add(picture.camera)

    def _publish(self, picture: Drawing) -> None:
        drawn = annotate(
            picture.image, picture.boxes_xyxy, picture.track_ids, picture.gids, picture.tick, self._max_width
        )
        _, jpeg = cv2.imencode(".jpg", drawn, self._encoding)
        height, width = drawn.shape[:2]
        entry = FrameEntry(picture.camera, picture.tick, picture.time_ns, width, height, jpeg.tobytes())
        key = self._keys.frames(picture.camera)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.xadd(key, entry.encode(), maxlen=FRAMES_KEPT, approximate=False)
            pipe.expire(key, _EXPIRES_S)
            pipe.execute()
