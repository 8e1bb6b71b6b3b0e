"""The response bodies for one viewer: the parts of an MJPEG stream, or the messages of a live page."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from redis.exceptions import RedisError

from services.streamer.api import wall_json_without_redis
from services.streamer.metrics import StreamerMetrics
from services.streamer.pictures import FRESH_S, Pictures, Shown
from services.streamer.site_reader import SiteReader
from shared.watching import Watching

BOUNDARY = "mtmc-picture"
WALL_STATE_EVERY_S = 0.5
_WAIT_S = 1.0
"""How often a waiting stream checks whether its viewer is still connected."""


def mjpeg_parts(camera: str, pictures: Pictures, metrics: StreamerMetrics, gone: Callable[[], bool]) -> Iterator[bytes]:
    """The body of a `multipart/x-mixed-replace`: each picture once, the newest one when the viewer is ready.

    The delimiter directly follows its part, because browsers show a part only after its end.
    """
    pictures.open(camera)
    yield f"--{BOUNDARY}\r\n".encode()
    version, count = -1, None
    while not pictures.closed and not gone():
        shown = pictures.wait(camera, version, _WAIT_S)
        if shown is None:
            continue
        version = shown.version
        skipped = shown.count - (shown.count if count is None else count) - (shown.picture is not None)
        count = shown.count
        if skipped > 0:
            metrics.frames_skipped.labels(camera, "slow_viewer").inc(skipped)
        yield _part(shown)
        (metrics.placeholders_sent if shown.picture is None else metrics.frames_sent).labels(camera).inc()


def _part(shown: Shown) -> bytes:
    tick = f"X-Mtmc-Tick: {shown.picture.tick}\r\n" if shown.picture else "X-Mtmc-Placeholder: 1\r\n"
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(shown.jpeg)}\r\n{tick}\r\n"
    return b"".join((head.encode(), shown.jpeg, f"\r\n--{BOUNDARY}\r\n".encode()))


def wall_message(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One message of `/wall.stream`: two little-endian uint32 lengths, a JSON header, a body (a JPEG or nothing)."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((struct.pack("<II", len(text), len(body)), text, body))


def wall_messages(
    pictures: Pictures,
    watching: Watching,
    metrics: StreamerMetrics,
    reader: SiteReader,
    describe: Callable[[], dict[str, Any]],
    gone: Callable[[], bool],
) -> Iterator[bytes]:
    """The body of `/wall.stream`: new pictures of all cameras and the site's state, over one connection.

    `describe` returns the state. It is sent twice a second even if nothing changes, so that each side notices when the
    other is gone.
    """
    counts: dict[str, int] = {}
    total, state_at, turn = 0, 0.0, 0
    fresh_from = time.monotonic() - FRESH_S
    while not pictures.closed and not gone():
        names = reader.camera_names
        if time.monotonic() >= state_at:
            watching.touch(names)
            counts = {name: count for name, count in counts.items() if name in names}
            yield wall_message({"type": "state", **_described(describe)})
            state_at = time.monotonic() + WALL_STATE_EVERY_S
        sent = False
        # Round robin, so that every camera gets its turn on a slow connection.
        for camera in names[turn % len(names) :] + names[: turn % len(names)] if names else ():
            if time.monotonic() >= state_at:
                break
            turn += 1
            found = pictures.after(camera, counts.get(camera, 0), fresh_from)
            if found is None:
                continue
            number, picture = found
            skipped = number - counts.get(camera, number - 1) - 1
            if skipped > 0:
                metrics.frames_skipped.labels(camera, "slow_viewer").inc(skipped)
            counts[camera] = number
            yield wall_message({"type": "picture", "camera": camera, "tick": picture.tick}, picture.jpeg)
            metrics.frames_sent.labels(camera).inc()
            sent = True
        if not sent:
            total = pictures.wait_for_any(total, max(0.0, state_at - time.monotonic()))


def _described(describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return describe()
    except RedisError:
        return wall_json_without_redis()
