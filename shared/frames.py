"""The wire format of `frames:{camera}`: annotated pictures, written by workers, read by streamers and recorders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import MessageError

_JPEG_BEGINS_WITH = b"\xff\xd8"


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

    def encode(self) -> dict[str, int | bytes]:
        """The fields of the stream entry; the camera is in the key."""
        return {
            "tick": self.tick,
            "time_ns": self.time_ns,
            "width": self.width,
            "height": self.height,
            "jpeg": self.jpeg,
        }

    @classmethod
    def decode(cls, camera: str, fields: Mapping[bytes, bytes]) -> FrameEntry:
        """The reverse of `encode`.

        Raises:
            MessageError: a field is missing or is not a number, or the picture is not a JPEG.
        """
        try:
            tick, time_ns, width, height = (int(fields[name]) for name in (b"tick", b"time_ns", b"width", b"height"))
            jpeg = fields[b"jpeg"]
        except KeyError as error:
            raise MessageError(f"frames:{camera}: the field {error.args[0].decode()} is missing") from None
        except ValueError as error:
            raise MessageError(f"frames:{camera}: {error}") from None
        if not jpeg.startswith(_JPEG_BEGINS_WITH):
            raise MessageError(f"frames:{camera}: the picture is not a JPEG")
        return cls(camera, tick, time_ns, width, height, jpeg)
