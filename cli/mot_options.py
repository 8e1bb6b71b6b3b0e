"""Arguments, options and words of the commands that read MOTChallenge text."""

from __future__ import annotations

import re
from typing import Annotated

import typer

Fps = Annotated[float, typer.Option("--fps", min=0.001, max=1000, help="Frames per second of the text.")]
FirstFrame = Annotated[int, typer.Option(min=0, max=1, help="Number of the first frame: 1, or 0.")]
FrameSize = Annotated[
    str | None, typer.Option(metavar="WxH", help="Of the frames, pixels; else nothing is known of their borders.")
]
Stride = Annotated[int, typer.Option("--stride", min=1, max=10_000, help="Take every N-th frame.")]


def frame_size(text: str | None) -> tuple[int, int] | None:
    """`1920x1080` as width and height.

    Raises:
        BadParameter: it is something else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})[x×]([1-9]\d{0,5})", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"--size {text}: write width and height as in 1920x1080")
    return int(match.group(1)), int(match.group(2))
