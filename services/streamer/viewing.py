"""The response body for one viewer of a camera: the parts of an MJPEG stream.

It is a generator that runs in the event loop of the HTTP server: it waits only by `Arrivals`, and does not call Redis.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from services.streamer.arrivals import WAIT_S, Arrivals
from services.streamer.metrics import StreamerMetrics
from services.streamer.pace import Pace
from services.streamer.pictures import BOUNDARY, Pictures, Shown
from services.streamer.scaling import ScaledPictures


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
