"""Annotates, encodes and publishes pictures on its own thread, so that tracking never waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import structlog
from redis.exceptions import RedisError

from services.camera_worker.annotation import annotate
from services.camera_worker.names import Names
from services.camera_worker.picture_failures import DropReason, PictureFailures
from shared.backoff import Backoff
from shared.config import StreamerConfig
from shared.frames import FrameBox, FrameEntry
from shared.keys import Keys
from shared.redis_connection import Client

_log = structlog.get_logger()
FRAMES_KEPT = 2
_EXPIRES_S = 3600
"""Pictures of a camera that publishes no new ones are deleted after this long."""


@dataclass(frozen=True)
class Drawing:
    """A picture to draw and publish, for one camera at one tick; arrays as for `annotate`."""

    camera: str
    tick: int
    time_ns: int
    title: str | None
    image: npt.NDArray[np.uint8]
    boxes_xyxy: npt.NDArray[np.float32]
    track_ids: npt.NDArray[np.int64]
    gids: Mapping[int, int]
    class_ids: npt.NDArray[np.int16]
    """`(n,)`."""
    class_names: Sequence[str] = ()
    """What the detector calls its classes."""


class PicturePublisher:
    """Keeps at most one waiting picture per camera: a newer one replaces it, and the drop is counted.

    A failing picture never delays another camera. After an unexpected exception only the pictures of its own camera are
    dropped until the backoff ends.
    """

    def __init__(
        self,
        client: Client,
        keys: Keys,
        config: StreamerConfig,
        make_backoff: Callable[[], Backoff] = Backoff,
        names: Names | None = None,
    ) -> None:
        """`make_backoff` creates the backoff of one camera; `names` are drawn beside the ids."""
        self._names = names
        self._client, self._keys = client, keys
        self._max_width = config.max_width
        self._encoding = [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality]
        self._waiting: dict[str, Drawing] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._failures = PictureFailures(make_backoff)
        self.dropped = dict.fromkeys(DropReason, 0)
        """Pictures that were not published, by reason."""
        self.published = 0
        self.restarts = 0
        """Number of unexpected exceptions; after each, the thread continues with the other cameras."""
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        self._thread.start()

    def offer(self, picture: Drawing) -> None:
        """Queues a picture for publication; returns at once."""
        with self._changed:
            self.dropped[DropReason.REPLACED] += picture.camera in self._waiting
            self._waiting[picture.camera] = picture
            self._changed.notify()

    def close(self) -> None:
        """Stops after the present picture."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=0.3)

    def _run(self) -> None:
        while (picture := self._next()) is not None:
            if self._failures.is_suspended(picture.camera, time.monotonic()):
                self.dropped[DropReason.ERROR] += 1
                continue
            try:
                self._publish(picture)
            except (_EncodingError, RedisError) as error:
                self._note_failure(picture, error)
            except Exception as error:  # noqa: BLE001 (the top of a loop; a bug must not stop the pictures of all cameras)
                self._note_bug(picture, error)
            else:
                self.published += 1
                if self._failures.published(picture.camera, time.monotonic()):
                    _log.info("pictures are published again", camera=picture.camera)

    def _next(self) -> Drawing | None:
        """Waits for a picture and returns the one that has waited longest; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            # Dicts keep the order of insertion, and a replacement keeps its place.
            return None if self._closed else self._waiting.pop(next(iter(self._waiting)))

    def _note_failure(self, picture: Drawing, error: RedisError | _EncodingError) -> None:
        """Counts a failure without backoff: the next picture may be fine, or Redis reachable again."""
        reason = DropReason.REDIS if isinstance(error, RedisError) else DropReason.ENCODING
        self.dropped[reason] += 1
        if self._failures.failed(picture.camera, reason, time.monotonic()):
            _log.warning(
                "dropped a picture that cannot be published; trying each new one",
                camera=picture.camera,
                tick=picture.tick,
                failed_at=reason.value,
                reason=str(error),
            )

    def _note_bug(self, picture: Drawing, error: Exception) -> None:
        self.restarts += 1
        self.dropped[DropReason.ERROR] += 1
        retry_in_s = self._failures.suspend(picture.camera, time.monotonic())
        _log.error(
            "publishing a picture failed unexpectedly; this camera gets no new picture until the retry",
            camera=picture.camera,
            tick=picture.tick,
            retry_in_s=round(retry_in_s, 1),
            exc_info=error,
        )

    def _publish(self, picture: Drawing) -> None:
        try:
            drawn = annotate(
                picture.image,
                picture.boxes_xyxy,
                picture.track_ids,
                picture.gids,
                picture.tick,
                self._max_width,
                picture.title,
                self._names.current() if self._names is not None else None,
            )
            encoded, jpeg = cv2.imencode(".jpg", drawn, self._encoding)
        except cv2.error as error:
            raise _EncodingError(str(error)) from error
        height, width = drawn.shape[:2]
        if not encoded:
            raise _EncodingError(f"OpenCV encoded no JPEG of {width}×{height} pixels")
        boxes = boxes_in(picture, width, height)
        entry = FrameEntry(picture.camera, picture.tick, picture.time_ns, width, height, jpeg.tobytes(), boxes)
        key = self._keys.frames(picture.camera)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.xadd(key, entry.encode(), maxlen=FRAMES_KEPT, approximate=False)
            pipe.expire(key, _EXPIRES_S)
            pipe.execute()


def boxes_in(picture: Drawing, width: int, height: int) -> tuple[FrameBox, ...]:
    """The boxes as they are drawn in the picture of `width` by `height` pixels that is published."""
    scale = width / picture.image.shape[1]
    edges = np.nan_to_num(picture.boxes_xyxy * scale).clip(0, [width, height, width, height]).round().astype(int)
    names = picture.class_names
    found = []
    for track, box, kind in zip(picture.track_ids.tolist(), edges.tolist(), picture.class_ids.tolist(), strict=True):
        left, top, right, bottom = box
        name = names[kind] if 0 <= kind < len(names) else ""
        found.append(FrameBox(picture.gids.get(track), left, top, right, bottom, name))
    return tuple(found)


class _EncodingError(Exception):
    """OpenCV cannot draw or encode a picture."""
