"""Options shared by the commands that read MOTChallenge text."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from recording.mot_forms import Form

Fps = Annotated[
    float, typer.Option("--fps", min=0.001, max=1000, help="Frame rate of the video that the text was made from.")
]


class TextFormat(StrEnum):
    """As `recording.mot_forms.Form`, which takes long to import."""

    MOT = "mot"
    MOT15 = "mot15"
    VISDRONE = "visdrone"
    CITYFLOW = "cityflow"


FirstFrame = Annotated[
    int | None,
    typer.Option(min=0, max=1, help="Number of the first frame.", show_default="0 if a file has a frame 0, else 1"),
]
FormatOption = Annotated[
    TextFormat | None,
    typer.Option("--format", help="Format of the text (docs/recordings.md).", show_default="recognised"),
]
FrameSize = Annotated[
    str | None,
    typer.Option(
        metavar="WxH", help="Frame size in pixels, to recognise boxes cut off at the border.", show_default="unknown"
    ),
]
Stride = Annotated[int, typer.Option("--stride", min=1, max=10_000, help="Use every N-th frame.")]


def form_of(text_format: TextFormat | None) -> Form | None:
    """The form of the option `--format`; None: the content decides."""
    return None if text_format is None else text_format.value


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
