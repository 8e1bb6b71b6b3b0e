"""A site without workers: the tests write what workers, clock and aggregator would, and check the streamer."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from services.streamer import site_reader
from services.streamer.service import Streamer
from shared.config import SiteConfig
from shared.keys import Keys
from shared.messages import SCHEMA, TrackBatch
from shared.process import Connected, ServiceOptions, connect_site
from shared.redis_connection import Client, connect
from shared.service import run
from shared.site import publish_site

SITE = "yard"
KEYS = Keys(SITE)
WAIT_S = 60.0


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    """Waits for the first true result of `condition` and returns it; on timeout fails with `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.02)


def site_config(cameras: list[str | dict[str, Any]], **streamer: Any) -> SiteConfig:
    """A site whose models are never opened."""
    described = [
        {"name": camera, "source": "rtsp://camera/1"} if isinstance(camera, str) else camera for camera in cameras
    ]
    return SiteConfig.model_validate(
        {
            "site": SITE,
            "detector": {"model": "detector.onnx"},
            "embedder": {"model": "embedder.onnx"},
            "cameras": described,
            "streamer": {"port": 0, **streamer},
        }
    )


def numbered_jpeg(number: int, text: str = "", size: tuple[int, int] = (320, 180)) -> bytes:
    """A picture with its number as text and as colour, so that each clearly differs from the previous one."""
    hue = np.uint8([[[number * 37 % 180, 170, 120]]])
    colour = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0]
    image = np.full((size[1], size[0], 3), colour, np.uint8)
    cv2.putText(image, f"{text} {number}", (20, size[1] // 2), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 2)
    return bytes(cv2.imencode(".jpg", image)[1].tobytes())


def bulky_jpeg(number: int, size_bytes: int) -> bytes:
    """Large data that passes for a picture."""
    return b"\xff\xd8" + struct.pack("<I", number) + bytes(size_bytes - 6)


def publish_picture(
    client: Client, camera: str, tick: int, jpeg: bytes, entry_id: str = "*", *, boxes: Any = None, **changes: Any
) -> None:
    """Publishes a picture, like a worker; `boxes`: rows as in `docs/keys.md`."""
    fields = {"tick": tick, "time_ns": tick * 100_000_000, "width": 320, "height": 180, "jpeg": jpeg, **changes}
    if boxes is not None:
        fields["boxes"] = json.dumps(boxes)
    client.xadd(KEYS.frames(camera), fields, id=entry_id, maxlen=2, approximate=False)


def set_status(client: Client, camera: str, **fields: Any) -> None:
    """Writes the state of a camera, like its owner, which then counts as alive; so does an aggregator."""
    client.set(KEYS.lease("aggregator"), "1:x", px=3_600_000)
    client.hset(KEYS.camera(camera), mapping={"owner": "worker-1", "state": "live", **fields})
    client.zadd(KEYS.workers, {"worker-1": (client.time()[0] + 3600) * 1000})


@dataclass
class Serving:
    """A running streamer, with a client."""

    streamer: Streamer
    stop: threading.Event
    _open: list[Any] = field(default_factory=list)

    @property
    def port(self) -> int:
        return urlsplit(self.streamer.url).port or 0

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers with lower-case names, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """The body of a successful response."""
        status, _, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def metric(self, name: str, *labels: str) -> float:
        """One value of `/metrics`; 0 if it does not exist."""
        for line in self.get("/metrics")[2].decode().splitlines():
            if re.match(rf"{name}(\{{|\s)", line) and all(label in line for label in labels):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def watch(
        self, camera: str, receive_bytes: int | None = None, headers: dict[str, str] | None = None, query: str = ""
    ) -> Viewer:
        """Opens `/{camera}.mjpg`."""
        viewer = Viewer(self.port, f"/{camera}.mjpg{query}", receive_bytes, headers)
        self._open.append(viewer)
        return viewer

    def close_viewers(self) -> None:
        """Closes the streams that `watch` opened."""
        for viewer in self._open:
            viewer.close()


@dataclass(frozen=True)
class Part:
    """One part of an MJPEG stream."""

    tick: int | None
    """None: a placeholder."""
    jpeg: bytes
    headers: dict[str, str] = field(default_factory=dict, compare=False)


class Viewer:
    """Reads an MJPEG stream part by part."""

    def __init__(
        self, port: int, path: str, receive_bytes: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n".encode())
        self._response: http.client.HTTPResponse | None = None

    @property
    def response(self) -> http.client.HTTPResponse:
        """The response, after its headers were read."""
        if self._response is None:
            self._response = http.client.HTTPResponse(self.socket)
            self._response.begin()
            assert self._response.status == 200, self._response.read()
            if "multipart" in self._response.headers.get("Content-Type", ""):
                assert self._response.readline().startswith(b"--")
        return self._response

    def part(self) -> Part:
        """The next part."""
        headers: dict[str, str] = {}
        while True:
            line = self.response.readline().decode().strip()
            if not line and headers:
                break
            name, _, value = line.partition(": ")
            headers[name] = value
        jpeg = self.exactly(int(headers["Content-Length"]))
        assert self.response.readline() == b"\r\n"
        assert self.response.readline().startswith(b"--mtmc-picture")
        tick = headers.get("X-Mtmc-Tick")
        return Part(None if tick is None else int(tick), jpeg, headers)

    def picture(self) -> Part:
        """The next part with a picture of the camera.

        A placeholder may come before: a machine that is held up for two seconds seems to have a camera that is.
        """
        return next(part for part in self.parts() if part.tick is not None)

    def parts(self) -> Iterator[Part]:
        """An endless iterator of all parts."""
        while True:
            yield self.part()

    def message(self) -> tuple[dict[str, Any], bytes]:
        """The next message of `/wall.stream`: header and body."""
        header, body = struct.unpack("<II", self.exactly(8))
        return json.loads(self.exactly(header)), self.exactly(body)

    def exactly(self, size: int) -> bytes:
        """`size` bytes of the body."""
        collected = b""
        while len(collected) < size:
            some = self.response.read(size - len(collected))
            assert some, "the stream ended"
            collected += some
        return collected

    def close(self) -> None:
        """Disconnects."""
        if self._response is not None:
            self._response.close()
        self.socket.close()


def patient_streamer(connected: Connected, options: ServiceOptions) -> Streamer:
    """A streamer that waits long for Redis. With the usual second, a machine that is held up would fail any request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site_reader, "_TIMEOUT_S", WAIT_S / 2)
        return Streamer(connected, options)


@contextmanager
def serving(redis_url: str, port: int = 0, **options_: Any) -> Iterator[Serving]:
    """Runs a streamer of the published site in threads of this process; `options_` are fields of ServiceOptions."""
    options = ServiceOptions(SITE, redis_url, **{"host": "127.0.0.1", "port": port, **options_})
    connected = connect_site(options, threading.Event())
    assert connected is not None
    stop = threading.Event()
    streamer = patient_streamer(connected, options)
    thread = threading.Thread(target=run, args=(streamer, stop, lambda: False, connected.monitor))
    thread.start()
    running = Serving(streamer, stop)
    try:
        yield running
    finally:
        running.close_viewers()
        stop.set()
        thread.join(WAIT_S)
        connected.client.close()
        assert not thread.is_alive()


def publish(redis_url: str, cameras: list[str | dict[str, Any]], **streamer: Any) -> None:
    """Publishes a site with these cameras and settings of the streamer."""
    client = connect(redis_url)
    publish_site(client, site_config(cameras, **streamer))
    client.close()


SLOW = {"fps": "0.05"}
"""Rate of a worker that is so slow that the tracks of the last picture do not go stale within a test."""


def track_entry(
    camera: str, track_ids: list[int], *, picture: bool = True, ended: Sequence[int] = (), **changes: Any
) -> dict[str, Any]:
    """The fields of an entry of `tracks:{camera}`."""
    n = len(track_ids)
    batch = TrackBatch(
        track_ids=np.array(track_ids, np.int64),
        boxes_xyxy=np.tile(np.array([10, 20, 110.5, 220], np.float32), (n, 1)),
        scores=np.full(n, 0.75, np.float32),
        class_ids=np.arange(n, dtype=np.int16),
        qualities=np.full(n, 0.5, np.float32),
        embedding_rows=np.full(n, -1, np.int32),
        ended=np.array(ended, np.int64),
        width=1280 if picture else 0,
        height=720 if picture else 0,
    )
    time_ns = 1_700_000_000_123_456_789
    entry = {"schema": SCHEMA, "seq": 1, "camera": camera, "tick": 42, "time_ns": time_ns, "n": n}
    return {**entry, "payload": batch.encode(), **changes}
