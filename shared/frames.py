"""The wire format of `frames:{camera}`: annotated pictures, written by workers, read by streamers and recorders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.errors import MessageError

_JPEG_BEGINS_WITH = b"\xff\xd8"
_LARGEST = 1 << 53
"""Of the numbers of a box, so that a page can read them exactly."""


class FrameBox(NamedTuple):
    """An object in a picture, as it is drawn there."""

    gid: int | None
    """None: the object has no global id yet."""
    left: int
    """Pixels of the JPEG, like the other edges."""
    top: int
    right: int
    bottom: int
    class_name: str
    """Empty if the worker does not know what the class is called."""


@dataclass(frozen=True)
class FrameEntry:
    """One annotated picture of a camera."""

    camera: str
    tick: int
    time_ns: int
    """Site time of the picture."""
    width: int
    """Pixels of the JPEG, like `height`."""
    height: int
    jpeg: bytes
    boxes: tuple[FrameBox, ...] = ()

    def encode(self) -> dict[str, int | bytes | str]:
        """The fields of the stream entry; the camera is in the key."""
        return {
            "tick": self.tick,
            "time_ns": self.time_ns,
            "width": self.width,
            "height": self.height,
            "boxes": json.dumps(self.boxes, separators=(",", ":")),
            "jpeg": self.jpeg,
        }

    @classmethod
    def decode(cls, camera: str, fields: Mapping[bytes, bytes]) -> FrameEntry:
        """The reverse of `encode`. An entry without boxes, as older workers write it, has none.

        Raises:
            MessageError: a field is missing or malformed, or the picture is not a JPEG.
        """
        try:
            tick, time_ns, width, height = (int(fields[name]) for name in (b"tick", b"time_ns", b"width", b"height"))
            jpeg = fields[b"jpeg"]
            boxes = tuple(_box(row) for row in json.loads(fields.get(b"boxes", b"[]")))
        except KeyError as error:
            raise MessageError(f"frames:{camera}: the field {error.args[0].decode()} is missing") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise MessageError(f"frames:{camera}: {error}") from None
        if not jpeg.startswith(_JPEG_BEGINS_WITH):
            raise MessageError(f"frames:{camera}: the picture is not a JPEG")
        return cls(camera, tick, time_ns, width, height, jpeg, boxes)


def _box(row: Any) -> FrameBox:
    """A row of the field `boxes`.

    Raises:
        TypeError: it has the wrong number of values.
        ValueError: a value has the wrong type, or is too large.
    """
    box = FrameBox(*row)
    gid, *edges, class_name = box
    numbers = edges if gid is None else [gid, *edges]
    if not all(type(number) is int and abs(number) < _LARGEST for number in numbers) or type(class_name) is not str:
        raise ValueError("a box is not [gid, left, top, right, bottom, class]")
    return box
