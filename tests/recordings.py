"""Recordings for tests, made from scenes of `tests.unit.association.scenes` at ten ticks per second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from association.outcome import CameraTick
from recording.description import Description
from recording.reading import Recording
from recording.writing import RecordingWriter
from shared.config import SiteConfig
from shared.layout import Layout
from shared.messages import TrackEntry

ORIGIN_NS = 1_700_000_000 * 10**9


def site_config(cameras: Sequence[str], name: str = "hall", **association: Any) -> SiteConfig:
    """A site with a short retention time."""
    return SiteConfig.model_validate(
        {
            "site": name,
            "clock": {"mode": "virtual", "target_fps": 10},
            "detector": {"model": "/d.onnx"},
            "embedder": {"model": "/e.onnx"},
            "association": {"retention_seconds": 8, "linger_seconds": 1, "checkpoint_seconds": 2} | association,
            "cameras": [{"name": camera, "source": f"rtsp://me:hunter2@{camera}/"} for camera in cameras],
        }
    )


def write_recording(
    folder: Path, scene: Sequence[CameraTick], layout: Layout, *, first_tick: int = 1, **association: Any
) -> Recording:
    """Write the entries of `scene` as a recording without assignments; its first tick becomes `first_tick`."""
    cameras = layout.cameras
    shift = first_tick - 1
    described = Description.of(
        site_config(cameras, **association), layout, "a test", origin_ns=ORIGIN_NS, first_tick=first_tick
    )
    with RecordingWriter(folder, described) as writer:
        for seq, one in enumerate(scene, start=1):
            tick = one.tick + shift
            writer.add(TrackEntry(seq, cameras[one.camera], tick, ORIGIN_NS + tick * 10**8, one.batch))
        writer.finish(max(one.tick for one in scene) + shift)
    return Recording.open(folder)
