"""The configuration of a site: what may be set, its bounds and defaults.

The models are frozen and refuse unknown keys. Reading a file, secrets and overrides is `shared.config_file`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_PUBLISHED_DETECTOR = re.compile(r"yolo(v8[nsmlx]|v9[tsmce]|v10[nsmblx]|(11|12|26)[nsmlx])")
"""Ultralytics' names of weights for detection: the family, the version, the size."""
STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")


def _resolved(path: Path, info: ValidationInfo) -> Path:
    """`path` relative to the site file (validation context `base`); must exist when the context says `check_files`."""
    context = info.context or {}
    full = Path(path).expanduser()
    if not full.is_absolute() and "base" in context:
        full = (Path(context["base"]) / full).resolve()
    if context.get("check_files") and not full.is_file():
        raise ValueError(f"there is no file at {full}; give a path relative to the site file, or an absolute one")
    return full


def is_published_detector(model: Path) -> bool:
    """Whether `model` is no path, but the name under which Ultralytics publishes weights, such as `yolov8s`."""
    return _PUBLISHED_DETECTOR.fullmatch(str(model)) is not None


def _resolved_detector(model: Path, info: ValidationInfo) -> Path:
    if is_published_detector(model):
        return model
    try:
        return _resolved(model, info)
    except ValueError as error:
        raise ValueError(f"{error}, or the name of weights that Ultralytics publishes, such as yolov8s") from None


