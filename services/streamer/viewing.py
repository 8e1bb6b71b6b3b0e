"""The response bodies for one viewer: the parts of an MJPEG stream, or the messages of a live page.

They are generators that run in the event loop of the HTTP server: they wait only by `Arrivals`, and do not call Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from services.streamer.arrivals import WAIT_S, Arrivals
from services.streamer.metrics import StreamerMetrics
from services.streamer.pictures import BOUNDARY, FRESH_S, Pictures, Shown
from services.streamer.scaling import ScaledPictures
from services.streamer.wall_state import WallState, wall_message
from shared.watching import Watching

ANY_CAMERA = object()
"""The topic of what changes for live pages."""


class Client(Protocol):
    """The connection of a viewer."""

    def wait_until_sent(self) -> None:
        """Waits until nearly nothing is left to send.

        Raises:
            OSError: the client has left, or was disconnected.
        """

    def has_left(self) -> bool:
        """Whether the client has disconnected."""


class UnknownClient:
    """Stands for the client where a request did not arrive over a connection of this server."""

    def wait_until_sent(self) -> None:
        """Returns at once."""

    def has_left(self) -> bool:
        """False."""
        return False


class Pace:
    """When a viewer that asked for `fps` pictures per second is due its next one."""

    def __init__(self, fps: float | None) -> None:
        """None: as many as there are."""
        self._interval_s = 0.0 if fps is None else 1 / fps
        self._next_at = -1e9

    def delay_s(self, now: float) -> float:
        """How long to wait; `now` in monotonic seconds."""
        return max(0.0, self._next_at - now)

    def sent(self, now: float) -> None:
        """Counts a picture. One that was a little late does not delay the ones after it; a pause is not made up for."""
        late_s = now - self._next_at
        self._next_at = (self._next_at if late_s < self._interval_s else now) + self._interval_s


def mjpeg_parts(
    camera: str,
    pictures: Pictures,
    scaled: ScaledPictures | None,
    arrivals: Arrivals,
    metrics: StreamerMetrics,
    client: Client,
    fps: float | None = None,
) -> Iterator[bytes]:
    """The body of a `multipart/x-mixed-replace`: each picture once, the newest one when the viewer is ready.

    `scaled`: the camera's pictures at the width that the viewer asked for; None: as they are. With `fps`, no more
    pictures than that per second.
    """
    pictures.open(camera)
    yield f"--{BOUNDARY}\r\n".encode()
    pace = Pace(fps)
    version, count = -1, None
    while not pictures.closed:
        client.wait_until_sent()
        if (delay_s := pace.delay_s(time.monotonic())) > 0:
            arrivals.sleep(min(delay_s, WAIT_S))
            if client.has_left():
                return
            continue
        shown = pictures.shown(camera) if scaled is None else scaled.newest(pictures.shown(camera), version)
        if shown is None or shown.version == version:
            if not arrivals.wait(camera if scaled is None else scaled.topic) and client.has_left():
                return
            continue
        version = shown.version
        if fps is None:
            _count_skipped(metrics, camera, shown, count)
        count = shown.count
        yield shown.part
        pace.sent(time.monotonic())
        (metrics.placeholders_sent if shown.picture is None else metrics.frames_sent).labels(camera).inc()


def _count_skipped(metrics: StreamerMetrics, camera: str, shown: Shown, count_before: int | None) -> None:
    """Counts the pictures between the last one and `shown`; `count_before` is the last one's number."""
    skipped = shown.count - (shown.count if count_before is None else count_before) - (shown.picture is not None)
    if skipped > 0:
        metrics.frames_skipped.labels(camera, "slow_viewer").inc(skipped)


def wall_messages(
    pictures: Pictures,
    watching: Watching,
    metrics: StreamerMetrics,
    camera_names: Callable[[], tuple[str, ...]],
    state: WallState,
    arrivals: Arrivals,
    client: Client,
) -> Iterator[bytes]:
    """The body of `/wall.stream`: new pictures of all cameras and the site's state, over one connection.

    The state is sent twice a second even if nothing changes, so that each side notices when the other is gone.
    """
    counts: dict[str, int] = {}
    seen, turn = -1, 0
    fresh_from = time.monotonic() - FRESH_S
    while not pictures.closed:
        names = camera_names()
        if (latest := state.latest()) and latest.number != seen:
            seen = latest.number
            watching.touch(names)
            counts = {name: count for name, count in counts.items() if name in names}
            yield latest.message
            client.wait_until_sent()
        sent = False
        # Round robin, so that every camera gets its turn on a slow connection.
        for camera in names[turn % len(names) :] + names[: turn % len(names)] if names else ():
            if (latest := state.latest()) and latest.number != seen:
                sent = True
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
            client.wait_until_sent()
        if not sent and not arrivals.wait(ANY_CAMERA) and client.has_left():
            return
