"""A minimal streamer of the kind that most examples show: `python -m benchmarks.streaming.resending REDIS_URL`.

Flask's own server has a thread for each viewer, which encodes and sends the latest picture ten times a second, whether
it is new or not. `run_live_mtmc.py` works in this way. Prints its port.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from flask import Flask, Response
from werkzeug.serving import make_server

from benchmarks.streaming.publisher import CAMERAS
from shared.redis_connection import connect
from tests.integration.streamer_site import KEYS

_latest: dict[str, tuple[bytes, Any]] = {}


def _read(url: str) -> None:
    client = connect(url)
    positions = {KEYS.frames(camera).encode(): b"$" for camera in CAMERAS}
    names = {KEYS.frames(camera).encode(): camera for camera in CAMERAS}
    while True:
        for key, entries in client.xread(positions, block=1000) or ():
            entry_id, fields = entries[-1]
            positions[key] = entry_id
            image = cv2.imdecode(np.frombuffer(fields[b"jpeg"], np.uint8), cv2.IMREAD_COLOR)
            about = b"X-Mtmc-Tick: %s\r\nX-Mtmc-Capture-Time: %.9f\r\n" % (
                fields[b"tick"],
                int(fields[b"time_ns"]) / 1e9,
            )
            _latest[names[key]] = (about, image)


def _parts(camera: str) -> Iterator[bytes]:
    while True:
        if camera in _latest:
            about, image = _latest[camera]
            jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
            yield b"--mtmc-picture\r\nContent-Type: image/jpeg\r\n" + about + b"\r\n" + jpeg + b"\r\n"
        time.sleep(0.1)


def main() -> None:
    """Serves until it is stopped."""
    app = Flask(__name__)
    mimetype = "multipart/x-mixed-replace; boundary=mtmc-picture"
    app.add_url_rule("/<camera>.mjpg", "mjpg", lambda camera: Response(_parts(camera), mimetype=mimetype))
    threading.Thread(target=_read, args=(sys.argv[1],), daemon=True).start()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
