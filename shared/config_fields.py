"""Kinds of settings: names, paths, scores and others, with their bounds; and kinds of sections."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_PUBLISHED_DETECTOR = re.compile(r"yolo(v8[nsmlx]|v9[tsmce]|v10[nsmblx]|(11|12|26)[nsmlx])")
"""Ultralytics' names of detection weights: family, version, size."""
PATH_LENGTH = 4096
"""PATH_MAX of Linux."""


def resolved(path: Path, info: ValidationInfo) -> Path:
    """`path` resolved against the folder of the site file (validation context `base`).

    Raises:
        ValueError: the context says `check_files` and there is no such file.
    """
    context = info.context or {}
    if len(str(path)) > PATH_LENGTH:
        raise ValueError(f"a path may have {PATH_LENGTH} characters at most")
    full = Path(path).expanduser()
    if not full.is_absolute() and "base" in context:
        full = (Path(context["base"]) / full).resolve()
    if context.get("check_files") and not full.is_file():
        raise ValueError(f"there is no file at {full}; use an absolute path, or one relative to the site file")
    return full


def is_published_detector(model: Path) -> bool:
    """Whether `model` is the name of weights that Ultralytics publishes, such as `yolov8s`, and not a path."""
    return _PUBLISHED_DETECTOR.fullmatch(str(model)) is not None


def _resolved_detector(model: Path, info: ValidationInfo) -> Path:
    if is_published_detector(model):
        return model
    try:
        return resolved(model, info)
    except ValueError as error:
        raise ValueError(f"{error}, or the name of published Ultralytics weights, such as yolov8s") from None


FilePath = Annotated[Path, AfterValidator(resolved)]
DetectorModel = Annotated[Path, AfterValidator(_resolved_detector)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
HostName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", max_length=253), AfterValidator(str.lower)
]
Score = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Classes = Annotated[tuple[int | str, ...], Field(min_length=1)]
Side = Annotated[int, Field(ge=32, le=4096)]
Fraction = Annotated[float, Field(ge=0, le=1, strict=True)]
MOST_POLYGONS = 20


def _has_three_corners(polygon: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if len(polygon) < 3:
        raise ValueError("a polygon needs at least three corners")
    return polygon


Polygon = Annotated[
    tuple[tuple[Fraction, Fraction], ...],
    Field(max_length=50, json_schema_extra={"minItems": 3}),
    AfterValidator(_has_three_corners),
]
"""Corners `[x, y]` in fractions of a picture's width and height, from its top left."""


def _both_sides(size: Any) -> Any:
    return (size, size) if isinstance(size, int) else size


PictureSize = Annotated[
    tuple[Side, Side],
    BeforeValidator(_both_sides, json_schema_input_type=Side | tuple[Side, Side]),
]


class Section(BaseModel):
    """A section of the configuration: frozen, rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSection(Section):
    """A section with a model whose head and size may be set."""

    @model_serializer(mode="wrap")
    def _without_unset_head(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Published settings without them stay as earlier versions know them."""
        written: dict[str, Any] = handler(self)
        if info.mode == "json":
            for name in ("head", "size"):
                if written.get(name, ...) is None:
                    del written[name]
        return written
