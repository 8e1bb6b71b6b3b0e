"""The wire format of `tracks:{camera}`: what one camera saw at one tick.

An entry's plain fields are `schema seq camera tick time_ns n`; `payload` is msgpack of little-endian arrays. The format
is described in `docs/wire-format.md`; the tests contain golden bytes of every schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import msgpack
import numpy as np
import numpy.typing as npt

from shared.errors import MessageError

SCHEMA = 1
Pose = Literal["fixed", "moving", "moved"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "track_id": np.dtype("<i8"),
    "box_xyxy": np.dtype("<f4"),
    "score": np.dtype("<f4"),
    "class": np.dtype("<i2"),
    "quality": np.dtype("<f4"),
    "embedding_row": np.dtype("<i4"),
    "embeddings": np.dtype("<f2"),
    "ended": np.dtype("<i8"),
}


_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1


def _none(dtype: str, *shape: int) -> Any:
    return field(default_factory=lambda: np.zeros(shape, dtype))


@dataclass(frozen=True)
class TrackBatch:
    """The confirmed tracks that one camera saw at one tick."""

    track_ids: npt.NDArray[np.int64] = _none("i8", 0)
    """`(n,)`; never reused within a camera."""
    boxes_xyxy: npt.NDArray[np.float32] = _none("f4", 0, 4)
    """`(n, 4)`, pixels of the source frame."""
    scores: npt.NDArray[np.float32] = _none("f4", 0)
    """`(n,)`, 0 to 1."""
    class_ids: npt.NDArray[np.int16] = _none("i2", 0)
    """`(n,)`, the detector's class numbers."""
    qualities: npt.NDArray[np.float32] = _none("f4", 0)
    """`(n,)`, 0 to 1: how well a box shows the object's appearance."""
    embedding_rows: npt.NDArray[np.int32] = _none("i4", 0)
    """`(n,)`: row in `embeddings`; -1: not embedded at this tick."""
    embeddings: npt.NDArray[np.float16] = _none("f2", 0, 0)
    """`(m, D)`, unit norm."""
    ended: npt.NDArray[np.int64] = _none("i8", 0)
    """`(k,)`: tracks that have ended since the last entry."""
    embedder: str = ""
    """Checksum of the embedder; embeddings of different embedders are never compared."""
    width: int = 0
    """Of the source frame, pixels; 0 if there was no picture: the entry then has no information about tracks."""
    height: int = 0
    """Like `width`."""
    pose: Pose = "fixed"
    """Whether the camera looks where it was set up to look, moves, or was moved for good."""

    def __len__(self) -> int:
        return len(self.track_ids)

    def encode(self) -> bytes:
        """The payload of the stream entry."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "track_id": self.track_ids,
            "box_xyxy": self.boxes_xyxy,
            "score": self.scores,
            "class": self.class_ids,
            "quality": self.qualities,
            "embedding_row": self.embedding_rows,
            "embeddings": self.embeddings,
            "ended": self.ended,
        }
        packed: dict[str, Any] = {
            name: np.ascontiguousarray(array, _DTYPES[name]).tobytes() for name, array in arrays.items()
        }
        packed["dimension"] = int(self.embeddings.shape[1])
        packed |= {"embedder": self.embedder, "width": self.width, "height": self.height}
        if self.pose != "fixed":
            packed["pose"] = self.pose
        result: bytes = msgpack.packb(packed)
        return result

    @classmethod
    def decode(cls, payload: bytes) -> TrackBatch:
        """The reverse of `encode`.

        Raises:
            MessageError: the payload does not follow the wire format; the message says where.
        """
        try:
            packed = msgpack.unpackb(payload)
            arrays = {name: np.frombuffer(packed[name], dtype) for name, dtype in _DTYPES.items()}
            dimension, embedder = int(packed["dimension"]), str(packed["embedder"])
            width, height = int(packed["width"]), int(packed["height"])
            pose = packed.get("pose", "fixed")
            boxes = arrays["box_xyxy"].reshape(-1, 4)
            embeddings = (
                arrays["embeddings"].reshape(-1, dimension) if dimension else arrays["embeddings"].reshape(0, 0)
            )
        except KeyError as error:
            raise MessageError(f"the payload has no {error}") from None
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
            raise MessageError(f"the payload cannot be unpacked: {error}") from None
        batch = cls(
            arrays["track_id"],
            boxes,
            arrays["score"],
            arrays["class"],
            arrays["quality"],
            arrays["embedding_row"],
            embeddings,
            arrays["ended"],
            embedder,
            width,
            height,
            pose,
        )
        batch._check()
        return batch

    def _check(self) -> None:
        n = len(self.track_ids)
        lengths = {len(self.boxes_xyxy), len(self.scores), len(self.class_ids), len(self.qualities)}
        if lengths | {len(self.embedding_rows)} != {n}:
            raise MessageError(f"the arrays of a payload differ in length: {n} tracks, but {sorted(lengths)}")
        if len(np.unique(self.track_ids)) != n:
            raise MessageError("the payload has the same track id twice")
        rows = self.embedding_rows
        if n and (rows.min() < -1 or rows.max() >= len(self.embeddings)):
            raise MessageError(f"embedding_row points outside the {len(self.embeddings)} embeddings")
        numbers = (self.boxes_xyxy, self.scores, self.qualities, self.embeddings)
        if not all(np.isfinite(array).all() for array in numbers):
            raise MessageError("the payload contains numbers that are not finite")
        if not all(0 <= size <= _INT32_MAX for size in (self.width, self.height)):
            raise MessageError(f"a picture cannot be {self.width} × {self.height} pixels")
        if self.pose not in get_args(Pose):
            raise MessageError(f"pose is {self.pose!r}, but it must be one of {', '.join(get_args(Pose))}")


@dataclass(frozen=True)
class TrackEntry:
    """One entry of `tracks:{camera}`."""

    seq: int
    """Number of the entry within its camera, without gaps, so that a lost entry is noticed."""
    camera: str
    tick: int
    time_ns: int
    """Site time of the picture."""
    batch: TrackBatch

    @classmethod
    def decode(cls, fields: Mapping[bytes, bytes]) -> TrackEntry:
        """From the fields of a stream entry.

        Raises:
            MessageError: the entry does not follow the wire format; the message says where.
        """
        try:
            schema = int(fields[b"schema"])
            if schema != SCHEMA:
                raise MessageError(f"unknown schema {schema} (known: {SCHEMA}); run the same version of all services")
            entry = cls(
                _counted(fields, b"seq"),
                fields[b"camera"].decode(),
                _counted(fields, b"tick"),
                _counted(fields, b"time_ns"),
                TrackBatch.decode(fields[b"payload"]),
            )
            count = int(fields[b"n"])
        except KeyError as error:
            raise MessageError(f"the entry has no field {error}") from None
        except ValueError as error:
            raise MessageError(f"the entry cannot be read: {error}") from None
        if count != len(entry.batch):
            raise MessageError(f"the entry says n={count}, but its payload has {len(entry.batch)} tracks")
        return entry


def _counted(fields: Mapping[bytes, bytes], name: bytes) -> int:
    """An integer field from 0 to the largest int64; raises ValueError if it is not."""
    value = int(fields[name])
    if not 0 <= value <= _INT64_MAX:
        raise ValueError(f"{name.decode()} = {value} is out of range")
    return value
