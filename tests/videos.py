"""Videos for tests, written with FFmpeg: every picture shows its number, so that a test knows which one it got."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS, BLOCK_PX = 12, 32
SIZE = (BITS * BLOCK_PX, 2 * BLOCK_PX)
CLOCK = 90_000
"""Units of the time stamps per second, which every container can hold."""


def picture(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """`(height, width, 3)` uint8: a row of blocks, white where `number` has a 1 bit."""
    width, height = size
    bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8)
    columns = bits[np.arange(width) * BITS // width] * 200 + 28
    return np.repeat(np.tile(columns, (height, 1))[..., None], 3, axis=2)


def number_in(image: NDArray[np.uint8]) -> int:
    """The number that a picture shows."""
    height, width = image.shape[:2]
    middle = image[height // 2, (np.arange(BITS) * 2 + 1) * width // (2 * BITS), 1]
    return sum(1 << bit for bit in range(BITS) if middle[bit] > 127)


def write_video(
    path: Path,
    times_s: Sequence[float],
    *,
    container: str | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = SIZE,
    rate: int = 30,
    rotation: int | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    first: int = 0,
) -> Path:
    """Write pictures `first`, `first + 1`, … with these time stamps."""
    output = av.open(str(path), "w", format=container, options=container_options or {})
    output.metadata.update(metadata or {})
    stream = output.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = *size, pixels
    stream.options = options or {}
    stream.codec_context.time_base = Fraction(1, CLOCK)
    if rotation is not None:
        stream.set_display_rotation(rotation)
    for number, time_s in enumerate(times_s, start=first):
        frame = av.VideoFrame.from_ndarray(picture(number, size), format="bgr24").reformat(format=pixels)
        frame.pts, frame.time_base = round(time_s * CLOCK), Fraction(1, CLOCK)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
    output.close()
    return path