FilePath = Annotated[Path, AfterValidator(_resolved)]
DetectorModel = Annotated[Path, AfterValidator(_resolved_detector)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
Score = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Classes = Annotated[tuple[int | str, ...], Field(min_length=1)]


class Section(BaseModel):
    """A part of the configuration: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RedisConfig(Section):
    """Where the processes meet."""

    url: SecretStr | None = Field(None, description="redis://, rediss:// or unix:// URL; none: `mtmc up` starts one")
    frames_url: SecretStr | None = Field(None, description="a second Redis, without persistence, for pictures")
    password: SecretStr | None = Field(None, description="password for both, best as ${VAR} or ${file:PATH}")


class ClockConfig(Section):
    """The site clock and the gate that bounds the skew between cameras."""

    target_fps: float = Field(10.0, gt=0, le=120, description="ticks per second")
    max_skew_ticks: int = Field(2, ge=0, le=1000, description="how far the fastest camera may lead; 0 and 1: lockstep")
    stall_seconds: Seconds = Field(1.0, description="a camera that handles no tick for so long holds nobody up")
    mode: Literal["live", "virtual"] = Field("live", description="virtual: every frame, as fast as the machine can")


class DetectorConfig(Section):
    """The network that finds objects; its head is recognised from the model itself."""

    model: DetectorModel = Field(
        description="path of a file: .onnx (Ultralytics, raw or end-to-end; YOLOX), or, with the extra `torch`, .pt, "
        ".torchscript or .engine of Ultralytics; or the name of weights that Ultralytics publishes, such as yolov8s"
    )
    backend: Literal["auto", "cpu", "cuda", "tensorrt"] = Field("auto", description="auto: the best that works here")
    min_score: Score = Field(0.1, description="detections below it are dropped; the tracker uses the weak ones too")
    nms_iou: Score = Field(0.6, description="of two boxes of one class that overlap more, the weaker is dropped")
    classes: Classes | None = Field(None, description="names or numbers; none: all the model knows")
    max_detections: int = Field(300, ge=1, le=5000, description="per picture")


class EmbedderConfig(Section):
    """The network that describes appearance, and how a crop is prepared for it."""

    model: FilePath = Field(
        description="path of an .onnx file: [batch, 3, height, width] → [batch, D]; or, with the extra `torch`, of "
        "TorchScript (.pt, .pth, .torchscript)"
    )
    backend: Literal["auto", "cpu", "cuda", "tensorrt"] = Field("auto", description="auto: the best that works here")
    width: int | None = Field(None, ge=8, le=2048, description="pixels; none: as the model says")
    height: int | None = Field(None, ge=8, le=2048, description="pixels; none: as the model says")
    channel_order: Literal["rgb", "bgr"] = Field("rgb")
    scale: float = Field(1 / 255, gt=0, description="pixel = (value · scale − mean) / std, value in 0..255")
    mean: tuple[float, float, float] = Field((0.485, 0.456, 0.406), description="default: ImageNet's")
    std: tuple[float, float, float] = Field((0.229, 0.224, 0.225), description="default: ImageNet's")
    refresh_seconds: float = Field(
        0.5, ge=0, le=60, description="how often a known track is embedded anew; 0: each tick"
    )


class TrackerConfig(Section):
    """The tracker within one camera (ByteTrack's way: strong detections first, weak ones to keep a track alive)."""

    high_score: Score = Field(0.5, description="detections from here on may start a track")
    new_track_score: Score = Field(0.5, description="a new track needs at least this score")
    max_lost_seconds: Seconds = Field(2.5, description="a track not seen for so long has ended")
    min_hits: int = Field(2, ge=1, le=100, description="detections until a track is believed")


class AssociationConfig(Section):
    """How tracks become identities."""

    cluster_interval_seconds: Seconds = Field(1.0, description="how often the grouping is revised")
    min_similarity: float = Field(0.5, ge=-1, le=1, description="cosine; the right value belongs to the embedder")
    linkage: Literal["average", "single", "complete", "mean_feature"] = Field("average")
    min_track_frames: int = Field(3, ge=1, le=1000, description="a track gets its gid once it was embedded so often")
    retention_seconds: Seconds = Field(300.0, description="how long after leaving an identity can be recognised")
    linger_seconds: Seconds = Field(5.0, description="how long gids:{camera} keeps a track after it ended")
    max_late_ticks: int = Field(50, ge=0, le=100000, description="entries later than this are counted as late")
    replay_seconds: Seconds = Field(60.0, description="how much of tracks:{camera} is kept, for recovery")
    checkpoint_seconds: Seconds = Field(20.0, description="how often the whole state is written")


class Transition(Section):
    """A possible step between two cameras whose views do not overlap."""

    from_camera: str = Field(alias="from")
    to_camera: str = Field(alias="to")
    min_seconds: float = Field(0.0, ge=0)
    max_seconds: float = Field(300.0, ge=0)
    both_ways: bool = Field(True, description="the way back takes as long")

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="after")
    def _ordered(self) -> Transition:
        if self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds {self.min_seconds:g} is above max_seconds {self.max_seconds:g}")
        return self


class LayoutConfig(Section):
    """Which camera can follow which. Without a layout every step is possible."""

    file: FilePath | None = Field(None, description="a layout text file; excludes overlaps and transitions")
    cameras: tuple[str, ...] | None = Field(None, description="those of the file, in its order; none: the site's")
    overlaps: tuple[tuple[str, ...], ...] = Field((), description="groups of cameras whose views overlap")
    transitions: tuple[Transition, ...] = ()

    @model_validator(mode="after")
    def _one_form(self) -> LayoutConfig:
        if self.file is not None and (self.overlaps or self.transitions):
            raise ValueError("give either 'file', or 'overlaps' and 'transitions'")
        if self.file is None and self.cameras is not None:
            raise ValueError("'cameras' are those of a 'file'")
        return self


class CameraDetectorConfig(Section):
    """What one camera sets apart from the site's detector."""

    model: DetectorModel | None = None
    min_score: Score | None = None
    nms_iou: Score | None = None
    classes: Classes | None = None


class CameraConfig(Section):
    """One camera."""

    name: Name = Field(description="letters, digits, '_', '-', '.'; part of keys and addresses")
    source: str = Field(min_length=1, description="path of a video file, rtsp(s):// or http(s):// URL, or /dev/videoN")
    loop: bool = Field(False, description="a file starts over at its end")
    fps: float | None = Field(None, gt=0, le=240, description="of a file whose container does not tell")
    mask: FilePath | None = Field(None, description="picture of the view: detections centred on black are dropped")
    time_offset_seconds: float | None = Field(
        None, description="a recording: how much later than the others it began; live: added to its time"
    )
    time_scale: float | None = Field(None, gt=0, description="speed of a recording: 2 plays twice as fast")
    labels: tuple[Name, ...] = Field((), description="only workers that have all of these labels take the camera")
    detector: CameraDetectorConfig | None = None
    paused: bool = False

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
                f"there is no file at {path}; give a video file, an rtsp:// or http:// URL, or /dev/videoN"
            )
        return str(path)

    @property
    def is_file(self) -> bool:
        """Whether the source is a recording (and not a live camera)."""
        return is_file_source(self.source)


