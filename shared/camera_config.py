"""The settings of a camera."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from shared.camera_source import address_problem, is_file_source
from shared.config_fields import (
    MOST_POLYGONS,
    PATH_LENGTH,
    Classes,
    DetectorModel,
    FilePath,
    ModelSection,
    Name,
    PictureSize,
    Polygon,
    Score,
    Section,
)
from shared.errors import hide
from shared.head_names import HeadName

Number = Annotated[float, Field(ge=-1e6, le=1e6, strict=True)]
FfmpegOption = Literal[
    "allowed_media_types",
    "analyzeduration",
    "buffer_size",
    "fflags",
    "flags",
    "http_proxy",
    "listen_timeout",
    "max_delay",
    "min_port",
    "max_port",
    "probesize",
    "referer",
    "reorder_queue_size",
    "rtsp_flags",
    "tls_verify",
    "user_agent",
]
"""None of them names a file or a program, or prints anything."""


class CameraDetectorConfig(ModelSection):
    """Detector settings of one camera that override those of the site."""

    model: DetectorModel | None = None
    head: HeadName | None = Field(None, description="of this camera's own `model`")
    size: PictureSize | None = Field(None, description="of this camera's own `model`")
    min_score: Score | None = None
    nms_iou: Score | None = None
    classes: Classes | None = None

    @model_validator(mode="after")
    def _head_and_size_are_of_a_model(self) -> Self:
        if self.model is None and (self.head is not None or self.size is not None):
            raise ValueError("head and size describe a model; set model too, or set them in the site's detector")
        return self


class PointPair(Section):
    """A place on the ground, in a picture and in metres."""

    pixel: tuple[Number, Number] = Field(description="[x, y] in a picture of the given size")
    metres: tuple[Number, Number] = Field(description="[x, y] on the ground, with the origin of the whole site")


class CalibrationPoints(Section):
    """A calibration by point pairs, as in a calibration file."""

    width: int = Field(ge=1, le=65536, description="of the pictures in which the pixels were read")
    height: int = Field(ge=1, le=65536)
    points: Annotated[tuple[PointPair, ...], Field(max_length=100, json_schema_extra={"minItems": 4})] = Field(
        description="at least four, spread over the ground"
    )


class CameraConfig(Section):
    """One camera."""

    name: Name = Field(description="letters, digits, '_', '-', '.'; used in Redis keys and URLs")
    source: str = Field(
        min_length=1,
        max_length=PATH_LENGTH,
        description="path of a video file, rtsp(s):// or http(s):// URL, or /dev/videoN",
    )
    loop: bool = Field(False, description="play the file again from the beginning when it ends")
    title: str | None = Field(
        None, min_length=1, max_length=100, description="text for people; if not set, they see the name"
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="frame rate at which a file without time stamps plays (raw H.264, images); another file plays "
        "faster or slower, so that this becomes its average rate",
    )
    transport: Literal["auto", "tcp", "udp"] = Field(
        "auto", description="transport of an RTSP stream; auto: TCP if the camera offers it"
    )
    open_timeout_seconds: float = Field(
        5.0, ge=0.1, le=120, description="a stream that does not answer for this long is down"
    )
    read_timeout_seconds: float = Field(
        5.0, ge=0.1, le=120, description="a stream that sends no picture for this long is down"
    )
    freeze_seconds: float = Field(
        30.0, ge=0, le=86400, description="a live picture that has not changed for this long is frozen; 0: never"
    )
    hwaccel: Literal["none", "auto", "cuda", "qsv", "vaapi", "drm", "amf", "videotoolbox", "d3d11va"] = Field(
        "none", description="hardware that decodes the video; auto: the first that works, otherwise the CPU"
    )
    ffmpeg_options: dict[FfmpegOption, Annotated[str, Field(max_length=1000)]] = Field(
        {}, description="further options of FFmpeg for a stream"
    )
    mask: FilePath | None = Field(
        None, description="path of an image of the view; detections whose centre is on a black pixel are dropped"
    )
    mask_polygons: Annotated[tuple[Polygon, ...], Field(max_length=MOST_POLYGONS)] = Field(
        (),
        description="areas of the view, beside the mask: detections whose centre is in one are dropped; each is a list "
        "of at least three corners [x, y], from [0, 0] at the top left to [1, 1] at the bottom right",
    )
    calibration: FilePath | None = Field(
        None, description="path of a file that says where the ground is in the picture; see docs/calibration.md"
    )
    calibration_points: CalibrationPoints | None = Field(
        None, description="a calibration by point pairs, instead of a file"
    )
    time_offset_seconds: float | None = Field(
        None, description="file: how much later than the other files it begins; live source: added to its timestamps"
    )
    time_scale: float | None = Field(None, gt=0, description="playback speed of a file: 2 plays twice as fast")
    labels: tuple[Name, ...] = Field((), description="only workers that have all of these labels claim the camera")
    detector: CameraDetectorConfig | None = Field(None, description="overrides the site's detector for this camera")
    paused: bool = Field(False, description="the camera is not processed until it is resumed")
    secrets: SkipJsonSchema[tuple[str, ...]] = Field((), repr=False)
    """What came from `${file:…}` and `${VAR}` and is never shown; filled in by `shared.config_file`, published with the
    settings."""

    @field_validator("source")
    @classmethod
    def _source_resolved(cls, source: str, info: ValidationInfo) -> str:
        context = info.context or {}
        if problem := address_problem(source):
            raise ValueError(problem)
        if not is_file_source(source):
            return source
        path = Path(source).expanduser()
        if not path.is_absolute() and "base" in context:
            path = (Path(context["base"]) / path).resolve()
        if context.get("check_files") and not path.is_file():
            raise ValueError(
                f"there is no file at {path}; use the path of a video file, an rtsp:// or http:// URL, or /dev/videoN"
            )
        return str(path)

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Most cameras have none of these; their settings stay as earlier versions know them."""
        written: dict[str, Any] = handler(self)
        for name in ("secrets", "mask_polygons", "calibration_points"):
            if not getattr(self, name):
                written.pop(name, None)
        return written

    def shown(self, text: str) -> str:
        """`text`, such as the source or a message about it, without secrets of this camera and without credentials."""
        return hide(text, self.secrets)

    @property
    def is_file(self) -> bool:
        """Whether the source is a video file, not a live camera."""
        return is_file_source(self.source)
