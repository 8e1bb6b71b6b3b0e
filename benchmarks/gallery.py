"""What a cycle of the association costs with a full gallery: processor time, on one thread.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.gallery [--tracks 100000] [--cycles 100]

Twenty cameras show two objects each, while `--tracks` identities with a track of 512 values each have left and may
return. After 25 cycles, a new object appears in three of the cameras. Printed are the times of the first cycle with
embeddings, of cycles in which nothing has to be decided, of those with a new object that waits for its identity, and of
revisions, which come every ten cycles. Processor time is what a busy machine does not change.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict

import numpy as np

from association.core import Association
from association.identities import Identity
from association.outcome import CameraTick
from association.settings import AssociationSettings
from shared.config import SiteConfig
from shared.layout import Layout
from shared.messages import TrackBatch

CAMERAS = tuple(f"cam{number}" for number in range(20))
DIMENSION, CROPS, FPS = 512, 50, 10
_START_NS = 10**15
_NEW_FROM = 25
_EMBEDDED_EVERY = 5


def settings() -> AssociationSettings:
    """Nobody is forgotten for a day."""
    config = {
        "site": "gallery",
        "clock": {"mode": "live", "target_fps": FPS},
        "detector": {"model": "/d.onnx"},
        "embedder": {"model": "/e.onnx"},
        "association": {"retention_seconds": 86400, "learn": False},  # It would learn from all at once.
        "cameras": [{"name": camera, "source": "rtsp://nowhere"} for camera in CAMERAS],
    }
    return AssociationSettings.of(SiteConfig.model_validate(config))


def looks(rng: np.random.Generator, count: int) -> np.ndarray:
    """`(count, DIMENSION)` float32, unit norm."""
    vectors = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def with_gallery(tracks: int, rng: np.random.Generator) -> Association:
    """An association that knows so many identities that have left, with one track each."""
    association = Association(Layout.open(CAMERAS), settings())
    table = association.table
    rows = np.array([table.add(i % len(CAMERAS), i + 1, 0, 0, _START_NS) for i in range(tracks)], np.intp)
    for at in range(0, tracks, 10_000):
        chosen = rows[at : at + 10_000]
        table.embed(chosen, looks(rng, len(chosen)), np.full(len(chosen), CROPS, np.float32), "embedder")
    table.rows["ended"][rows], table.rows["ended_ns"][rows] = True, _START_NS
    table.rows["gid"][rows], table.rows["embedded"][rows] = np.arange(1, tracks + 1), CROPS
    for gid, row in enumerate(rows.tolist(), start=1):
        association.identities.add(Identity(gid, 0, _START_NS, _START_NS, rows=[row], present=False))
    return association


def seen_by(camera: int, tick: int, of_camera: np.ndarray) -> CameraTick:
    """What a camera shows: each object of `of_camera`, `(n, DIMENSION)`; the last one is new at `_NEW_FROM`."""
    count = len(of_camera) if tick >= _NEW_FROM and camera < 3 else len(of_camera) - 1
    is_embedded = tick % _EMBEDDED_EVERY == 0
    corners = np.arange(count, dtype=np.float32)[:, None] * 200 + np.array([10, 10, 60, 110], np.float32)
    batch = TrackBatch(
        track_ids=10**9 + camera * 1000 + np.arange(count),
        boxes_xyxy=corners,
        scores=np.ones(count, np.float32),
        class_ids=np.zeros(count, np.int16),
        qualities=np.ones(count, np.float32),
        embedding_rows=np.arange(count, dtype=np.int32) if is_embedded else np.full(count, -1, np.int32),
        embeddings=of_camera[:count].astype(np.float16),
        ended=np.zeros(0, np.int64),
        embedder="embedder",
        width=1280,
        height=720,
    )
    return CameraTick(camera, tick, _START_NS + tick * 10**9 // FPS, batch)


def main() -> int:
    """Prints one line for each kind of cycle."""
    parser = argparse.ArgumentParser(description="Cycles of the association with a full gallery")
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--cycles", type=int, default=100)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    association = with_gallery(options.tracks, rng)
    objects = looks(rng, 3 * len(CAMERAS)).reshape(len(CAMERAS), 3, DIMENSION)
    spent: dict[str, list[float]] = defaultdict(list)
    for tick in range(1, options.cycles + 1):
        seen = [seen_by(camera, tick, of_camera) for camera, of_camera in enumerate(objects)]
        began = time.process_time()
        result = association.cycle(tick, _START_NS + tick * 10**9 // FPS, seen)
        taken = time.process_time() - began
        rows = association.table.rows
        waits = bool((rows["used"] & (rows["gid"] == 0) & (rows["embedded"] > 0)).any()) or bool(result.assignments)
        kind = "new object" if waits else "nothing to decide"
        kind = "revision" if tick % FPS == 0 else "first embeddings" if tick == _EMBEDDED_EVERY else kind
        spent[kind].append(1000 * taken)
    for kind, times in spent.items():
        middle, most = float(np.median(times)), max(times)
        sys.stdout.write(f"{kind}: {len(times)} cycles, median {middle:.0f} ms, longest {most:.0f} ms\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