def address_problem(source: str) -> str | None:
    """Why nothing here can read such a source, whatever may be there; None if its form is right."""
    if not source.strip():
        return "the source is empty; name a video file, a stream or a device"
    scheme, separator, _ = source.partition("://")
    if separator and scheme.lower() not in STREAM_SCHEMES:
        # What is no word may be half of a password.
        shown = f"{scheme}://" if scheme.isalnum() else "such an address"
        known = ", ".join(f"{scheme}://" for scheme in STREAM_SCHEMES)
        return f"{shown} is not supported; use the path of a video file, {known}, /dev/videoN or device:N"
    if not separator and source.lower().startswith(tuple(f"{scheme}:" for scheme in STREAM_SCHEMES)):
        return "the address of a stream has two slashes after the colon, as in rtsp://host/path"
    return None


def is_file_source(source: str) -> bool:
    """Whether `source` is the path of a video file: no URL, no device."""
    return not ("://" in source or source.startswith(("/dev/", "device:")) or source.isdigit())


class StreamerConfig(Section):
    """The pictures and pages over HTTP."""

    host: str = Field("127.0.0.1", description="0.0.0.0: reachable from other machines")
    port: int = Field(8080, ge=0, le=65535, description="0: any free one")
    jpeg_quality: int = Field(80, ge=10, le=100)
    max_width: int = Field(960, ge=64, le=7680, description="wider pictures are scaled down, pixels")


class WorkerConfig(Section):
    """A camera worker."""

    capacity: int = Field(64, ge=1, le=1024, description="cameras that one worker takes at most")
    labels: tuple[Name, ...] = ()
    gpus: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="numbers of GPUs: `mtmc up` runs a worker for each, which sees only that one; none: all see all"
    )
    threads: int = Field(0, ge=0, le=256, description="threads of a network; 0: the cores shared by the local workers")
    lease_seconds: float = Field(2.0, ge=0.5, le=60, description="a worker that is gone for so long loses its cameras")


class SiteConfig(Section):
    """One set of cameras that share identities."""

    site: Name = Field(description="part of every key in Redis")
    redis: RedisConfig = RedisConfig()
    clock: ClockConfig = ClockConfig()
    detector: DetectorConfig
    embedder: EmbedderConfig
    tracker: TrackerConfig = TrackerConfig()
    association: AssociationConfig = AssociationConfig()
    cameras: tuple[CameraConfig, ...] = Field(min_length=1, max_length=1024)
    layout: LayoutConfig | None = None
    streamer: StreamerConfig = StreamerConfig()
    worker: WorkerConfig = WorkerConfig()

    @field_validator("cameras")
    @classmethod
    def _names_differ(cls, cameras: tuple[CameraConfig, ...]) -> tuple[CameraConfig, ...]:
        names = [camera.name for camera in cameras]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"camera names must differ, and {', '.join(twice)} stands there more than once")
        return cameras

    @property
    def camera_names(self) -> tuple[str, ...]:
        """In the order of the file, which is the order of the layout and of batches."""
        return tuple(camera.name for camera in self.cameras)
