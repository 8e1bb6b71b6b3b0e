"""The question `try_source`: a worker tries the address of a stream before a camera is added.

`docs/keys.md` describes the fields.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import MessageError, MtmcError
from shared.lenient_values import decimal, whole
from shared.questions import Fields
from shared.site_state.states import WorkerState

TRY_SOURCE = "try_source"
"""The kind of the question."""
LONGEST_S = 20.0
"""How long a worker takes at most."""
JPEG_WIDTH = 640
"""Wider pictures are scaled down to this width."""


class NoSuchWorker(MtmcError):
    """No live worker has the labels of a camera."""

    exit_code = 1


def worker_with(workers: Sequence[WorkerState], labels: Collection[str]) -> str:
    """The id of the live worker with all of the labels; of several, the one with the fewest cameras.

    Raises:
        NoSuchWorker: there is none.
    """
    fitting = [worker for worker in workers if set(labels) <= set(worker.labels.split())]
    if not fitting:
        which = "the label" if len(labels) == 1 else "all of the labels"
        raise NoSuchWorker(f"no live worker has {which} {', '.join(labels)}")
    return min(fitting, key=lambda worker: (len(worker.cameras.split()), worker.id)).id


@dataclass(frozen=True)
class TrialRequest:
    """What to try."""

    source: str = field(repr=False)
    """The URL of a stream; may contain a password."""
    transport: str = "auto"
    ffmpeg_options: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> Fields:
        """The fields of the question."""
        return {"settings": json.dumps(vars(self))}

    @classmethod
    def decode(cls, fields: Mapping[str, bytes]) -> TrialRequest:
        """The inverse of `encode`.

        Raises:
            MessageError: the question is something else.
        """
        try:
            found = json.loads(fields.get("settings", b""))
            return cls(
                str(found["source"]),
                str(found["transport"]),
                {str(name): str(value) for name, value in found["ffmpeg_options"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MessageError("the request has an unknown form") from None


@dataclass(frozen=True)
class TrialAnswer:
    """What became of it; None means unknown."""

    worker: str
    host: str
    """The machine that tried it."""
    reason: str = ""
    """Why there are no pictures, or why they ended; empty: they arrive."""
    warning: str = ""
    """What is wrong with the pictures; empty: nothing."""
    kind: str = ""
    codec: str = ""
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    first_picture_s: float | None = None
    jpeg: bytes = field(default=b"", repr=False)
    """The first picture, at most `JPEG_WIDTH` wide; empty: there is none."""

    def encode(self) -> Fields:
        """The fields of the answer; those that are unknown are left out."""
        fields: dict[str, Any] = {name: value for name, value in vars(self).items() if value is not None}
        fields["payload"] = fields.pop("jpeg")
        return fields

    @classmethod
    def decode(cls, fields: Mapping[str, bytes]) -> TrialAnswer:
        """The inverse of `encode`; what cannot be read is unknown."""
        text = {name: value.decode(errors="replace") for name, value in fields.items() if name != "payload"}
        return cls(
            worker=text.get("worker", ""),
            host=text.get("host", ""),
            reason=text.get("reason", ""),
            warning=text.get("warning", ""),
            kind=text.get("kind", ""),
            codec=text.get("codec", ""),
            width=whole(text.get("width")),
            height=whole(text.get("height")),
            fps=decimal(text.get("fps")),
            first_picture_s=decimal(text.get("first_picture_s")),
            jpeg=fields.get("payload", b""),
        )
