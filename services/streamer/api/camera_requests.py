"""What may be asked of cameras over HTTP: the settings of a request become those of a camera, or problems. Pure.

A request must not make a worker read files or variables of its host. So a source is the address of a stream, without
references such as `${VARIABLE}`, and settings that name files are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

from pydantic import BaseModel, Field, GetJsonSchemaHandler, RootModel, create_model
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from services.streamer.api.corrections import CommandId
from services.streamer.api.models import Model, Text
from services.streamer.api.problem_details import InvalidParameter, InvalidRequest
from shared.calibration import CalibrationError
from shared.camera_calibrations import of_points
from shared.camera_config import CalibrationPoints, CameraConfig, CameraDetectorConfig, PointPair
from shared.camera_source import STREAM_SCHEMES
from shared.config_fields import MOST_POLYGONS, NAME_PATTERN, Polygon
from shared.config_file import camera_from
from shared.errors import ConfigError, MaskError
from shared.operator_commands import OperatorCommand
from vision.video.mask import camera_mask

_SETTINGS = (
    "title",
    "loop",
    "fps",
    "transport",
    "open_timeout_seconds",
    "read_timeout_seconds",
    "freeze_seconds",
    "hwaccel",
    "ffmpeg_options",
    "time_offset_seconds",
    "time_scale",
    "labels",
    "mask_polygons",
    "calibration_points",
    "paused",
)
"""Settings of a camera that can be sent as they are in a site file."""
_DETECTOR_SETTINGS = ("min_score", "nms_iou", "classes")
_FILES = {
    "mask": "is a file of the host, which cannot be named over HTTP; send mask_polygons, or set it in the site file",
    "calibration": "is a file of the host, which cannot be named over HTTP; send calibration_points, or set it in the "
    "site file",
}
_MODEL = "is about a file of the workers' hosts, which cannot be named over HTTP; set it in the site file"
_REFERENCE = "references such as ${VARIABLE} are read on the host, so they cannot be sent over HTTP; send the value"
_NO_SETTING = "there is no such setting; see `mtmc config schema`"
_SOURCE = f"over HTTP it must be the URL of a stream: {', '.join(f'{scheme}://' for scheme in STREAM_SCHEMES)}"
_ID = "chosen by the sender, to send the same request again without a second effect"
_PLACE = "body"


def _documented(config: type[BaseModel], names: Iterable[str]) -> dict[str, Any]:
    """Fields for the OpenAPI document with the bounds and descriptions of a site file; null: the default."""
    fields: dict[str, Any] = {}
    for name in names:
        field = config.model_fields[name]
        bounded = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        fields[name] = (Optional[bounded], Field(None, description=field.description))  # noqa: UP045
    return fields


_Detector = create_model("DetectorOfCamera", __base__=Model, **_documented(CameraDetectorConfig, _DETECTOR_SETTINGS))
_COMMON: dict[str, Any] = {
    "id": (CommandId | None, Field(None, description=_ID)),
    **_documented(CameraConfig, _SETTINGS),
    "detector": (_Detector | None, Field(None, description="overrides the site's detector for this camera")),
}
_Url = Annotated[str, Field(pattern=rf"^({'|'.join(STREAM_SCHEMES)})://", description="URL of a stream")]
_Name = Annotated[
    str, Field(pattern=NAME_PATTERN, max_length=64, description=CameraConfig.model_fields["name"].description)
]
_Added = create_model("AddedCamera", __base__=Model, **{"name": (_Name, ...), "source": (_Url, ...), **_COMMON})
_Changed = create_model(
    "ChangedCamera", __base__=Model, **{"source": (_Url | None, Field(None, description="URL of a stream")), **_COMMON}
)


class NewCamera(RootModel[dict[str, Any]]):
    """A camera to add, with the settings of a site file; they are checked as there."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(_Added.__pydantic_core_schema__)


