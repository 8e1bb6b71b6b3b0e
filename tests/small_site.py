"""A site of tiny files with nothing wrong, for tests that spoil something of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.free_ports import free_port
from tests.unit.vision.model_files import write_constant_model, write_mean_model


def small_site(folder: Path, cameras: str) -> dict[str, Any]:
    """Writes two networks and, for each letter of `cameras`, a recording of 2 s; returns the site file's content."""
    person = {"names": "{0: 'person'}"}
    write_constant_model(folder / "detector.onnx", np.zeros((5, 21), np.float32), ("batch", 3, 32, 32), metadata=person)
    write_mean_model(folder / "embedder.onnx")
    for name in cameras:
        video = cv2.VideoWriter(str(folder / f"{name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
        for _ in range(20):
            video.write(
                np.kron(
                    np.eye(2, dtype=np.uint8)[..., None] * np.full(3, 200, np.uint8), np.ones((24, 32, 1), np.uint8)
                )
            )
        video.release()
    return {
        "site": "hall",
        "detector": {"model": "detector.onnx"},
        "embedder": {"model": "embedder.onnx"},
        "cameras": [{"name": name, "source": f"{name}.avi", "loop": True} for name in cameras],
        # With 0, `mtmc up` picks a port seconds before the streamer opens it, and another program may have it by then.
        "streamer": {"port": free_port()},
    }
