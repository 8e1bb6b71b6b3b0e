"""What a viewer can ask for in the address of a picture or a stream: `?width=640&fps=5`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from werkzeug.exceptions import BadRequest

from services.streamer.scaling import WIDTHS, step_up

MIN_FPS, MAX_FPS = 0.1, 60.0
_WHOLE = re.compile(r"[0-9]{1,6}")
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


@dataclass(frozen=True)
class PictureOptions:
    """What one viewer asked for."""

    width: int | None
    """One of `WIDTHS`; None: the pictures as they are."""
    fps: float | None
    """The most pictures per second; None: all."""


def picture_options(arguments: Mapping[str, str], *, with_fps: bool = True) -> PictureOptions:
    """The options in the query of an address; other arguments are ignored, as players and caches add some.

    Raises:
        BadRequest: a value is not a number, or out of range.
    """
    width, fps = arguments.get("width"), arguments.get("fps") if with_fps else None
    if width is not None and not (_WHOLE.fullmatch(width) and 1 <= int(width) <= WIDTHS[-1]):
        raise BadRequest(f"width must be a whole number of pixels, 1 to {WIDTHS[-1]}")
    if fps is not None and not (_NUMBER.fullmatch(fps) and MIN_FPS <= float(fps) <= MAX_FPS):
        raise BadRequest(f"fps must be a number of pictures per second, {MIN_FPS:g} to {MAX_FPS:g}")
    return PictureOptions(None if width is None else step_up(int(width)), None if fps is None else float(fps))
