"""What a viewer can ask for in the address of a picture or a stream: `?width=640&fps=5&cameras=gate,yard`."""

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


@dataclass(frozen=True)
class WallOptions:
    """What one live page asked for."""

    cameras: frozenset[str] | None = None
    """Those whose pictures it shows; None: all."""
    width: int | None = None
    """As in `PictureOptions`, like `fps`."""
    fps: float | None = None
    first_width: int | None = None
    """The width to begin with, because its connection was too slow for more before."""


def wall_options(arguments: Mapping[str, str]) -> WallOptions:
    """The options in the query of `/wall.stream`; a camera that the site does not have may still be added.

    Raises:
        BadRequest: as for `picture_options`.
    """
    options = picture_options(arguments)
    cameras = arguments.get("cameras")
    return WallOptions(
        None if cameras is None else frozenset(filter(None, cameras.split(","))),
        options.width,
        options.fps,
        _width(arguments, "first_width"),
    )


def _width(arguments: Mapping[str, str], name: str) -> int | None:
    width = arguments.get(name)
    if width is None:
        return None
    if not (_WHOLE.fullmatch(width) and 1 <= int(width) <= WIDTHS[-1]):
        raise BadRequest(f"{name} must be a whole number of pixels, 1 to {WIDTHS[-1]}")
    return step_up(int(width))


def picture_options(arguments: Mapping[str, str], *, with_fps: bool = True) -> PictureOptions:
    """The options in the query of an address; other arguments are ignored, as players and caches add some.

    Raises:
        BadRequest: a value is not a number, or out of range.
    """
    width, fps = _width(arguments, "width"), arguments.get("fps") if with_fps else None
    if fps is not None and not (_NUMBER.fullmatch(fps) and MIN_FPS <= float(fps) <= MAX_FPS):
        raise BadRequest(f"fps must be a number of pictures per second, {MIN_FPS:g} to {MAX_FPS:g}")
    return PictureOptions(width, None if fps is None else float(fps))