class CameraSettingsPatch(RootModel[dict[str, Any]]):
    """Settings of a camera to change; the others stay. Null stands for the default."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(_Changed.__pydantic_core_schema__)


class MaskOfCamera(Model):
    """Where detections are ignored."""

    polygons: Annotated[tuple[Polygon, ...], Field(min_length=1, max_length=MOST_POLYGONS)] = Field(
        description="detections whose centre is in one are dropped; each is a list of corners [x, y], from [0, 0] at "
        "the top left to [1, 1] at the bottom right"
    )
    id: CommandId | None = Field(None, description=_ID)


_InPicture = Annotated[float, Field(ge=0, le=1, strict=True)]
_OnGround = Annotated[float, Field(ge=-1e6, le=1e6, strict=True)]


class GivenPair(Model):
    """A place on the ground, in the picture and in metres."""

    at: tuple[_InPicture, _InPicture] = Field(
        description="[x, y] from [0, 0] at the top left of the picture to [1, 1] at the bottom right"
    )
    metres: tuple[_OnGround, _OnGround] = Field(description="[x, y] on the ground, with the origin of the whole site")


class CalibrationOfRequest(Model):
    """Where the ground is in the picture of a camera."""

    points: Annotated[tuple[GivenPair, ...], Field(min_length=4, max_length=100)] = Field(
        description="at least four, spread over the ground"
    )
    width: int | None = Field(
        None, ge=1, le=65536, strict=True, description="of the picture, pixels; null: as the camera sends it now"
    )
    height: int | None = Field(None, ge=1, le=65536, strict=True)
    id: CommandId | None = Field(None, description=_ID)

    def sized(self, width: int, height: int) -> CalibrationPoints:
        """The points in pixels of a picture."""
        pairs = tuple(
            PointPair(pixel=(pair.at[0] * width, pair.at[1] * height), metres=pair.metres) for pair in self.points
        )
        return CalibrationPoints(width=width, height=height, points=pairs)


class PairOfPoints(Model):
    """A place on the ground, in the picture and in metres."""

    at: list[float] = Field(description="[x, y] in fractions of the picture's width and height")
    metres: list[float]


class PointsOfCamera(Model):
    """The point pairs of a calibration."""

    width: int = Field(description="of the picture, pixels")
    height: int
    points: list[PairOfPoints]


class DetectorOverrides(Model):
    """What overrides the site's detector; null: as the site."""

    own_model: bool = Field(description="whether the camera has a model of its own")
    min_score: float | None
    nms_iou: float | None
    classes: list[int | Text] | None


class CameraSettings(Model):
    """The settings of a camera, without anything that may contain a password."""

    name: Text
    title: Text | None
    address: Text | None = Field(
        description="scheme, host and port of a stream; `file` or `device`; null: only operators see it"
    )
    paused: bool
    labels: list[Text]
    loop: bool
    fps: float | None
    transport: Text
    open_timeout_seconds: float
    read_timeout_seconds: float
    freeze_seconds: float
    hwaccel: Text
    time_offset_seconds: float | None
    time_scale: float | None
    detector: DetectorOverrides
    mask_polygons: list[list[list[float]]] = Field(
        description="corners [x, y] of the areas in which detections are dropped, fractions of width and height"
    )
    calibration_points: PointsOfCamera | None
    has_mask: bool = Field(description="whether the site file gives it an image as mask")
    has_calibration: bool = Field(description="whether the site file gives it a calibration")


def settings_of(camera: CameraConfig, *, with_address: bool) -> CameraSettings:
    """The settings as the API shows them."""
    detector = camera.detector or CameraDetectorConfig()
    return CameraSettings(
        name=camera.name,
        title=camera.title,
        address=_address(camera) if with_address else None,
        paused=camera.paused,
        labels=list(camera.labels),
        loop=camera.loop,
        fps=camera.fps,
        transport=camera.transport,
        open_timeout_seconds=camera.open_timeout_seconds,
        read_timeout_seconds=camera.read_timeout_seconds,
        freeze_seconds=camera.freeze_seconds,
        hwaccel=camera.hwaccel,
        time_offset_seconds=camera.time_offset_seconds,
        time_scale=camera.time_scale,
        detector=DetectorOverrides(
            own_model=detector.model is not None,
            min_score=detector.min_score,
            nms_iou=detector.nms_iou,
            classes=None if detector.classes is None else list(detector.classes),
        ),
        mask_polygons=[[[x, y] for x, y in polygon] for polygon in camera.mask_polygons],
        calibration_points=None if camera.calibration_points is None else _points_of(camera.calibration_points),
        has_mask=camera.mask is not None,
        has_calibration=camera.calibration is not None,
    )


def _points_of(given: CalibrationPoints) -> PointsOfCamera:
    return PointsOfCamera(
        width=given.width,
        height=given.height,
        points=[
            PairOfPoints(at=[x / given.width, y / given.height], metres=list(pair.metres))
            for pair in given.points
            for x, y in (pair.pixel,)
        ],
    )


def _address(camera: CameraConfig) -> str:
    if camera.is_file:
        return "file"
    if "://" not in camera.source:
        return "device"
    scheme, _, rest = camera.source.partition("://")
    host = rest.split("/", 1)[0].split("?", 1)[0].split("#", 1)[0].rpartition("@")[2]
    # An `@` later on may belong to a password with a slash in it.
    return camera.shown(f"{scheme}://{host}") if "@" not in rest.partition(host)[2] else f"{scheme}://***"


