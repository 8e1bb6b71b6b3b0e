"""A crossing as two to four cameras see it: boxes of objects on the ground, with look-alikes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from association.outcome import CameraTick
from shared.messages import TrackBatch
from tests.unit.association.scenes import DIMENSION, EMBEDDER

FPS = 5
TICK_NS = 10**9 // FPS
SIZE = (1280, 720)


def camera_matrix(camera: int) -> np.ndarray:
    """Metres on the ground to pixels: cameras around the origin, 8 m high, each looking at it from another side."""
    angle = 1.3 * camera
    eye = np.array([25 * np.cos(angle), 25 * np.sin(angle), 8.0])
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    rotation = np.stack([right, down, forward])
    intrinsics = np.array([[900, 0, SIZE[0] / 2], [0, 900, SIZE[1] / 2], [0, 0, 1.0]])
    projection = intrinsics @ np.concatenate([rotation, (-rotation @ eye)[:, None]], axis=1)
    return projection[:, [0, 1, 3]]


@dataclass(frozen=True)
class Driver:
    """An object that crosses: from `start` (metres) with `velocity` (m/s), seen from `first_s` to `last_s`."""

    who: int
    look: int
    start: tuple[float, float]
    velocity: tuple[float, float]
    first_s: float
    last_s: float
    stops: tuple[float, float] = (0.0, 0.0)
    """It stands between these seconds."""

    def place(self, seconds: float) -> np.ndarray:
        standing = max(0.0, min(seconds, self.stops[1]) - self.stops[0])
        return np.array(self.start) + np.array(self.velocity) * (seconds - self.first_s - standing)


def traffic(n: int, looks: int, seed: int, seconds: float = 60) -> list[Driver]:
    """`n` objects with `looks` different looks."""
    random = np.random.default_rng(seed)
    drivers = []
    for who in range(n):
        angle, aside = random.uniform(0, 2 * np.pi), random.uniform(-5, 5)
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]])
        first = random.uniform(0, seconds - 12)
        speed = random.uniform(1.5, 4)
        start = -along * speed * 5 + across * aside
        stop = first + random.uniform(2, 5)
        drivers.append(
            Driver(
                who, who % looks, (start[0], start[1]), (along[0] * speed, along[1] * speed), first, first + 12,
                (stop, stop + random.uniform(0, 3)),
            )
        )  # fmt: skip
    return drivers


def crossing_entries(drivers: list[Driver], cameras: int, seconds: float, noise: float, seed: int) -> list[CameraTick]:
    """The entries of all cameras; track ids are `100 * camera + who + 1`."""
    random = np.random.default_rng(seed)
    offsets = 0.6 * random.standard_normal((cameras, DIMENSION)) / DIMENSION**0.5
    looks = random.standard_normal((max(driver.look for driver in drivers) + 1, DIMENSION)) / DIMENSION**0.5
    matrices = [camera_matrix(camera) for camera in range(cameras)]
    open_tracks: list[set[int]] = [set() for _ in range(cameras)]
    found = []
    for tick in range(1, round(seconds * FPS) + 1):
        now_s = tick / FPS
        for camera in range(cameras):
            tracks, boxes, vectors = [], [], []
            for driver in drivers:
                if not driver.first_s <= now_s <= driver.last_s:
                    continue
                x, y, depth = matrices[camera] @ [*driver.place(now_s), 1.0]
                height = 900 * 1.5 / depth
                box = np.array(
                    [x / depth - height, y / depth - height * 0.9, x / depth + height, y / depth + height * 0.1]
                )
                if depth <= 0 or (box[:2] < 0).any() or box[2] > SIZE[0] or box[3] > SIZE[1]:
                    continue
                vector = (
                    looks[driver.look] + offsets[camera] + noise * random.standard_normal(DIMENSION) / DIMENSION**0.5
                )
                tracks.append(100 * camera + driver.who + 1)
                boxes.append(box + random.normal(0, 0.6, 4))
                vectors.append(vector / np.linalg.norm(vector))
            ended = sorted(open_tracks[camera] - set(tracks))
            open_tracks[camera] = set(tracks)
            n = len(tracks)
            batch = TrackBatch(
                track_ids=np.array(tracks, np.int64),
                boxes_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
                scores=np.ones(n, np.float32),
                class_ids=np.zeros(n, np.int16),
                qualities=np.full(n, 0.8, np.float32),
                embedding_rows=np.arange(n, dtype=np.int32),
                embeddings=np.array(vectors, np.float16).reshape(-1, DIMENSION),
                ended=np.array(ended, np.int64),
                embedder=EMBEDDER,
                width=SIZE[0],
                height=SIZE[1],
            )
            found.append(CameraTick(camera, tick, tick * TICK_NS, batch))
    return found
