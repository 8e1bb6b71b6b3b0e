"""Publishes pictures of 1280×720 at 10 Hz to Redis, as workers do: `python -m benchmarks.streaming.publisher URL`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import cv2

from demo.rendering import Renderer
from demo.scenario import Scenario
from shared.redis_connection import connect
from tests.integration.streamer_site import KEYS, set_status

CAMERAS = ("north", "east", "south", "west")
WIDTH, HEIGHT, FPS = 1280, 720, 10.0
_PICTURES = 20


def jpegs(seed: int) -> list[list[bytes]]:
    """Pictures of the synthetic site, for each of `CAMERAS`, at the JPEG quality of workers."""
    scenario = Scenario.generate(seed, 30.0, FPS)
    found: list[list[bytes]] = []
    for scene_camera in scenario.cameras[: len(CAMERAS)]:
        renderer = Renderer(scenario, scene_camera)
        pictures = (renderer.picture(200 + tick) for tick in range(_PICTURES))
        resized = (cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) for picture in pictures)
        found.append([cv2.imencode(".jpg", each, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes() for each in resized])
    return found


def ticks() -> Iterator[int]:
    """The numbers of the ticks, each when it is due."""
    began = time.monotonic()
    tick = 0
    while True:
        yield tick
        tick += 1
        time.sleep(max(0.0, began + tick / FPS - time.monotonic()))


def main() -> None:
    """Publishes until it is stopped."""
    client = connect(sys.argv[1])
    made = jpegs(1)
    print(sum(map(len, (each for one in made for each in one))) // (len(made) * _PICTURES), flush=True)
    for camera in CAMERAS:
        set_status(client, camera)
    for tick in ticks():
        for camera, pictures in zip(CAMERAS, made, strict=True):
            fields = {"tick": tick, "time_ns": time.time_ns(), "width": WIDTH, "height": HEIGHT}
            entry = {**fields, "jpeg": pictures[tick % _PICTURES]}
            client.xadd(KEYS.frames(camera), entry, maxlen=2, approximate=False)


if __name__ == "__main__":
    main()
