"""Clips of 1080p for the check: coloured shapes that move over a textured ground, encoded as H.264."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

FPS = 10
_SHAPES = 12


def pictures(seed: int, count: int, width: int = 1920, height: int = 1080) -> Iterator[npt.NDArray[np.uint8]]:
    """`count` pictures of one clip, `(height, width, 3)` uint8 BGR; the last is followed smoothly by the first."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 190, (height // 24, width // 24, 3), np.uint8)
    ground = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    centres = rng.random((_SHAPES, 2)) * (width, height)
    reach = rng.random((_SHAPES, 2)) * (width / 6, height / 6)
    phases = rng.random((_SHAPES, 2)) * 2 * np.pi
    sizes = np.array([height / 14, height / 6]) * (0.5 + rng.random((_SHAPES, 1)))
    colours = rng.integers(0, 256, (_SHAPES, 3))
    for number in range(count):
        picture = ground.copy()
        angle = 2 * np.pi * number / count
        for centre, far, phase, size, colour in zip(centres, reach, phases, sizes, colours, strict=True):
            middle = centre + far * np.sin(angle + phase)
            first, last = (middle - size / 2).astype(int), (middle + size / 2).astype(int)
            cv2.rectangle(picture, tuple(first.tolist()), tuple(last.tolist()), tuple(colour.tolist()), -1)
            cv2.circle(picture, tuple(first.tolist()), int(size[0] // 3), tuple((255 - colour).tolist()), -1)
        yield picture


def write_clips(folder: Path, clips: int, seconds: int, width: int = 1920, height: int = 1080) -> list[Path]:
    """Writes `clip0.mp4`, … into `folder`, at `FPS`.

    Returns:
        Their paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"clip{number}.mp4" for number in range(clips)]
    for seed, path in enumerate(paths):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", Fraction(FPS), {"preset": "medium", "crf": "28", "g": "20"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for picture in pictures(seed, seconds * FPS, width, height):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
            container.mux(stream.encode())
    return paths
