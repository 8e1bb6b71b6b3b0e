"""`/sources`: tries the address of a camera before it is added."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator
from werkzeug.exceptions import Conflict

from services.streamer.api.asking import REFUSALS, answer_of_worker
from services.streamer.api.models import Model, Text, rounded
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest
from shared.camera_config import FfmpegOption
from shared.camera_source import stream_problem
from shared.config_fields import Name
from shared.questions import Refused
from shared.source_trials import JPEG_WIDTH, LONGEST_S, TRY_SOURCE, NoSuchWorker, TrialAnswer, TrialRequest, worker_with

_TAG = "cameras"
_REFERENCE = re.compile(r"\$\{[^}]*\}")
_Kind = Literal["stream", "file", "pictures"]
_Option = Annotated[str, Field(max_length=200)]


class SourceTest(BaseModel):
    """What to try. The names are those of the settings of a camera."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        min_length=1,
        max_length=2048,
        description="the URL of a stream: rtsp://, rtsps://, http:// or https://, with user and password if needed",
    )
    transport: Literal["auto", "tcp", "udp"] = Field("auto", description="of an RTSP stream")
    ffmpeg_options: dict[FfmpegOption, _Option] = Field({}, description="further options of FFmpeg")
    labels: list[Name] = Field([], max_length=16, description="only a worker that has all of these labels tries it")

    @field_validator("source")
    @classmethod
    def _is_stream(cls, source: str) -> str:
        """Files and devices are those of a host, which nobody may look at over HTTP."""
        if problem := stream_problem(source):
            raise ValueError(problem)
        if _REFERENCE.search(source):
            raise ValueError("variables are filled in only where the site file is read; write the value itself")
        return source


class SourceTrial(Model):
    """What became of it."""

    works: bool = Field(description="whether pictures arrive")
    reason: Text | None = Field(description="why not, without credentials; for people")
    warning: Text | None = Field(description="what is wrong with the pictures; for people")
    kind: _Kind | None = Field(
        description="file: it has an end; pictures: an address that serves one picture, and is asked again and again"
    )
    codec: Text | None = Field(description="by FFmpeg's name, such as h264; null: unknown")
    width: int | None = Field(description="pixels of the source")
    height: int | None
    fps: float | None = Field(description="pictures per second, as they arrived within 2 s")
    first_picture_s: float | None = Field(description="seconds until the first picture")
    picture: Text | None = Field(
        description=f"the first picture as a data: URL (image/jpeg), at most {JPEG_WIDTH} pixels wide"
    )
    worker: Text = Field(description="the worker that tried it; its host must reach the camera")
    host: Text


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operation."""

    @api.question(
        "/sources/test",
        "Try the address of a camera before it is added",
        SourceTrial,
        tag=_TAG,
        body=SourceTest,
        description=f"A worker opens it, which takes 3 to {LONGEST_S:.0f} s. 200 also if it does not work: `reason` "
        "says why. Files and devices are refused.",
        refusals={409: "the worker cannot try it", **REFUSALS},
    )
    def _test(body: SourceTest) -> SourceTrial:
        worker = _worker_with(parts, body.labels) if body.labels else ""
        options = {str(name): value for name, value in body.ffmpeg_options.items()}
        request = TrialRequest(body.source, body.transport, options)
        try:
            found = answer_of_worker(parts, TRY_SOURCE, request.encode(), LONGEST_S, worker)
        except Refused as error:
            raise Conflict(str(error)) from None
        return _shown(TrialAnswer.decode(found))


def _worker_with(parts: ApiParts, labels: list[str]) -> str:
    """A live worker with all of the labels.

    Raises:
        InvalidRequest: there is none.
    """
    try:
        return worker_with(parts.site.current().workers, labels)
    except NoSuchWorker as error:
        raise InvalidRequest([InvalidParameter(parameter="labels", message=str(error))]) from None


def _shown(answer: TrialAnswer) -> SourceTrial:
    kind = next((one for one in get_args(_Kind) if one == answer.kind), None)
    return SourceTrial(
        works=not answer.reason,
        reason=answer.reason or None,
        warning=answer.warning or None,
        kind=kind,
        codec=answer.codec or None,
        width=answer.width,
        height=answer.height,
        fps=rounded(answer.fps, 1),
        first_picture_s=answer.first_picture_s,
        picture=f"data:image/jpeg;base64,{base64.b64encode(answer.jpeg).decode()}" if answer.jpeg else None,
        worker=answer.worker,
        host=answer.host,
    )
