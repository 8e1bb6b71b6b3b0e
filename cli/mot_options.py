"""Options shared by the commands that read MOTChallenge text."""

from __future__ import annotations

import re
from typing import Annotated

import typer

Fps = Annotated[
    float, typer.Option("--fps", min=0.001, max=1000, help="Frame rate of the video that the text was made from.")
]
FirstFrame = Annotated[int, typer.Option(min=0, max=1, help="Number of the first frame (0 or 1).")]
FrameSize = Annotated[
    str | None,
    typer.Option(
        metavar="WxH", help="Frame size in pixels, to recognise boxes cut off at the border.", show_default="unknown"
    ),
]
Stride = Annotated[int, typer.Option("--stride", min=1, max=10_000, help="Use every N-th frame.")]


def frame_size(text: str | None) -> tuple[int, int] | None:
    """Parses `1920x1080` into width and height.

    Raises:
        BadParameter: `text` has another form.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})[x×]([1-9]\d{0,5})", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"--size {text}: give width and height, for example 1920x1080")
    return int(match.group(1)), int(match.group(2))
