"""The configuration of a site: every setting, its bounds and its default.

The models are frozen and reject unknown keys. `shared.config_file` reads the file, secrets and overrides.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import (
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from shared.camera_config import CameraConfig
from shared.config_fields import (
    Classes,
    DetectorModel,
    FilePath,
    HostName,
    ModelSection,
    Name,
    PictureSize,
    Score,
    Seconds,
    Section,
)
from shared.head_names import HeadName
from shared.notification_config import NotificationsConfig
from shared.tracker_config import TrackerConfig

ModelSectionName = Literal["detector", "embedder"]
MODEL_SECTIONS: tuple[ModelSectionName, ...] = get_args(ModelSectionName)
"""The sections of a site file that name a model."""


class RedisConfig(Section):
    """The Redis through which the processes communicate."""

    url: SecretStr | None = Field(
        None, description="redis://, rediss:// or unix:// URL; if not set, `mtmc up` starts a server"
    )
    frames_url: SecretStr | None = Field(
        None, description="URL of a second Redis, without persistence, for pictures; if not set, they go to `url`"
    )
    password: SecretStr | None = Field(None, description="password of both; write it as ${VAR} or ${file:PATH}")


class ClockConfig(Section):
    """The site clock, and the gate that limits the skew between cameras."""

    target_fps: float = Field(10.0, gt=0, le=120, description="ticks per second")
    max_skew_ticks: int = Field(
        2, ge=0, le=1000, description="how many ticks the fastest camera may be ahead of the slowest; 0 and 1: lockstep"
    )
    stall_seconds: Seconds = Field(
        1.0, description="after this long without a tick, the others stop waiting for a camera"
    )
    mode: Literal["live", "virtual"] = Field(
        "live", description="live: real time, slow workers skip ticks; virtual: every tick, as fast as the machine can"
    )


def _without_required(*names: str) -> ConfigDict:
    """For settings that every configuration has, but not every site file: `launcher.preselection` adds them."""

    def change(schema: dict[str, Any]) -> None:
        schema["required"] = [name for name in schema.get("required", ()) if name not in names]
        if not schema["required"]:
            del schema["required"]

    return ConfigDict(json_schema_extra=change)


class DetectorConfig(ModelSection):
    """The detector; the format of its output is recognised from the model file."""

    model_config = _without_required("model")

    model: DetectorModel = Field(
        description="path of a file: .onnx with one of the heads in docs/models.md, or, with the extra `torch`, "
        "Ultralytics' .pt, .torchscript or .engine; or the name of published Ultralytics weights, such as yolov8s"
    )
    head: HeadName | None = Field(
        None, description="format of the model's output, see docs/models.md; if not set, recognised from the file"
    )
    size: PictureSize | None = Field(
        None,
        description="input size of a model whose file leaves it open, pixels: one number, or [height, width]; if not "
        "set, read from the model",
    )
    backend: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        "auto",
        description="auto: the fastest that works on this machine, with a warning if it is the CPU although there is a "
        "GPU; cuda, tensorrt: this one, or the worker does not start",
    )
    min_score: Score = Field(
        0.1, description="detections with a lower score are dropped; keep it low, the tracker uses weak ones too"
    )
    nms_iou: Score = Field(
        0.6, description="if two boxes of one class overlap by more than this IoU, the weaker is dropped"
    )
    classes: Classes | None = Field(
        None, description="class names or numbers to detect; if not set, all classes of the model"
    )
    max_detections: int = Field(300, ge=1, le=5000, description="maximum number of detections per picture")


class EmbedderConfig(Section):
    """The embedder, a network that describes appearance, and the preprocessing of crops for it."""

    model_config = _without_required("model")

    model: FilePath = Field(
        description="path of an .onnx file: [batch, 3, height, width] → [batch, D]; or, with the extra `torch`, of "
        "a TorchScript file (.pt, .pth, .torchscript)"
    )
    backend: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        "auto",
        description="auto: the fastest that works on this machine, with a warning if it is the CPU although there is a "
        "GPU; cuda, tensorrt: this one, or the worker does not start",
    )
    width: int | None = Field(None, ge=8, le=2048, description="input width, pixels; if not set, read from the model")
    height: int | None = Field(None, ge=8, le=2048, description="input height, pixels; if not set, read from the model")
    channel_order: Literal["rgb", "bgr"] = Field("rgb", description="order of the input channels")
    scale: float = Field(1 / 255, gt=0, description="input = (value · scale − mean) / std, value in 0..255")
    mean: tuple[float, float, float] = Field(
        (0.485, 0.456, 0.406), description="per channel, in `channel_order`; default: ImageNet"
    )
    std: tuple[float, float, float] = Field(
        (0.229, 0.224, 0.225), description="per channel, in `channel_order`; default: ImageNet"
    )
    refresh_seconds: float = Field(
        0.5, ge=0, le=60, description="how often an established track is embedded again; 0: at every tick"
    )


REFERENCE_ONLY = frozenset({"linkage", "min_similarity"})
"""Settings that only the reference mode of the association has."""


class AssociationConfig(Section):
    """How tracks are grouped into identities."""

    mode: Literal["live", "reference"] = Field(
        "live",
        description="live: all evidence together, learned from the site, with decisions that repair themselves; "
        "reference: one linkage and one minimum of similarity, as in run_live_mtmc.py (the default if 'linkage' or "
        "'min_similarity' is set)",
    )
    cluster_interval_seconds: Seconds = Field(1.0, description="how often the grouping is revised")
    min_similarity: float = Field(
        0.5,
        ge=-1,
        le=1,
        description="mode reference: minimum cosine similarity of one identity's tracks; depends on the embedder",
    )
    linkage: Literal["average", "single", "complete", "mean_feature"] = Field(
        "average", description="mode reference: how the similarity of two groups of tracks is computed"
    )
    min_track_frames: int = Field(3, ge=1, le=1000, description="a track gets a gid after this many embeddings")
    learn: bool = Field(
        True,
        description="live mode: learn overlaps, places, travel times, routes and how alike objects look; false: only "
        "use what has been learned, the layout and the calibrations",
    )
    retention_seconds: Seconds = Field(
        300.0, description="how long after it was last seen an identity can be recognised again"
    )
    linger_seconds: Seconds = Field(5.0, description="how long gids:{camera} keeps a track after it ended")
    max_late_ticks: int = Field(50, ge=0, le=100000, description="entries later than this many ticks count as late")
    replay_seconds: Seconds = Field(60.0, description="how much of tracks:{camera} is kept for recovery")
    checkpoint_seconds: Seconds = Field(20.0, description="how often the aggregator writes a checkpoint")

    @model_validator(mode="before")
    @classmethod
    def _as_tuned(cls, data: Any) -> Any:
        """Settings that only the reference mode has were tuned for it: such a site keeps its identities."""
        if isinstance(data, Mapping) and "mode" not in data and REFERENCE_ONLY & data.keys():
            return {**data, "mode": "reference"}
        return data


class Transition(Section):
    """A possible step between two cameras whose views do not overlap."""

    from_camera: str = Field(alias="from", description="the camera that the object leaves")
    to_camera: str = Field(alias="to", description="the camera where it appears next")
    min_seconds: float = Field(0.0, ge=0, description="shortest time between the two views")
    max_seconds: float = Field(300.0, ge=0, description="longest time between the two views")
    both_ways: bool = Field(True, description="the same times apply in the opposite direction")

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="after")
    def _ordered(self) -> Transition:
        if self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds {self.min_seconds:g} is greater than max_seconds {self.max_seconds:g}")
        return self


class LayoutConfig(Section):
    """Which camera an object can move to from which. Without a layout, every step is possible."""

    file: FilePath | None = Field(
        None, description="path of a layout text file; cannot be combined with overlaps and transitions"
    )
    cameras: tuple[str, ...] | None = Field(
        None, description="the cameras of the file, in its order; if not set, those of the site"
    )
    overlaps: tuple[tuple[str, ...], ...] = Field((), description="groups of cameras whose views overlap")
    transitions: tuple[Transition, ...] = Field((), description="possible steps between views that do not overlap")

    @model_validator(mode="after")
    def _one_form(self) -> LayoutConfig:
        if self.file is not None and (self.overlaps or self.transitions):
            raise ValueError("use either 'file', or 'overlaps' and 'transitions'")
        if self.file is None and self.cameras is not None:
            raise ValueError("'cameras' can only be used with 'file'; remove it, or set 'file'")
        return self


class DetectorFile(NamedTuple):
    """A detector's model, and what the configuration says about it."""

    model: Path
    head: str | None
    size: tuple[int, int] | None
    """`(height, width)` in pixels."""


