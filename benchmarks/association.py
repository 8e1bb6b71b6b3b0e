"""Association of thousands of tracks along a road of cameras, as a site would see them.

    python -m benchmarks.association --quality [--tracks 3200] [--seeds 0 1 2] [--mode live reference]

Tracks, identities and embeddings come from `../shared/tools/road_of_cameras.py` (or `$MTMC_SHARED/tools/…`), whose
score is used. Each track is seen once a second from its start to its end, with the embedding of its whole stay. Scored
is the gid at the track's end. Prints the duration of the cycles too.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from association.core import Association
from association.outcome import CameraTick
from association.settings import AssociationSettings
from benchmarks.shared_data import shared_folder
from shared.config import AssociationConfig, SiteConfig
from shared.layout import Layout
from shared.messages import TrackBatch

_SECOND_NS = 10**9
_PROFILES = ("base", "hard")


def associated(road: Any, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """The gid of each track at its end, -1 for none, and the duration of each cycle in seconds."""
    names = tuple(f"cam{number}" for number in range(road.n_cams))
    matrices = {name: np.array(road.layout[name], np.float64) for name in ("dtmin", "dtmax")}
    layout = Layout(names, np.array(road.layout["compatibility"], bool), **matrices).with_returns()
    core = Association(layout, _settings(mode))
    first, last = np.floor(road.start).astype(int), np.floor(road.end).astype(int)
    gids, durations = np.full(len(road.truth), -1), []
    for second in range(int(last.max()) + 3):
        seen = []
        for camera in range(road.n_cams):
            of_camera = road.cam == camera
            here = np.flatnonzero(of_camera & (first <= second) & (second <= last))
            ended = np.flatnonzero(of_camera & (last == second - 1))
            seen.append(CameraTick(camera, second + 1, (second + 1) * _SECOND_NS, _batch(road, here, ended)))
        began = time.perf_counter()
        result = core.cycle(second + 1, (second + 1) * _SECOND_NS, seen)
        durations.append(time.perf_counter() - began)
        for change in result.assignments:
            if change.gid and second <= last[change.track_id - 1]:
                gids[change.track_id - 1] = change.gid
    return gids, np.array(durations)


def _settings(mode: str) -> AssociationSettings:
    """One tick and one revision a second, otherwise the defaults."""
    site = SiteConfig.model_validate(
        {
            "site": "road",
            "clock": {"target_fps": 1},
            "detector": {"model": "/none.onnx"},
            "embedder": {"model": "/none.onnx"},
            "cameras": [{"name": "cam0", "source": "/none.mp4"}],
            "association": AssociationConfig.model_validate({"mode": mode}).model_dump(),
        }
    )
    return AssociationSettings.of(site)


def _batch(road: Any, here: np.ndarray, ended: np.ndarray) -> TrackBatch:
    n = len(here)
    # The simulation has no places. Each track gets one of its own, in a grid of 30 by 31, so that places say nothing.
    corners = np.stack([100.0 * (here * 7919 % 30), 100.0 * (here * 104729 % 31)], axis=1)
    return TrackBatch(
        track_ids=here + 1,
        boxes_xyxy=np.concatenate([corners, corners + 60], axis=1).astype(np.float32),
        scores=np.ones(n, np.float32),
        class_ids=np.zeros(n, np.int16),
        qualities=np.ones(n, np.float32),
        embedding_rows=np.arange(n, dtype=np.int32),
        embeddings=road.embeddings[here].astype(np.float16),
        ended=ended + 1,
        embedder="road",
    )


def _tool(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("road_of_cameras", shared / "tools" / "road_of_cameras.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Prints a line for each mode, profile and seed."""
    parser = argparse.ArgumentParser(description="Association along a road of cameras")
    parser.add_argument("--quality", action="store_true", required=True, help="score the gids, the only figure so far")
    parser.add_argument("--tracks", type=int, default=3200, help="number of tracks (default 3200)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the road (default 0 1 2)")
    parser.add_argument("--mode", nargs="+", choices=["live", "reference"], default=["live"], help="default live")
    arguments = parser.parse_args()
    shared = shared_folder() or sys.exit("no data found: set MTMC_SHARED to the folder that holds tools/")
    tool = _tool(shared)
    for mode in arguments.mode:
        for profile in _PROFILES:
            for seed in arguments.seeds:
                road = tool.generate(arguments.tracks, profile=profile, seed=seed)
                gids, durations = associated(road, mode)
                figures = "  ".join(f"{name} {value:.3f}" for name, value in tool.score(road, gids).items())
                p95_ms = 1000 * float(np.percentile(durations, 95))
                print(f"{mode:9} {profile} seed {seed}: {figures}  cycle p95 {p95_ms:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