def request_id(given: Mapping[str, Any]) -> str | None:
    """The id that the sender chose.

    Raises:
        InvalidRequest: it cannot be one.
    """
    chosen = given.get("id")
    if chosen is not None and not (isinstance(chosen, str) and OperatorCommand.is_id(chosen)):
        raise InvalidRequest([_invalid("id", "must have 1 to 64 letters, digits, '-' or '_'")])
    return chosen


def new_camera(given: Mapping[str, Any]) -> CameraConfig:
    """The camera that a request describes.

    Raises:
        InvalidRequest: it cannot be added; names each setting and says what is wrong, as for a site file.
    """
    written = {name: value for name, value in given.items() if name != "id"}
    problems = _problems(written, "name", "source", *_SETTINGS)
    return _validated(_without_nulls(written), problems)


def changed_camera(before: CameraConfig, given: Mapping[str, Any]) -> CameraConfig:
    """The camera `before` with the settings that a request gives.

    Raises:
        InvalidRequest: it would be no valid camera.
    """
    wanted = {name: value for name, value in given.items() if name != "id"}
    problems = _problems(wanted, "source", *_SETTINGS)
    if "source" in wanted and wanted["source"] is None:
        problems.append(_invalid("source", "is required"))
        del wanted["source"]
    written = before.model_dump(mode="json", by_alias=True, exclude_unset=True)
    own = written.pop("detector", None) or {}
    written |= {name: value for name, value in wanted.items() if name != "detector"}
    if "source" in wanted:
        written.pop("secrets", None)
    detector = wanted.get("detector", {})
    if detector is None:
        detector = dict.fromkeys(_DETECTOR_SETTINGS)
    merged = {**own, **detector} if isinstance(detector, dict) else detector
    if merged or not isinstance(merged, dict):
        written["detector"] = merged
    return _validated(_without_nulls(written), problems)


def _problems(given: Mapping[str, Any], *allowed: str) -> list[InvalidParameter]:
    """What a site file allows and a request does not."""
    problems = []
    for name in given:
        if name in _FILES:
            problems.append(_invalid(name, _FILES[name]))
        elif name == "name" and name not in allowed:
            problems.append(_invalid(name, "a camera keeps its name; remove it and add another one"))
        elif name == "secrets" or (name not in allowed and name != "detector"):
            problems.append(_invalid(name, _NO_SETTING))
    detector = given.get("detector")
    if isinstance(detector, dict):
        known = [name for name in detector if name in CameraDetectorConfig.model_fields]
        problems += [_invalid(f"detector.{name}", _MODEL) for name in known if name not in _DETECTOR_SETTINGS]
    problems += [_invalid(place, _REFERENCE) for place in _references(given, ())]
    source = given.get("source")
    if isinstance(source, str) and "${" not in source:
        scheme, separator, _ = source.partition("://")
        if not separator or scheme.lower() not in STREAM_SCHEMES:
            problems.append(_invalid("source", _SOURCE))
    return problems


def _references(value: Any, at: tuple[str, ...]) -> list[str]:
    """The settings with a `${`."""
    if isinstance(value, Mapping):
        return [place for name, item in value.items() for place in _references(item, (*at, str(name)))]
    if isinstance(value, list):
        return [place for item in value for place in _references(item, at)]
    return [".".join(at)] if isinstance(value, str) and "${" in value else []


def _validated(written: dict[str, Any], problems: list[InvalidParameter]) -> CameraConfig:
    """The valid camera.

    Raises:
        InvalidRequest: there are problems, or it is not valid.
    """
    known = {problem.parameter for problem in problems}
    try:
        camera = camera_from(written, _PLACE, Path("/"), None, check_files=False)
    except ConfigError as error:
        found = [_invalid(one.key or _PLACE, one.message) for one in error.problems if one.key not in known]
        raise InvalidRequest([*problems, *found]) from None
    if problems:
        raise InvalidRequest(problems)
    try:
        camera_mask(None, camera.mask_polygons)
    except MaskError as error:
        raise InvalidRequest([_invalid("mask_polygons", str(error))]) from None
    try:
        if camera.calibration_points is not None:
            of_points(camera.calibration_points)
    except CalibrationError as error:
        raise InvalidRequest([_invalid("calibration_points", str(error))]) from None
    return camera


def _without_nulls(written: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in written.items()
        if value is not None
    }


def _invalid(parameter: str, message: str) -> InvalidParameter:
    return InvalidParameter(parameter=parameter, message=message)