class StreamerConfig(Section):
    """The page, the API and the pictures over HTTP."""

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; 0.0.0.0 makes the page reachable from other machines, which need a login",
    )
    port: int = Field(8080, ge=0, le=65535, description="port of the page; 0 picks a free port")
    jpeg_quality: int = Field(80, ge=10, le=100, description="JPEG quality of the pictures")
    max_width: int = Field(960, ge=64, le=7680, description="wider pictures are scaled down to this width, pixels")
    max_viewers: int = Field(
        500, ge=1, le=10_000, description="most open streams and live pages of one streamer; one more is refused"
    )
    hosts: tuple[HostName, ...] = Field(
        (), description="names under which browsers reach the page, such as that of a proxy; addresses need no entry"
    )
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (),
        description="addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
    )

    @model_serializer(mode="wrap")
    def _without_empty_lists(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Published settings without them stay as earlier versions know them."""
        written: dict[str, Any] = handler(self)
        if info.mode == "json":
            for name in ("hosts", "trusted_proxies"):
                if not written.get(name, ...):
                    del written[name]
        return written


class WorkerConfig(Section):
    """A camera worker."""

    capacity: int = Field(64, ge=1, le=1024, description="maximum number of cameras per worker")
    labels: tuple[Name, ...] = Field(
        (), description="labels of the workers; a camera with labels needs a worker that has all of them"
    )
    gpus: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (),
        description="GPU numbers: `mtmc up` starts one worker per GPU, which sees only that GPU; if empty, the "
        "workers of a host share its GPUs evenly",
    )
    crops: bool = Field(
        True, description="publish small crops of each track for the API (crops:{camera} in Redis); false: none"
    )
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads per network; 0 divides the cores among the workers of this machine"
    )
    lease_seconds: float = Field(
        2.0, ge=0.5, le=60, description="a worker that does not respond for this long loses its cameras"
    )


class SiteConfig(Section):
    """One set of cameras that share identities."""

    model_config = _without_required(*MODEL_SECTIONS)

    site: Name = Field(description="name of the site; part of every key in Redis")
    redis: RedisConfig = RedisConfig()
    clock: ClockConfig = ClockConfig()
    detector: DetectorConfig = Field(description="without a model: the one pulled last, or that of the demo")
    embedder: EmbedderConfig = Field(description="likewise")
    tracker: TrackerConfig = TrackerConfig()
    association: AssociationConfig = AssociationConfig()
    cameras: tuple[CameraConfig, ...] = Field((), max_length=1024, description="may be empty: add cameras at run time")
    layout: LayoutConfig | None = None
    streamer: StreamerConfig = StreamerConfig()
    worker: WorkerConfig = WorkerConfig()
    notifications: NotificationsConfig = NotificationsConfig()
    preselected: SkipJsonSchema[tuple[ModelSectionName, ...]] = ()
    """The sections whose model the site file does not name; filled in by `launcher.site_file`, and published."""

    @model_serializer(mode="wrap")
    def _without_preselected(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Most sites have none; their published settings stay as earlier versions know them."""
        written: dict[str, Any] = handler(self)
        if not self.preselected:
            written.pop("preselected", None)
        return written

    @field_validator("cameras", mode="before")
    @classmethod
    def _none_are_listed(cls, cameras: Any) -> Any:
        """Nothing after `cameras:` in the file."""
        return () if cameras is None else cameras

    @field_validator("cameras")
    @classmethod
    def _names_differ(cls, cameras: tuple[CameraConfig, ...]) -> tuple[CameraConfig, ...]:
        names = [camera.name for camera in cameras]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"camera names must be unique; used more than once: {', '.join(twice)}")
        return cameras

    def detector_of(self, camera: CameraConfig | None) -> DetectorFile:
        """The model of a camera's detector, its own or the site's, with the settings that belong to it."""
        own = None if camera is None else camera.detector
        if own is not None and own.model is not None:
            return DetectorFile(own.model, own.head, own.size)
        return DetectorFile(self.detector.model, self.detector.head, self.detector.size)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """In the order of the site file, which is also the order of the layout and of batches."""
        return tuple(camera.name for camera in self.cameras)
